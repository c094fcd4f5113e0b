//! The truth about wishes: what was acknowledged, what may have been accepted without the asker being told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_core::{ConditionChange, ConditionStatus, Evidence, Input, PodView, RequestId};
use barepod_model::{ContainerKind, ContainerName, Permit, Pod, PodUid, Source};

use crate::clock::SimTime;
use crate::violation::{Invariant, Violation, violated};
use crate::workload::GATE;

/// A request that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) what: What,
    pub(crate) at: SimTime,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// With the policy's word on it.
    Apply(Box<Pod>, Permit),
    Delete {
        pod: PodUid,
        grace: Option<Duration>,
    },
    Restart {
        pod: PodUid,
        container: Option<ContainerName>,
    },
    /// Wants nothing of a pod to run, or wants it to run again.
    Halt {
        pod: PodUid,
        halted: bool,
    },
    /// Says whether the gate of a pod is open.
    Gate {
        pod: PodUid,
        status: ConditionStatus,
    },
}

impl What {
    pub(crate) fn input(&self, request: RequestId) -> Input {
        match self.clone() {
            What::Apply(pod, permit) => Input::Apply { request, pod, permit },
            What::Delete { pod, grace } => Input::Delete { request, pod, grace, evidence: Evidence::Operator },
            What::Restart { pod, container } => Input::Restart { request, pod, container },
            What::Halt { pod, halted } => Input::Halt { request, pod, halted },
            What::Gate { pod, status } => {
                let (kind, reason, message) = (GATE.to_owned(), String::new(), String::new());
                Input::Condition { request, pod, change: ConditionChange::Set { kind, status, reason, message } }
            }
        }
    }
}

/// What is known of the wishes for one pod.
#[derive(Debug)]
pub(crate) struct Intent {
    /// The last acknowledged wish; if none was, the first one that may have been accepted.
    pub(crate) spec: Pod,
    /// Others that may have been accepted since.
    pub(crate) maybe: Vec<Pod>,
    /// When it was first asked for.
    pub(crate) asked: SimTime,
    pub(crate) created: Known,
    pub(crate) deleted: Known,
    /// When the deletion was acknowledged, and the grace that went with it.
    pub(crate) ending: Option<(SimTime, Option<Duration>)>,
    /// Its ledger file is removed; the core may not have heard yet.
    pub(crate) gone: bool,
    /// What was acknowledged of its gate; nothing while it is not known.
    pub(crate) gate: Option<ConditionStatus>,
    /// Whether it was acknowledged that nothing of it is to run; nothing while that is not known.
    pub(crate) halted: Option<bool>,
    /// When that was acknowledged.
    pub(crate) halted_at: SimTime,
}

/// How sure it is that something was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    No,
    Maybe,
    Acked,
}

impl Intent {
    pub(crate) fn allows(&self, pod: &Pod) -> bool {
        self.spec == *pod || self.maybe.contains(pod)
    }

    /// The pods that may be wanted.
    pub(crate) fn wishes(&self) -> Vec<Pod> {
        self.maybe.iter().chain([&self.spec]).cloned().collect()
    }

    /// All regular containers that may be wanted.
    pub(crate) fn regular_containers(&self) -> BTreeSet<ContainerName> {
        let wishes = self.maybe.iter().chain([&self.spec]).flat_map(|pod| &pod.containers);
        let regular = wishes.filter(|spec| spec.kind == ContainerKind::Regular);
        regular.map(|spec| spec.name.clone()).collect()
    }
}

/// All wishes.
#[derive(Debug, Default)]
pub(crate) struct Intents {
    pub(crate) pods: BTreeMap<PodUid, Intent>,
    pub(crate) asks: BTreeMap<RequestId, Ask>,
}

impl Intents {
    /// A wish was acknowledged for this pod.
    pub(crate) fn acked(&mut self, uid: &PodUid, pod: &Pod, asked: SimTime) {
        let spec = Pod { uid: uid.clone(), ..pod.clone() };
        match self.pods.get_mut(uid) {
            Some(intent) => {
                intent.spec = spec;
                intent.maybe.clear();
                intent.created = Known::Acked;
            }
            None => {
                self.pods.insert(uid.clone(), new_intent(spec, Known::Acked, asked));
            }
        }
    }

    /// An apply whose answer is lost: it may have made a new pod or changed one of the same name.
    pub(crate) fn maybe_applied(&mut self, pod: &Pod, asked: SimTime) {
        for (uid, intent) in &mut self.pods {
            let same = intent.spec.name == pod.name && intent.spec.source == pod.source;
            if same && intent.deleted != Known::Acked {
                intent.maybe.push(Pod { uid: uid.clone(), ..pod.clone() });
            }
        }
        self.pods.entry(pod.uid.clone()).or_insert_with(|| new_intent(pod.clone(), Known::Maybe, asked));
    }

    /// The daemon is gone, or has heard that this pod is.
    pub(crate) fn forget_gone(&mut self) {
        self.pods.retain(|_, intent| !intent.gone);
    }

    /// Whether a pod of this name is wanted, for certain, exactly so.
    pub(crate) fn has(&self, pod: &Pod) -> bool {
        self.pods.values().any(|intent| {
            let certain = intent.created == Known::Acked && intent.deleted == Known::No && intent.maybe.is_empty();
            certain && !intent.gone && intent.spec == Pod { uid: intent.spec.uid.clone(), ..pod.clone() }
        })
    }

    /// What must hold of the core's view whenever it has given out all its effects.
    pub(crate) fn check<'a>(
        &self,
        views: impl Iterator<Item = &'a PodView>,
        most: Option<u32>,
    ) -> Result<(), Violation> {
        let mut counted = 0;
        let required = |intent: &Intent| intent.created == Known::Acked && !intent.gone;
        let mut acked = self.pods.values().filter(|intent| required(intent)).count();
        for view in views {
            let Some(intent) = self.pods.get(&view.uid) else {
                return Err(violated(Invariant::DeniedChangesNothing, format!("nobody asked for pod {}", view.uid)));
            };
            if required(intent) {
                acked -= 1;
            }
            check_one(intent, view)?;
            let of_file = view.pod.as_ref().is_some_and(|pod| pod.source == Source::File);
            counted += u32::from(of_file && view.deletion.is_none());
        }
        if most.is_some_and(|most| counted > most) {
            return Err(violated(
                Invariant::PolicyIsForWhatIsNew,
                format!("{counted} pods are more than the policy allows"),
            ));
        }
        if acked == 0 { Ok(()) } else { Err(violated(Invariant::NoIntentLost, "an accepted pod is not shown")) }
    }
}

fn check_one(intent: &Intent, view: &PodView) -> Result<(), Violation> {
    let uid = &view.uid;
    if view.pod.as_ref().is_some_and(|pod| !intent.allows(pod)) {
        return Err(violated(Invariant::DeniedChangesNothing, format!("pod {uid} is wanted as nobody was told")));
    }
    check_gate(intent, view)?;
    if intent.halted.is_some_and(|halted| halted != view.halted.is_some()) {
        let detail = format!("pod {uid} is shown as stopped: {}, which was not asked for", view.halted.is_some());
        return Err(violated(Invariant::NoIntentLost, detail));
    }
    match (intent.deleted, &view.deletion) {
        (Known::No, Some(_)) => {
            Err(violated(Invariant::DeniedChangesNothing, format!("pod {uid} is being deleted without evidence")))
        }
        (Known::Acked, None) => {
            Err(violated(Invariant::NoIntentLost, format!("the accepted deletion of pod {uid} is forgotten")))
        }
        (Known::No | Known::Maybe, None) | (Known::Maybe | Known::Acked, Some(_)) => Ok(()),
    }
}

/// A gate that is closed keeps a pod from being ready; what was acknowledged of it is shown.
fn check_gate(intent: &Intent, view: &PodView) -> Result<(), Violation> {
    let Some(known) = intent.gate else { return Ok(()) };
    let shown = view.conditions.iter().find(|condition| condition.kind == GATE).map(|condition| condition.status);
    if shown.unwrap_or(ConditionStatus::False) != known {
        let detail = format!("the gate of pod {} is shown as {shown:?}, not as {known}", view.uid);
        return Err(violated(Invariant::NoIntentLost, detail));
    }
    let gated = view.pod.as_ref().is_some_and(|pod| !pod.readiness_gates.is_empty());
    if view.ready && gated && known != ConditionStatus::True {
        return Err(violated(Invariant::ViewIsTrue, format!("pod {} is ready behind a closed gate", view.uid)));
    }
    Ok(())
}

fn new_intent(spec: Pod, created: Known, asked: SimTime) -> Intent {
    Intent {
        spec,
        maybe: Vec::new(),
        asked,
        created,
        deleted: Known::No,
        ending: None,
        gone: false,
        gate: Some(ConditionStatus::False),
        halted: Some(false),
        halted_at: SimTime::ZERO,
    }
}
