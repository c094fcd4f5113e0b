//! One pod: what is wanted, how far it is, and its containers.
//!
//! ```text
//!  Accepting ─Stored─▶ Waiting ─free─▶ Preparing ─Prepared─▶ Prepared
//!      │                  │              │   ▲ again             │
//!      │ StoreFailed      │              ▼   │                   │
//!      ▼                  │           PrepareFailed              │
//!    Gone                 └──────────┬──────┴────────────────────┘
//!                            deletion│and nothing of it runs
//!                                    ▼
//!        Gone ◀─Forgotten─ Forgetting ◀─ TornDown ◀─ TearingDown    (failures wait and try again)
//! ```
//!
//! Containers run in any stage but the first and the last ones; they are started in `Prepared` only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use barepod_model::{BootTime, ContainerKey, ContainerKind, ContainerName, Pod, PodUid, Reason};

use crate::admission::Blocker;
use crate::container::{Machine, Scene, StartGate, State, is_outdated};
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::journal::Journal;
use crate::planted::{self, Fault};
use crate::proposal::Request;
use crate::retry::Retry;
use crate::stop::{Grace, StopOrder};
use crate::{ContainerRecord, Deletion, Effect, PodRecord, PodView, Severity, StartFailure, Waits};

/// A pod.
#[derive(Debug)]
pub(crate) struct PodMachine {
    pub(crate) record: PodRecord,
    /// `record.pod`, to be handed out.
    pub(crate) wanted: Arc<Pod>,
    pub(crate) stage: Stage,
    /// The generation that must be prepared before a container is started.
    pub(crate) needs: u64,
    pub(crate) containers: BTreeMap<ContainerName, Machine>,
    pub(crate) journal: Journal,
    /// Requests that wait for the one being written.
    pub(crate) queue: VecDeque<Request>,
    /// As it was last shown; `None` while it is not accepted.
    pub(crate) view: Option<PodView>,
    pub(crate) wake: Option<(BootTime, Deadline)>,
}

/// How far a pod is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its first write is on its way; nobody knows it yet.
    Accepting,
    /// Another pod has its name or a data path.
    Waiting(Option<Blocker>),
    /// Directories, volumes and cgroup are being made.
    Preparing { generation: u64, again: Option<Retry> },
    /// They could not be made.
    PrepareFailed { failure: StartFailure, again: Retry },
    /// They are there.
    Prepared { generation: u64 },
    /// It is being removed from the host.
    TearingDown { again: Option<Retry> },
    /// Something of it could not be removed.
    TearDownFailed { message: String, again: Retry },
    /// Nothing of it is on the host; its last write may be on its way.
    TornDown,
    /// Its ledger file is being removed.
    Forgetting { again: Option<Retry> },
    /// It could not be removed.
    ForgetFailed { message: String, again: Retry },
    /// There is no such pod any more.
    Gone,
}

/// Whether others that wait should look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claims {
    Kept,
    Released,
}

impl PodMachine {
    /// A pod that is about to be written for the first time.
    pub(crate) fn new(pod: Pod, order: u64, ctx: &Ctx<'_>) -> Self {
        let containers = pod.containers.iter().map(|c| (c.name.clone(), ContainerRecord::default())).collect();
        let record = PodRecord {
            revision: crate::Revision::default(),
            boot: ctx.boot.clone(),
            pod,
            generation: 1,
            order,
            created: ctx.stamp(),
            deletion: None,
            orphaned: false,
            releasing: BTreeSet::new(),
            containers,
        };
        let journal = Journal::new();
        let mut machine = Self::with(record, Stage::Accepting, journal);
        machine.add_machines();
        machine
    }

    /// A pod in this stage, with no container known.
    pub(crate) fn with(record: PodRecord, stage: Stage, journal: Journal) -> Self {
        Self {
            wanted: Arc::new(record.pod.clone()),
            needs: record.generation,
            record,
            stage,
            containers: BTreeMap::new(),
            journal,
            queue: VecDeque::new(),
            view: None,
            wake: None,
        }
    }

    pub(crate) fn uid(&self) -> &PodUid {
        &self.record.pod.uid
    }

    /// Deletion has been accepted.
    pub(crate) fn is_dying(&self) -> bool {
        self.record.deletion.is_some()
    }

    /// Nothing of any container is on the host.
    pub(crate) fn is_idle(&self) -> bool {
        self.containers.values().all(Machine::is_idle)
    }

    /// What there is of some container is not known yet.
    pub(crate) fn is_recovering(&self) -> bool {
        self.containers.values().any(|machine| matches!(machine.state, State::Recovering))
    }

    /// Takes over that `record.pod` is another one now.
    pub(crate) fn take_wanted(&mut self) {
        self.wanted = Arc::new(self.record.pod.clone());
        self.add_machines();
    }

    fn add_machines(&mut self) {
        for container in &self.wanted.containers {
            self.record.containers.entry(container.name.clone()).or_default();
            self.containers.entry(container.name.clone()).or_insert_with(Machine::new);
        }
    }

    /// Lets one container handle something.
    pub(crate) fn with_container(
        &mut self,
        name: &ContainerName,
        ctx: &mut Ctx<'_>,
        handle: impl FnOnce(&mut Machine, &mut ContainerRecord, Scene<'_>, &mut Ctx<'_>),
    ) {
        let open = self.startable();
        self.scene(name, &open, ctx, handle);
    }

    fn scene<R>(
        &mut self,
        name: &ContainerName,
        open: &BTreeSet<ContainerName>,
        ctx: &mut Ctx<'_>,
        handle: impl FnOnce(&mut Machine, &mut ContainerRecord, Scene<'_>, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let machine = self.containers.get_mut(name)?;
        let rec = self.record.containers.get_mut(name)?;
        let spec = self.wanted.containers.iter().find(|container| container.name == *name);
        let stop = spec.map(|spec| &spec.stop).or(rec.stop.as_ref().map(|intent| &intent.plan));
        let ending = self.record.deletion.as_ref().map(|deletion| {
            let plan = stop.cloned().unwrap_or_default();
            StopOrder::new(&deletion.since, &ctx.stamp(), deletion.grace_for(self.wanted.grace, &plan), &plan)
        });
        let start = if open.contains(name) { StartGate::Open } else { StartGate::Closed };
        let scene = Scene {
            uid: &self.record.pod.uid,
            name,
            wanted: &self.wanted,
            generation: self.record.generation,
            spec,
            ending: ending.as_ref(),
            start,
        };
        Some(handle(machine, rec, scene, ctx))
    }

    /// The containers that may be started as far as the pod is concerned: init containers one by one, with nothing
    /// beside them, then all others.
    fn startable(&self) -> BTreeSet<ContainerName> {
        let prepared = matches!(self.stage, Stage::Prepared { generation } if generation >= self.needs);
        if !prepared || self.is_dying() || self.is_being_cleared() {
            return BTreeSet::new();
        }
        let of = |kind| self.wanted.containers.iter().filter(move |container| container.kind == kind);
        let done = |name| self.has_succeeded(name) && self.containers.get(name).is_some_and(Machine::is_idle);
        let next_init = of(ContainerKind::Init).find(|init| !done(&init.name));
        let candidates: Vec<&ContainerName> = match next_init {
            Some(init) if self.others_idle(&init.name) => vec![&init.name],
            Some(_) => Vec::new(),
            None => of(ContainerKind::Regular).map(|container| &container.name).collect(),
        };
        candidates.into_iter().filter(|name| !self.journal.holds(name)).cloned().collect()
    }

    /// Whether this init container has done its work.
    pub(crate) fn has_succeeded(&self, init: &ContainerName) -> bool {
        self.record
            .containers
            .get(init)
            .is_some_and(|rec| rec.finished && rec.last.as_ref().is_some_and(|end| end.status.is_success()))
    }

    /// Whether something still lives that all containers must wait for.
    fn is_being_cleared(&self) -> bool {
        let stops = self.record.containers.values().filter_map(|rec| rec.stop.as_ref());
        stops.into_iter().any(|stop| stop.waits == Waits::Pod)
    }

    fn others_idle(&self, name: &ContainerName) -> bool {
        self.containers.iter().all(|(other, machine)| other == name || machine.is_idle())
    }

    /// Does what is due, as far as the pod's present state allows it. `blocker` is what it waits for, if it waits.
    pub(crate) fn advance(&mut self, blocker: Option<Blocker>, ctx: &mut Ctx<'_>) -> Claims {
        if self.is_dying() {
            self.advance_end(ctx)
        } else {
            self.advance_life(blocker, ctx)
        }
        if !matches!(self.stage, Stage::Accepting | Stage::Gone) {
            self.advance_containers(ctx);
        }
        // The containers of a dying pod may just have been found gone.
        if self.is_dying() {
            self.advance_end(ctx);
        }
        self.release_paths()
    }

    fn advance_life(&mut self, blocker: Option<Blocker>, ctx: &mut Ctx<'_>) {
        let now = ctx.now.boot;
        match &mut self.stage {
            Stage::Waiting(known) if blocker.is_some() => *known = blocker,
            Stage::Waiting(_) => self.prepare(None, ctx),
            Stage::PrepareFailed { again, .. } if again.is_due(now) => {
                let again = *again;
                self.prepare(Some(again), ctx);
            }
            Stage::Prepared { generation } if *generation < self.needs => self.prepare(None, ctx),
            Stage::Accepting
            | Stage::Preparing { .. }
            | Stage::PrepareFailed { .. }
            | Stage::Prepared { .. }
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. }
            | Stage::TornDown
            | Stage::Forgetting { .. }
            | Stage::ForgetFailed { .. }
            | Stage::Gone => {}
        }
    }

    pub(crate) fn prepare(&mut self, again: Option<Retry>, ctx: &mut Ctx<'_>) {
        let generation = self.record.generation;
        self.stage = Stage::Preparing { generation, again };
        ctx.push(Effect::Prepare { pod: Arc::clone(&self.wanted), generation });
    }

    fn advance_end(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.boot;
        let idle = self.is_idle();
        match &self.stage {
            Stage::Waiting(_) | Stage::PrepareFailed { .. } | Stage::Prepared { .. } if idle => {
                self.tear_down(None, ctx);
            }
            Stage::TearDownFailed { again, .. } if again.is_due(now) => self.tear_down(Some(*again), ctx),
            Stage::TornDown if self.journal.is_quiet() => self.forget(None, ctx),
            Stage::ForgetFailed { again, .. } if again.is_due(now) => self.forget(Some(*again), ctx),
            Stage::Accepting
            | Stage::Waiting(_)
            | Stage::Preparing { .. }
            | Stage::PrepareFailed { .. }
            | Stage::Prepared { .. }
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. }
            | Stage::TornDown
            | Stage::Forgetting { .. }
            | Stage::ForgetFailed { .. }
            | Stage::Gone => {}
        }
    }

    fn tear_down(&mut self, again: Option<Retry>, ctx: &mut Ctx<'_>) {
        self.stage = Stage::TearingDown { again };
        ctx.push(Effect::TearDown { pod: Arc::clone(&self.wanted) });
    }

    fn forget(&mut self, again: Option<Retry>, ctx: &mut Ctx<'_>) {
        self.stage = Stage::Forgetting { again };
        ctx.push(Effect::Forget { pod: self.uid().clone() });
    }

    fn advance_containers(&mut self, ctx: &mut Ctx<'_>) {
        let open = self.startable();
        let names: Vec<_> = self.containers.keys().cloned().collect();
        for name in names {
            self.scene(&name, &open, ctx, |machine, rec, scene, ctx| machine.advance(rec, scene, ctx));
        }
        let wanted = &self.wanted.containers;
        self.containers.retain(|name, machine| !machine.is_idle() || wanted.iter().any(|spec| spec.name == *name));
    }

    /// Gives up the paths of a former generation once nothing of it can write there.
    fn release_paths(&mut self) -> Claims {
        if self.record.releasing.is_empty() || self.containers.iter().any(|(name, m)| self.may_be_old(name, m)) {
            return Claims::Kept;
        }
        self.record.releasing.clear();
        Claims::Released
    }

    fn may_be_old(&self, name: &ContainerName, machine: &Machine) -> bool {
        if planted::on(Fault::PathFreedTooEarly) {
            return false;
        }
        match &machine.state {
            State::Recovering => true,
            State::Idle => false,
            State::Starting { .. } | State::Running(_) | State::Draining { .. } => {
                self.record.containers.get(name).is_none_or(is_outdated)
            }
        }
    }

    /// The pod's directories are there.
    pub(crate) fn prepared(&mut self, generation: u64) {
        self.stage = Stage::Prepared { generation };
    }

    /// They could not be made.
    pub(crate) fn prepare_failed(&mut self, failure: StartFailure, ctx: &mut Ctx<'_>) {
        self.tell(Severity::Warning, Reason::CreatePodError, failure.message.clone(), ctx);
        if let Stage::Preparing { again, .. } = self.stage {
            self.stage = Stage::PrepareFailed { failure, again: Retry::after(again, ctx.now.boot) };
        }
    }

    /// Nothing of it is on the host any more.
    pub(crate) fn torn_down(&mut self) {
        self.stage = Stage::TornDown;
    }

    /// Something of it still is.
    pub(crate) fn tear_down_failed(&mut self, message: String, ctx: &mut Ctx<'_>) {
        self.tell(Severity::Warning, Reason::Failed, message.clone(), ctx);
        if let Stage::TearingDown { again } = self.stage {
            self.stage = Stage::TearDownFailed { message, again: Retry::after(again, ctx.now.boot) };
        }
    }

    /// Its ledger file is gone.
    pub(crate) fn forgotten(&mut self, ctx: &mut Ctx<'_>) {
        self.tell(Severity::Normal, Reason::Deleted, "nothing of it is left".to_owned(), ctx);
        self.stage = Stage::Gone;
    }

    /// Its ledger file could not be removed.
    pub(crate) fn forget_failed(&mut self, message: String, ctx: &mut Ctx<'_>) {
        self.tell(Severity::Warning, Reason::Failed, message.clone(), ctx);
        if let Stage::Forgetting { again } = self.stage {
            self.stage = Stage::ForgetFailed { message, again: Retry::after(again, ctx.now.boot) };
        }
    }

    pub(crate) fn tell(&self, severity: Severity, reason: Reason, message: String, ctx: &mut Ctx<'_>) {
        ctx.tell(self.uid(), None, severity, reason, message);
    }

    /// Writes what is new, while there is a file to write.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        match self.stage {
            Stage::Accepting
            | Stage::TornDown
            | Stage::Forgetting { .. }
            | Stage::ForgetFailed { .. }
            | Stage::Gone => {}
            Stage::Waiting(_)
            | Stage::Preparing { .. }
            | Stage::PrepareFailed { .. }
            | Stage::Prepared { .. }
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. } => self.journal.flush(&self.record, ctx),
        }
    }

    /// Works out when and why it wants to be woken next.
    pub(crate) fn set_wake(&mut self, ctx: &mut Ctx<'_>) {
        let uid = self.uid().clone();
        let stage = match &self.stage {
            Stage::PrepareFailed { again, .. } if !self.is_dying() => {
                Some((again.at(), Deadline::PrepareAgain(uid.clone())))
            }
            Stage::TearDownFailed { again, .. } => Some((again.at(), Deadline::TearDownAgain(uid.clone()))),
            Stage::ForgetFailed { again, .. } => Some((again.at(), Deadline::ForgetAgain(uid.clone()))),
            Stage::Accepting
            | Stage::Waiting(_)
            | Stage::Preparing { .. }
            | Stage::PrepareFailed { .. }
            | Stage::Prepared { .. }
            | Stage::TearingDown { .. }
            | Stage::TornDown
            | Stage::Forgetting { .. }
            | Stage::Gone => None,
        };
        let store = match &self.stage {
            Stage::TornDown | Stage::Forgetting { .. } | Stage::ForgetFailed { .. } => None,
            _open => self.journal.wake().map(|at| (at, Deadline::StoreAgain(uid))),
        };
        let open = self.startable();
        let names: Vec<_> = self.containers.keys().cloned().collect();
        let containers = names
            .iter()
            .filter_map(|name| self.scene(name, &open, ctx, |machine, rec, scene, ctx| machine.wake(rec, scene, ctx)))
            .flatten()
            .min();
        self.wake = [stage, store, containers].into_iter().flatten().min();
    }

    /// The container's key.
    pub(crate) fn key(&self, name: &ContainerName) -> ContainerKey {
        ContainerKey { pod: self.uid().clone(), container: name.clone() }
    }
}

impl Deletion {
    /// How long a container of the dying pod has.
    pub(crate) fn grace_for(&self, pod: std::time::Duration, plan: &barepod_model::StopPlan) -> Grace {
        let grace = self.grace.map_or_else(|| Grace::effective(pod, plan), Grace::given);
        match self.cap {
            Some(cap) if cap < grace.length => Grace::given(cap),
            Some(_) | None => grace,
        }
    }
}
