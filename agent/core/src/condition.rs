//! A pod's conditions, as kubelet works them out (`pkg/kubelet/status/generate.go`): its own, and those that others set for
//! `readinessGates`, which are kept whatever happens to the pod.

use std::fmt;

use barepod_model::{Container as Spec, ContainerKind, Phase, Stamp};
use serde::{Deserialize, Serialize};

use crate::planted::{self, Fault};
use crate::{ContainerState, ContainerView, PodRecord, PodView};

/// One condition (`core/v1.PodCondition`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A code in one word, may be empty.
    pub reason: String,
    /// A sentence for people, may be empty.
    pub message: String,
    /// When the status last became another one.
    pub transition: Stamp,
}

/// `core/v1.ConditionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What somebody wants of a condition that is not barepod's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionChange {
    /// It is so.
    Set {
        /// Its type.
        kind: String,
        /// Whether it holds.
        status: ConditionStatus,
        /// A code in one word, may be empty.
        reason: String,
        /// A sentence for people, may be empty.
        message: String,
    },
    /// There is no such condition any more.
    Remove {
        /// Its type.
        kind: String,
    },
}

impl ConditionChange {
    /// The condition's type.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            ConditionChange::Set { kind, .. } | ConditionChange::Remove { kind } => kind,
        }
    }
}

/// As many conditions of others as a pod may have.
pub(crate) const MOST_FOREIGN: usize = 64;

/// The pod is ended for the good of others (`core/v1.DisruptionTarget`).
const DISRUPTION: &str = "DisruptionTarget";
const SANDBOX: &str = "PodReadyToStartContainers";
/// Types that barepod sets, in kubelet's order; the last ones only in Kubernetes, where kubelet would.
const OWN: [&str; 9] = [
    SANDBOX,
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
    DISRUPTION,
];

/// Whether nobody else may set a condition of this type.
pub(crate) fn is_own(kind: &str) -> bool {
    OWN.contains(&kind) || kind.starts_with("notify.barepod.dev/")
}

/// Conditions as they are shown: barepod's own first.
pub(crate) fn shown(record: &PodRecord) -> Vec<Condition> {
    let own = OWN.iter().filter_map(|kind| record.conditions.get(*kind));
    own.chain(foreign(record)).cloned().collect()
}

/// Those that others have set.
pub(crate) fn foreign(record: &PodRecord) -> impl Iterator<Item = &Condition> {
    record.conditions.values().filter(|condition| !is_own(&condition.kind))
}

/// Makes the change.
pub(crate) fn change(record: &mut PodRecord, change: &ConditionChange, now: &Stamp) {
    match change {
        ConditionChange::Remove { kind } => drop(record.conditions.remove(kind)),
        ConditionChange::Set { kind, status, reason, message } => {
            put(record, kind, Finding { status: *status, reason: reason.clone(), message: message.clone() }, now);
        }
    }
}

/// Whether all that `readinessGates` names holds, and if not, why.
pub(crate) fn closed_gates(record: &PodRecord) -> Vec<String> {
    let closed = |gate: &String| match record.conditions.get(gate) {
        None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
        Some(Condition { status: ConditionStatus::True, .. }) => None,
        Some(Condition { status, .. }) => {
            Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {status}"))
        }
    };
    if planted::on(Fault::GatesIgnored) {
        return Vec::new();
    }
    record.pod.readiness_gates.iter().filter_map(closed).collect()
}

/// Brings the pod's own conditions up to date with what is shown of it. `sandbox` says whether its directories, volumes and
/// cgroup are there; `None` changes nothing about that.
pub(crate) fn update(record: &mut PodRecord, view: &PodView, sandbox: Option<bool>, now: &Stamp) {
    let initialized = initialized(record, view);
    let containers = containers_ready(view);
    let closed = closed_gates(record);
    let ready = match containers.status {
        ConditionStatus::True if closed.is_empty() => Finding::holds(),
        ConditionStatus::True => Finding::fails("ReadinessGatesNotReady", closed.join(", ")),
        ConditionStatus::False | ConditionStatus::Unknown => containers.clone(),
    };
    let sandbox = match sandbox.unwrap_or_else(|| is_known(record, SANDBOX)) {
        true => Finding::holds(),
        false => Finding::fails("PodSandboxNotReady", String::new()),
    };
    let found = [sandbox, initialized, ready, containers, Finding::holds()];
    for (kind, finding) in OWN.iter().zip(found) {
        put(record, kind, finding, now);
    }
}

/// Whether it was so when it was last looked at.
fn is_known(record: &PodRecord, kind: &str) -> bool {
    record.conditions.get(kind).is_some_and(|known| known.status == ConditionStatus::True)
}

/// The pod is ended by its node, for this (`core/v1.PodReasonTerminationByKubelet`).
pub(crate) fn disrupted(record: &mut PodRecord, why: &str, now: &Stamp) {
    let reason = "TerminationByKubelet".to_owned();
    put(record, DISRUPTION, Finding { reason, message: why.to_owned(), ..Finding::holds() }, now);
}

/// It lives again.
pub(crate) fn undisturbed(record: &mut PodRecord) {
    record.conditions.remove(DISRUPTION);
}

/// The host was rebooted: nothing of a pod is there.
pub(crate) fn after_reboot(record: &mut PodRecord, now: &Stamp) {
    put(record, SANDBOX, Finding::fails("PodSandboxNotReady", String::new()), now);
}

#[derive(Debug, Clone)]
struct Finding {
    status: ConditionStatus,
    reason: String,
    message: String,
}

impl Finding {
    fn holds() -> Self {
        Self { status: ConditionStatus::True, reason: String::new(), message: String::new() }
    }

    fn fails(reason: &str, message: String) -> Self {
        Self { status: ConditionStatus::False, reason: reason.to_owned(), message }
    }
}

fn put(record: &mut PodRecord, kind: &str, finding: Finding, now: &Stamp) {
    let Finding { status, reason, message } = finding;
    let before = record.conditions.get(kind).filter(|before| before.status == status);
    let transition = before.map_or_else(|| now.clone(), |before| before.transition.clone());
    let is_same = before.is_some_and(|before| before.reason == reason && before.message == message);
    if !is_same {
        let condition = Condition { kind: kind.to_owned(), status, reason, message, transition };
        record.conditions.insert(kind.to_owned(), condition);
    }
}

fn containers_ready(view: &PodView) -> Finding {
    match view.phase {
        Phase::Succeeded => return Finding::fails("PodCompleted", String::new()),
        Phase::Failed => return Finding::fails("PodFailed", String::new()),
        Phase::Pending | Phase::Running | Phase::Unknown => {}
    }
    match names(view, |spec, container| spec.kind.lasts() && !container.ready) {
        unready if unready.is_empty() => Finding::holds(),
        unready => Finding::fails("ContainersNotReady", format!("containers with unready status: {unready}")),
    }
}

/// Once a regular container has started it holds for good.
fn initialized(record: &PodRecord, view: &PodView) -> Finding {
    if view.phase == Phase::Succeeded {
        return Finding { reason: "PodCompleted".to_owned(), ..Finding::holds() };
    }
    let known = is_known(record, "Initialized");
    let open = |spec: &Spec, container: &ContainerView| match spec.kind {
        ContainerKind::Regular | ContainerKind::Ephemeral => false,
        ContainerKind::Sidecar => !container.started,
        ContainerKind::Init => !container.state.exit_status().is_some_and(|status| status.is_success()),
    };
    let began = |spec: &Spec, container: &ContainerView| {
        spec.kind == ContainerKind::Regular
            && (matches!(container.state, ContainerState::Running { .. }) || container.last.is_some())
    };
    let incomplete = names(view, open);
    if known || incomplete.is_empty() || !names(view, began).is_empty() {
        return Finding::holds();
    }
    Finding::fails("ContainersNotInitialized", format!("containers with incomplete status: {incomplete}"))
}

/// `[a b]`, or nothing.
fn names(view: &PodView, which: impl Fn(&Spec, &ContainerView) -> bool) -> String {
    let specs = view.pod.as_deref().map_or(&[][..], |pod| pod.containers.as_slice());
    let shown = |spec: &Spec| view.containers.iter().find(|container| container.name == spec.name);
    let of = specs.iter().filter(|spec| shown(spec).is_none_or(|container| which(spec, container)));
    let of: Vec<_> = of.map(|spec| spec.name.as_str()).collect();
    if of.is_empty() { String::new() } else { format!("[{}]", of.join(" ")) }
}
