//! Requests, and the changes of intent that they become once they are durable.
//!
//! A change is applied twice with the same function: to the copy of the record that is written, and, when that copy is
//! durable, to the record itself, in which meanwhile processes may have come and gone.

use std::collections::BTreeSet;
use std::time::Duration;

use barepod_model::{Container, ContainerKind, ContainerName, Permit, Pod, PodUid, Reason, Stamp, StopCause};

use crate::diff::Change;
use crate::pod::{given, stands_beside};
use crate::{
    Allocation, ConditionChange, ContainerRecord, Deletion, Disruption, Evidence, PodFailure, PodRecord, Progress,
    RequestId, StopIntent, Verb, Waits, condition, outcome,
};

/// A request that waits for its turn.
#[derive(Debug)]
pub(crate) enum Request {
    Apply { request: RequestId, pod: Box<Pod>, permit: Permit },
    Delete { request: RequestId, pod: PodUid, grace: Option<Duration>, evidence: Evidence },
    Restart { request: RequestId, pod: PodUid, container: Option<ContainerName> },
    Condition { request: RequestId, pod: PodUid, change: ConditionChange },
    Halt { request: RequestId, pod: PodUid, halted: bool },
}

/// A change of intent that is being written.
#[derive(Debug)]
pub(crate) enum Proposal {
    /// The pod itself.
    Create,
    /// Another wish for a living pod.
    Update { pod: Box<Pod>, change: Change },
    /// Its end.
    Delete { grace: Option<Duration>, evidence: Evidence },
    /// An end sooner than that: so long after this moment.
    Shorten { grace: Duration },
    /// New processes for these containers.
    Restart { containers: BTreeSet<ContainerName> },
    /// A condition that others set.
    Condition { change: ConditionChange },
    /// Nothing of it is to run, or it is to run again.
    Halt { halted: bool },
    /// Its end for the good of others, though nobody deleted it.
    Fail { failure: PodFailure },
}

impl Proposal {
    /// What its request is told when it is durable.
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Proposal::Create => Verb::Created,
            Proposal::Update { .. } => Verb::Configured,
            Proposal::Delete { .. } | Proposal::Shorten { .. } => Verb::Deleted,
            Proposal::Restart { .. } => Verb::Restarted,
            Proposal::Halt { halted: true } => Verb::Stopped,
            Proposal::Halt { halted: false } => Verb::Started,
            Proposal::Condition { .. } | Proposal::Fail { .. } => Verb::ConditionSet,
        }
    }

    /// Containers that are not started while this is being written: they would be replaced at once, and after a crash
    /// nobody could tell for which of the two wishes the new process was started.
    pub(crate) fn holds(&self, container: &ContainerName) -> bool {
        match self {
            Proposal::Create | Proposal::Delete { .. } | Proposal::Shorten { .. } | Proposal::Condition { .. } => false,
            Proposal::Fail { .. } => true,
            Proposal::Halt { halted } => *halted,
            Proposal::Update { change: Change::None | Change::InPlace | Change::Contents, .. } => false,
            Proposal::Update { change: Change::Containers(names), .. } => names.contains(container),
            Proposal::Update { change: Change::Whole, .. } => true,
            Proposal::Restart { containers } => containers.contains(container),
        }
    }

    /// The pod as it is to be, if that changes.
    pub(crate) fn wanted(&self) -> Option<&Pod> {
        match self {
            Proposal::Update { pod, .. } => Some(pod),
            Proposal::Create
            | Proposal::Delete { .. }
            | Proposal::Shorten { .. }
            | Proposal::Restart { .. }
            | Proposal::Fail { .. }
            | Proposal::Halt { .. }
            | Proposal::Condition { .. } => None,
        }
    }

    /// Whether it ends a pod because the host goes down.
    pub(crate) fn is_for_shutdown(&self) -> bool {
        matches!(self, Proposal::Fail { failure } if failure.disruption == Some(Disruption::Shutdown))
    }

    /// Makes the change.
    pub(crate) fn apply(&self, record: &mut PodRecord, at: &Stamp) {
        let was_over = is_over(record);
        match self {
            Proposal::Create => {}
            Proposal::Update { pod, change } => update(record, pod, change, at),
            Proposal::Delete { grace, evidence } => {
                let deletion = Deletion { since: at.clone(), grace: *grace, cap: None, evidence: *evidence };
                record.deletion = Some(deletion);
            }
            Proposal::Shorten { grace } => {
                if let Some(deletion) = &mut record.deletion {
                    let end = cap_from(deletion, *grace, at);
                    deletion.cap = Some(deletion.cap.map_or(end, |cap| cap.min(end)));
                }
            }
            Proposal::Condition { change } => condition::change(record, change, at),
            Proposal::Fail { failure } => fail(record, failure),
            Proposal::Halt { halted } => record.halted = halted.then(|| at.clone()),
            Proposal::Restart { containers } => {
                record.halted = None;
                revive(record, at);
                for name in containers {
                    replace(record, name, at, Waits::Successor, StopCause::Restart);
                }
            }
        }
        if was_over && !is_over(record) {
            begin_anew(record, at);
        }
    }
}

/// What failed before for another reason goes on failing for that.
fn fail(record: &mut PodRecord, failure: &PodFailure) {
    if record.failure.is_none() {
        condition::disrupted(record, &failure.message, &failure.since);
        record.failure = Some(failure.clone());
    }
}

/// Whether no container but those that stand beside the others will be started any more.
fn is_over(record: &PodRecord) -> bool {
    let finished = |spec: &Container| record.containers.get(&spec.name).filter(|rec| rec.finished);
    let of = |kind| record.pod.containers.iter().filter(move |spec| spec.kind == kind);
    let failed =
        |spec: &Container| finished(spec).and_then(|rec| rec.last.as_ref()).is_some_and(|end| !end.status.is_success());
    of(ContainerKind::Regular).all(|spec| finished(spec).is_some()) || of(ContainerKind::Init).any(failed)
}

/// A pod that had come to its end lives again, sidecars first.
fn begin_anew(record: &mut PodRecord, at: &Stamp) {
    record.unbooked = true;
    record.initialized = false;
    end_and_come_back(record, at, stands_beside);
}

/// What was on its way out because of the pod's end ends by its own intent from now on.
fn end_and_come_back(record: &mut PodRecord, at: &Stamp, which: impl Fn(&Container) -> bool) {
    let PodRecord { pod, containers, .. } = record;
    for spec in pod.containers.iter().filter(|spec| which(spec)) {
        if let Some(container) = containers.get_mut(&spec.name).filter(|container| may_live(container)) {
            container
                .stop
                .get_or_insert_with(|| StopIntent::of(spec, pod, at.clone(), Waits::Successor, StopCause::Change));
        }
    }
}

/// A grace that begins at `at`, counted from the beginning of the deletion.
pub(crate) fn cap_from(deletion: &Deletion, grace: Duration, at: &Stamp) -> Duration {
    let same_boot = deletion.since.boot_id == at.boot_id;
    let passed = if same_boot { at.boot.since(deletion.since.boot) } else { Duration::ZERO };
    passed + grace
}

fn update(record: &mut PodRecord, pod: &Pod, change: &Change, at: &Stamp) {
    record.generation += 1;
    record.orphaned = false;
    match change {
        // A pod that failed for what its host was short of, or because it went down, is to be tried anew, whatever was changed.
        Change::None | Change::InPlace | Change::Contents
            if record.failure.as_ref().is_some_and(|failure| is_of_the_host(failure.reason)) =>
        {
            revive(record, at);
            let names: Vec<_> = record.containers.keys().cloned().collect();
            names.iter().for_each(|name| replace_for_change(record, name, at, Waits::Successor));
        }
        Change::None | Change::InPlace | Change::Contents => {}
        Change::Containers(names) => {
            revive(record, at);
            // What starts from now on starts after the new sidecars; what runs is not touched.
            let is_sidecar = |container: &Container| container.kind == ContainerKind::Sidecar;
            if pod.containers.iter().any(|container| is_sidecar(container) && names.contains(&container.name)) {
                record.initialized = false;
            }
            names.iter().for_each(|name| replace_for_change(record, name, at, Waits::Successor))
        }
        Change::Whole => {
            let names = record.pod.containers.iter().chain(&pod.containers).map(|container| container.name.clone());
            names.collect::<BTreeSet<_>>().iter().for_each(|name| replace_for_change(record, name, at, Waits::Pod));
            let given_up = record.pod.data_paths.difference(&pod.data_paths).cloned();
            record.releasing.extend(given_up);
            record.initialized = false;
            revive(record, at);
        }
    }
    // A container that a change before this one brought has what it came with, though its pod still waits for more.
    let has = Allocation::of(&given(record));
    record.allocated = has.differs_in(pod).then_some(has);
    record.pod = pod.clone();
    pod.containers.iter().for_each(|container| reconsider_end(record, container));
}

/// Whether a pod failed not for what it is, but for what its host was.
fn is_of_the_host(reason: Reason) -> bool {
    matches!(reason, Reason::Evicted | Reason::Terminated | Reason::NodeShutdown)
}

/// A pod that failed lives again, and its deadline begins anew.
fn revive(record: &mut PodRecord, at: &Stamp) {
    if record.failure.take().is_some() {
        condition::undisturbed(record);
        record.unbooked = true;
        record.initialized = false;
        record.counts_from = Some(at.clone());
        record.spent = Duration::ZERO;
        end_and_come_back(record, at, |_| true);
    }
}

/// Another amount has been given: what is to be restarted for it is.
pub(crate) fn restart_for_resize(record: &mut PodRecord, before: &Allocation, at: &Stamp) {
    let restarted = record.pod.containers.iter().filter(|spec| {
        let had = before.containers.get(&spec.name);
        spec.kind.lasts() && had.is_some_and(|had| spec.resize_policy.restarts(had, &spec.resources))
    });
    let lives = |name: &ContainerName| record.containers.get(name).is_some_and(|rec| may_live(rec));
    let names: Vec<_> = restarted.map(|spec| spec.name.clone()).filter(lives).collect();
    names.iter().for_each(|name| replace(record, name, at, Waits::Successor, StopCause::Change));
}

/// One container asked for new processes of all: those of the others are replaced at once, its own after its back-off.
/// Ephemeral ones are kept, as in Kubernetes (KEP-5532).
pub(crate) fn replace_others(record: &mut PodRecord, asker: &ContainerName, at: &Stamp) {
    let kept = |container: &&Container| container.kind != ContainerKind::Ephemeral;
    let names: Vec<_> = record.pod.containers.iter().filter(kept).map(|container| container.name.clone()).collect();
    for name in names.iter().filter(|name| *name != asker) {
        replace(record, name, at, Waits::Pod, StopCause::Companion(asker.clone()));
    }
    record.initialized = false;
}

/// What was started with something else is replaced, and its crashes are not held against its successor.
fn replace_for_change(record: &mut PodRecord, name: &ContainerName, at: &Stamp, waits: Waits) {
    replace(record, name, at, waits, StopCause::Change);
    if let Some(container) = record.containers.get_mut(name) {
        container.backoff = None;
    }
}

/// Makes the newest attempt of a container out of date; what runs of it is stopped the way it wants to be. One that is
/// never started again is not for this either.
pub(crate) fn replace(record: &mut PodRecord, name: &ContainerName, at: &Stamp, waits: Waits, cause: StopCause) {
    let spec = record.pod.containers.iter().find(|container| container.name == *name);
    let container = record.containers.entry(name.clone()).or_default();
    container.epoch += 1;
    container.finished &= spec.is_some_and(|spec| spec.kind == ContainerKind::Ephemeral);
    if let (Some(spec), true) = (spec, may_live(container)) {
        let intent = container.stop.get_or_insert_with(|| StopIntent::of(spec, &record.pod, at.clone(), waits, cause));
        if waits == Waits::Pod {
            intent.waits = waits;
        }
    }
}

pub(crate) fn may_live(container: &ContainerRecord) -> bool {
    match container.progress {
        Progress::Begun | Progress::Running { .. } => true,
        Progress::None | Progress::Lost | Progress::Draining | Progress::Ended => false,
    }
}

/// A container that the old restart policy left ended may have to run under the new one.
fn reconsider_end(record: &mut PodRecord, spec: &Container) {
    let policy = record.pod.restart_policy;
    if let Some(container) = record.containers.get_mut(&spec.name).filter(|container| container.finished) {
        container.finished = container.last.as_ref().is_some_and(|end| outcome::is_final(spec, policy, end));
    }
}
