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
use std::time::Duration;

use barepod_model::{
    Amounts, BootTime, Container as Spec, ContainerKey, ContainerKind, ContainerName, Phase, Pod, PodUid, Reason,
    Source, Stamp, StopCause,
};

use crate::admission::Blocker;
use crate::container::{Machine, Scene, StartGate, State, is_outdated};
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::journal::Journal;
use crate::planted::{self, Fault};
use crate::proposal::{self, Request};
use crate::retry::Retry;
use crate::stop::{Grace, StopOrder};
use crate::{
    ContainerRecord, Deletion, Effect, PendingResize, PodFailure, PodRecord, PodView, Severity, StartFailure, Waits,
    condition,
};

/// A pod.
#[derive(Debug)]
pub(crate) struct PodMachine {
    pub(crate) record: PodRecord,
    /// `record.pod` with what it was given of its resources, to be handed out.
    pub(crate) wanted: Arc<Pod>,
    pub(crate) stage: Stage,
    /// The generation that must be prepared before a container is started.
    pub(crate) needs: u64,
    /// Boxed for the same reason as their records.
    pub(crate) containers: BTreeMap<ContainerName, Box<Machine>>,
    pub(crate) journal: Journal,
    /// Requests that wait for the one being written.
    pub(crate) queue: VecDeque<Request>,
    pub(crate) others: Others,
    /// It had a part of the host when this was last looked at.
    pub(crate) is_booked: bool,
    /// How much.
    pub(crate) part: Amounts,
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
    PrepareFailed { generation: u64, failure: StartFailure, again: Retry },
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

/// What other pods mean for this one.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// What it waits for before its first container is started.
    pub(crate) dependency: Option<Blocker>,
    /// Its end waits for that of another.
    pub(crate) held: bool,
    /// Why a change of its resources is not made yet, if it has one.
    pub(crate) pending: Option<PendingResize>,
    /// The host goes down.
    pub(crate) goes_down: bool,
}

/// Why containers are stopped although nothing is wrong with them.
#[derive(Debug)]
enum End<'a> {
    /// The pod is no longer wanted.
    Deleted(&'a Deletion),
    /// It has failed as a whole.
    Failed(&'a PodFailure),
    /// Its work is done, or cannot be done, since then: there is nothing to stand beside.
    Over(Stamp),
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
        let containers = pod.containers.iter().map(|c| (c.name.clone(), Box::default())).collect();
        let record = PodRecord {
            revision: crate::Revision::default(),
            boot: ctx.boot.clone(),
            pod,
            allocated: None,
            exclusive: BTreeMap::new(),
            generation: 1,
            order,
            created: ctx.stamp(),
            counts_from: None,
            spent: Duration::ZERO,
            deletion: None,
            failure: None,
            halted: None,
            initialized: false,
            booked: false,
            unbooked: false,
            orphaned: false,
            conditions: BTreeMap::new(),
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
            wanted: Arc::new(given(&record)),
            needs: record.generation,
            record,
            stage,
            containers: BTreeMap::new(),
            journal,
            queue: VecDeque::new(),
            others: Others::default(),
            is_booked: false,
            part: Amounts::default(),
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

    /// It has failed because a port that it wants is taken, before it was begun: it has nothing, and never will. (Who has failed
    /// with its host may begin again.)
    pub(crate) fn was_refused(&self) -> bool {
        let is_refusal = |failure: &PodFailure| failure.reason == Reason::NodePorts;
        self.record.failure.as_ref().is_some_and(is_refusal) && !self.record.booked && self.is_idle()
    }

    /// Nothing of any container is on the host.
    pub(crate) fn is_idle(&self) -> bool {
        self.containers.values().all(|machine| machine.is_idle())
    }

    /// What there is of some container is not known yet.
    pub(crate) fn is_recovering(&self) -> bool {
        self.containers.values().any(|machine| matches!(machine.state, State::Recovering))
    }

    /// Takes over that `record.pod` is another one now.
    pub(crate) fn take_wanted(&mut self) {
        self.wanted = Arc::new(given(&self.record));
        self.add_machines();
    }

    fn add_machines(&mut self) {
        for container in &self.wanted.containers {
            self.record.containers.entry(container.name.clone()).or_default();
            self.containers.entry(container.name.clone()).or_insert_with(|| Box::new(Machine::new()));
        }
    }

    /// Brings its conditions up to date with what is shown of it. While it is being found out what there is, they are kept:
    /// not to know is no change.
    pub(crate) fn settle_conditions(&mut self, view: &mut PodView, now: &Stamp) {
        if self.is_recovering() {
            return;
        }
        let over = matches!(view.phase, Phase::Succeeded | Phase::Failed);
        let sandbox = match &self.stage {
            Stage::Prepared { .. } => Some(!over),
            // What is made again may be there.
            Stage::Waiting(None) | Stage::Preparing { .. } | Stage::PrepareFailed { .. } => None,
            Stage::Accepting
            | Stage::Waiting(Some(_))
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. }
            | Stage::TornDown
            | Stage::Forgetting { .. }
            | Stage::ForgetFailed { .. }
            | Stage::Gone => Some(false),
        };
        condition::update(&mut self.record, view, sandbox, now);
        view.conditions = condition::shown(&self.record);
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
        let ending = self.ending_of(name, ctx);
        let machine = self.containers.get_mut(name)?;
        let rec = self.record.containers.get_mut(name)?;
        let spec = self.wanted.containers.iter().find(|container| container.name == *name);
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

    /// Why containers are stopped, if they are.
    fn end(&self) -> Option<End<'_>> {
        let PodRecord { deletion, failure, .. } = &self.record;
        let failure = failure.as_ref().filter(|f| f.reason != Reason::Evicted || !planted::on(Fault::EvictedComesBack));
        let deleted = deletion.as_ref().map(End::Deleted);
        deleted.or(failure.map(End::Failed)).or_else(|| self.over_since().map(End::Over))
    }

    /// Since when no container but those that stand beside the others will run any more, and none does.
    fn over_since(&self) -> Option<Stamp> {
        let done = self.done_since()?;
        let beside =
            |name: &ContainerName| self.wanted.containers.iter().any(|spec| spec.name == *name && stands_beside(spec));
        if self.containers.iter().any(|(name, machine)| !beside(name) && !machine.is_idle()) {
            return None;
        }
        // One that an update removed may have lived longest.
        let others = self.record.containers.iter().filter(|(name, _)| !beside(name));
        let ends = others.filter_map(|(_, rec)| rec.last.as_ref().map(|end| end.finished.clone()));
        ends.chain([done]).max_by_key(|at| self.age_key(at))
    }

    /// Since when no container but sidecars will be started any more: all ended for good, or an init container failed for
    /// good.
    fn done_since(&self) -> Option<Stamp> {
        let ended = |spec: &Spec| {
            let rec = self.record.containers.get(&spec.name).filter(|rec| rec.finished)?;
            rec.last.as_ref()
        };
        let mut inits = self.of_kind(ContainerKind::Init).filter_map(ended);
        let failed = inits.find(|end| !end.status.is_success()).map(|end| end.finished.clone());
        let all: Option<Vec<_>> = self.of_kind(ContainerKind::Regular).map(ended).collect();
        let last =
            all.and_then(|ends| ends.into_iter().map(|end| &end.finished).max_by_key(|at| self.age_key(at)).cloned());
        failed.or(last)
    }

    /// The later a moment, the greater: those of former boots come before all of this one.
    fn age_key(&self, at: &Stamp) -> (bool, BootTime) {
        (at.boot_id == self.record.boot, at.boot)
    }

    /// Whether no container will be started any more, as things are.
    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some()
    }

    fn of_kind(&self, kind: ContainerKind) -> impl Iterator<Item = &Spec> {
        self.wanted.containers.iter().filter(move |container| container.kind == kind)
    }

    fn is_ephemeral(&self, name: &ContainerName) -> bool {
        self.of_kind(ContainerKind::Ephemeral).any(|container| container.name == *name)
    }

    /// How the end of the pod bounds one of its containers.
    fn ending_of(&self, name: &ContainerName, ctx: &Ctx<'_>) -> Option<StopOrder> {
        let spec = self.wanted.containers.iter().find(|container| container.name == *name);
        let intent = self.record.containers.get(name)?.stop.as_ref();
        let plan = spec.map(|spec| &spec.stop).or(intent.map(|intent| &intent.plan)).cloned().unwrap_or_default();
        let (since, grace, cause) = match self.end()? {
            End::Deleted(deletion) => {
                (deletion.since.clone(), deletion.grace_for(self.wanted.grace, &plan), StopCause::Deletion)
            }
            End::Failed(failure) => {
                let cause = StopCause::Failure(failure.reason, failure.message.clone());
                (failure.since.clone(), failure.grace_for(self.wanted.grace, &plan), cause)
            }
            End::Over(since) if spec.is_some_and(stands_beside) => {
                (since, Grace::effective(self.wanted.grace, &plan), StopCause::Over)
            }
            End::Over(_) => return None,
        };
        let cause = Some(Box::new(cause));
        let hook = match spec {
            Some(spec) => spec.lifecycle.pre_stop.clone(),
            None => intent.and_then(|intent| intent.hook.clone()),
        };
        let asked = self.is_dying();
        let held = self.others.held || spec.is_some_and(|spec| self.must_outlive_others(spec));
        Some(StopOrder { held, asked, cause, ..StopOrder::new(&since, &ctx.stamp(), grace, &plan, hook) })
    }

    /// A sidecar ends after all that is no sidecar, and after the sidecars that were started after it.
    pub(crate) fn must_outlive_others(&self, spec: &Spec) -> bool {
        if !is_sidecar(spec) || planted::on(Fault::SidecarsStopAtOnce) {
            return false;
        }
        let order = |name: &ContainerName| self.wanted.containers.iter().position(|other| other.name == *name);
        let goes_first = |name: &ContainerName| match order(name) {
            Some(at) => match self.wanted.containers[at].kind {
                ContainerKind::Sidecar => Some(at) > order(&spec.name),
                ContainerKind::Init | ContainerKind::Regular => true,
                // Nothing is there for its sake.
                ContainerKind::Ephemeral => false,
            },
            // An update removed it, and it lives still.
            None => true,
        };
        self.containers.iter().any(|(name, machine)| goes_first(name) && !machine.is_idle())
    }

    /// The containers that may be started as far as the pod is concerned: init containers one by one, each sidecar among
    /// them until it has started, then all others. From then on each is restarted for itself. Ephemeral containers are there
    /// to look what keeps the others waiting.
    fn startable(&self) -> BTreeSet<ContainerName> {
        let prepared = matches!(self.stage, Stage::Prepared { generation } if generation >= self.needs);
        let over = self.is_over() || self.done_since().is_some();
        let cpus_known = self.record.exclusive.is_empty() || self.journal.knows_cpus(&self.record.exclusive);
        let goes_down = self.others.goes_down && !planted::on(Fault::StartsOnTheWayDown);
        let halted = self.record.halted.is_some() && !planted::on(Fault::StoppedComesBack);
        if !prepared
            || over
            || goes_down
            || halted
            || self.may_be_over()
            || !cpus_known
            || self.is_being_cleared()
            || self.awaits_dependency()
        {
            return BTreeSet::new();
        }
        let candidates: Vec<_> = match self.initialization() {
            Initialization::At(candidates) => candidates,
            Initialization::Done => {
                // One of which nothing is known yet may have to begin before what comes after it.
                let is_unknown = |spec: &&Spec| {
                    is_sidecar(spec) && self.containers.get(&spec.name).is_some_and(|machine| machine.is_unknown())
                };
                let first_unknown = self.wanted.containers.iter().find(is_unknown).map(|spec| &spec.name);
                let known = self.wanted.containers.iter().take_while(|spec| Some(&spec.name) != first_unknown);
                known.filter(|container| container.kind.lasts()).map(|container| &container.name).collect()
            }
        };
        let ephemeral = self.of_kind(ContainerKind::Ephemeral).map(|container| &container.name);
        candidates.into_iter().chain(ephemeral).filter(|name| !self.journal.holds(name)).cloned().collect()
    }

    /// Whether the pod has come to its end if what is not known yet has ended too: every regular container has ended, as far as is
    /// known, and what stands beside them or comes before them has nothing to begin for.
    fn may_be_over(&self) -> bool {
        let is_unknown = |name: &ContainerName| self.containers.get(name).is_some_and(|machine| machine.is_unknown());
        let is_finished = |name: &ContainerName| self.record.containers.get(name).is_some_and(|rec| rec.finished);
        let mut regular = self.of_kind(ContainerKind::Regular).map(|spec| &spec.name);
        regular.all(|name| is_unknown(name) || is_finished(name))
    }

    /// How far init containers and sidecars are.
    fn initialization(&self) -> Initialization<'_> {
        if self.record.initialized {
            return Initialization::Done;
        }
        let mut sidecars = Vec::new();
        for spec in &self.wanted.containers {
            let name = &spec.name;
            match spec.kind {
                ContainerKind::Init if self.is_done(name) => {}
                ContainerKind::Init => {
                    let alone = self.others_idle(|other| other == name || sidecars.contains(&other));
                    return Initialization::At(sidecars.into_iter().chain(alone.then_some(name)).collect());
                }
                ContainerKind::Sidecar => {
                    sidecars.push(name);
                    if !self.has_started(name) && !planted::on(Fault::SidecarNotAwaited) {
                        return Initialization::At(sidecars);
                    }
                }
                ContainerKind::Regular | ContainerKind::Ephemeral => {}
            }
        }
        Initialization::Done
    }

    /// Whether this init container has done its work, and nothing of it is left.
    fn is_done(&self, init: &ContainerName) -> bool {
        self.has_succeeded(init) && self.containers.get(init).is_some_and(|machine| machine.is_idle())
    }

    fn has_started(&self, name: &ContainerName) -> bool {
        let runs = self.containers.get(name).is_some_and(|machine| matches!(machine.state, State::Running(_)));
        runs && self.record.containers.get(name).is_some_and(|rec| rec.started)
    }

    /// Whether nothing of the pod has begun yet, and another pod must be ready first.
    pub(crate) fn awaits_dependency(&self) -> bool {
        let none_lives =
            || self.containers.iter().all(|(name, machine)| machine.live().is_none() || self.is_ephemeral(name));
        let none_lived =
            || self.record.containers.iter().all(|(name, rec)| rec.attempt.is_none() || self.is_ephemeral(name));
        self.others.dependency.is_some() && none_lives() && (!self.record.initialized || none_lived())
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

    fn others_idle(&self, may_live: impl Fn(&ContainerName) -> bool) -> bool {
        self.containers.iter().all(|(other, machine)| may_live(other) || machine.is_idle() || self.is_ephemeral(other))
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
        self.take_resources(blocker.as_ref(), ctx);
        let over = self.is_over();
        let can_be_cleared = self.is_evicted() && self.is_idle() && !planted::on(Fault::EvictedComesBack);
        match &mut self.stage {
            Stage::Prepared { .. } | Stage::PrepareFailed { .. } if can_be_cleared => self.tear_down(None, ctx),
            Stage::TearDownFailed { again, .. } if again.is_due(now) => {
                let again = *again;
                self.tear_down(Some(again), ctx);
            }
            // What has come to its end, or is found to have, waits for nothing.
            Stage::Waiting(known) if over => *known = None,
            Stage::Waiting(known) if blocker.is_some() => *known = blocker,
            // It is given what the pod asks for that is being written, which nobody has measured beside the others yet.
            Stage::Waiting(_) if self.journal.asked_pod().is_some() => {}
            Stage::Waiting(_) => self.prepare(None, ctx),
            // Another wish may be one that can be prepared.
            Stage::PrepareFailed { generation, .. } if *generation < self.needs => self.prepare(None, ctx),
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

    /// One that had given back its part of the host, since it was over, and lives again asks for it like a new one.
    pub(crate) fn ask_again(&mut self) {
        if !self.record.unbooked || self.is_dying() || self.is_over() {
            return;
        }
        match self.stage {
            // Nothing of it is on the host; before that, what is on its way out still holds its part.
            Stage::TornDown => {
                self.record.booked = false;
                self.stage = Stage::Waiting(None);
            }
            Stage::Prepared { .. } | Stage::PrepareFailed { .. } | Stage::Preparing { .. }
                if self.is_idle() && !self.is_booked =>
            {
                self.record.booked = false;
                self.stage = Stage::Waiting(None);
            }
            Stage::Prepared { .. } | Stage::PrepareFailed { .. } => self.record.unbooked = false,
            Stage::Accepting
            | Stage::Waiting(_)
            | Stage::Preparing { .. }
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. }
            | Stage::Forgetting { .. }
            | Stage::ForgetFailed { .. }
            | Stage::Gone => {}
        }
    }

    /// Gets what a change of its resources asks for, if there is room.
    fn take_resources(&mut self, blocker: Option<&Blocker>, ctx: &mut Ctx<'_>) {
        let waits = matches!(self.stage, Stage::Waiting(_));
        let refused = blocker.filter(|blocker| waits && blocker.reason.is_of_the_node());
        if let Some(blocker) = refused.filter(|_| self.record.pod.source == Source::Kubernetes) {
            // Whoever sent it here can send it elsewhere, and must know.
            let failure =
                PodFailure { message: blocker.message.clone(), ..PodFailure::now(blocker.reason, ctx.stamp()) };
            self.record.failure.get_or_insert(failure);
        }
        // A change that is being written was found to have room beside what its pod has now.
        let room = self.others.pending.is_none() && self.journal.asked_pod().is_none();
        let Some(before) = self.record.allocated.take_if(|_| room || waits) else { return };
        if !waits {
            proposal::restart_for_resize(&mut self.record, &before, &ctx.stamp());
        }
        self.take_wanted();
    }

    pub(crate) fn prepare(&mut self, again: Option<Retry>, ctx: &mut Ctx<'_>) {
        let generation = self.record.generation;
        self.record.booked = true;
        self.record.unbooked = false;
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
        self.restart_all(ctx);
        self.keep_to_deadline(ctx);
        if self.others.goes_down {
            self.go_down(ctx);
        } else if self.record.halted.is_some() && !self.is_dying() && !self.is_over() {
            self.stop_what_runs(ctx);
        }
        // What one of them does may let others begin, each of them once.
        for _ in 0..=self.containers.len() {
            let open = self.open();
            for name in self.in_order() {
                self.scene(&name, &open, ctx, |machine, rec, scene, ctx| machine.advance(rec, scene, ctx));
            }
            if self.startable().is_subset(&open) {
                break;
            }
        }
        let wanted = &self.wanted.containers;
        self.containers.retain(|name, machine| !machine.is_idle() || wanted.iter().any(|spec| spec.name == *name));
    }

    /// The containers that may be started now. A pod that has come through its initialization has done so for good.
    fn open(&mut self) -> BTreeSet<ContainerName> {
        let open = self.startable();
        if open.is_empty() || !matches!(self.initialization(), Initialization::Done) {
            return open;
        }
        self.record.initialized = true;
        self.startable()
    }

    /// As the manifest has them, in which order they are started where several are; then what an update removed.
    fn in_order(&self) -> Vec<ContainerName> {
        let place = |name: &ContainerName| self.wanted.containers.iter().position(|spec| spec.name == *name);
        let mut names: Vec<_> = self.containers.keys().cloned().collect();
        names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
        names
    }

    /// A container may have ended in a way that asks for new processes of all.
    fn restart_all(&mut self, ctx: &mut Ctx<'_>) {
        let asks = |rec: &mut ContainerRecord| std::mem::take(&mut rec.restarts_all);
        let askers = self.record.containers.iter_mut().filter_map(|(name, rec)| asks(rec).then(|| name.clone()));
        for name in askers.collect::<Vec<_>>() {
            if self.end().is_none() {
                proposal::replace_others(&mut self.record, &name, &ctx.stamp());
                let message = format!("by a rule of container {name}, which ended");
                self.tell(Severity::Normal, Reason::RestartingAllContainers, message, ctx);
            }
        }
    }

    fn keep_to_deadline(&mut self, ctx: &mut Ctx<'_>) {
        let Some(deadline) = self.deadline() else { return };
        if self.deadline_at(deadline) <= ctx.now.boot {
            let message = format!("it was active for longer than its deadline of {} s", deadline.as_secs());
            self.tell(Severity::Warning, Reason::DeadlineExceeded, message.clone(), ctx);
            let failure = PodFailure { message, ..PodFailure::now(Reason::DeadlineExceeded, ctx.stamp()) };
            self.record.failure = Some(failure);
        }
    }

    /// How long it may live, while it does.
    fn deadline(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Accepting | Stage::Gone => None,
            // It may have ended before.
            _known if self.is_recovering() => None,
            _known => self.wanted.active_deadline.filter(|_| self.end().is_none()),
        }
    }

    /// When it has lived for so long.
    fn deadline_at(&self, deadline: Duration) -> BootTime {
        let since = self.record.counts_from.as_ref().unwrap_or(&self.record.created);
        since.boot + deadline.saturating_sub(self.record.spent)
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
                self.record.containers.get(name).is_none_or(|rec| is_outdated(rec))
            }
        }
    }

    /// The pod's directories are there.
    pub(crate) fn prepared(&mut self, generation: u64) {
        self.stage = Stage::Prepared { generation };
    }

    /// They could not be made.
    pub(crate) fn prepare_failed(&mut self, failure: StartFailure, ctx: &mut Ctx<'_>) {
        self.tell(Severity::Warning, failure.reason, failure.message.clone(), ctx);
        if let Stage::Preparing { generation, again } = self.stage {
            self.stage = Stage::PrepareFailed { generation, failure, again: Retry::after(again, ctx.now.boot) };
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

    /// Tells which containers wait for what does not exist.
    pub(crate) fn tell_missing(&self, ctx: &mut Ctx<'_>) {
        for spec in &self.wanted.containers {
            if let Some(missing) = &spec.missing {
                ctx.tell(self.uid(), Some(&spec.name), Severity::Warning, Reason::Failed, missing.clone());
            }
        }
    }

    pub(crate) fn tell(&self, severity: Severity, reason: Reason, message: String, ctx: &mut Ctx<'_>) {
        ctx.tell(self.uid(), None, severity, reason, message);
    }

    /// Writes what is new, while there is a file to write.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>) {
        match self.stage {
            Stage::TornDown if !self.is_dying() => self.journal.flush(&self.record, ctx),
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
            Stage::TornDown if self.is_dying() => None,
            Stage::Forgetting { .. } | Stage::ForgetFailed { .. } => None,
            _open => self.journal.wake().map(|at| (at, Deadline::StoreAgain(uid))),
        };
        let deadline = self.deadline();
        let deadline = deadline.map(|after| (self.deadline_at(after), Deadline::ActiveDeadline(self.uid().clone())));
        let open = self.startable();
        let names: Vec<_> = self.containers.keys().cloned().collect();
        let containers = names
            .iter()
            .filter_map(|name| self.scene(name, &open, ctx, |machine, rec, scene, ctx| machine.wake(rec, scene, ctx)))
            .flatten()
            .min();
        self.wake = [stage, store, deadline, containers].into_iter().flatten().min();
    }

    /// The container's key.
    pub(crate) fn key(&self, name: &ContainerName) -> ContainerKey {
        ContainerKey { pod: self.uid().clone(), container: name.clone() }
    }
}

/// The pod as it may be made: with what it was given.
pub(crate) fn given(record: &PodRecord) -> Pod {
    let mut pod = record.pod.clone();
    if let Some(allocated) = &record.allocated {
        allocated.put_into(&mut pod);
    }
    pod
}

/// How far a pod's init containers and sidecars are.
enum Initialization<'a> {
    /// These may be started.
    At(Vec<&'a ContainerName>),
    /// There is nothing more to wait for.
    Done,
}

fn is_sidecar(spec: &Spec) -> bool {
    spec.kind == ContainerKind::Sidecar
}

/// It ends when there is nothing more to stand beside.
pub(crate) fn stands_beside(spec: &Spec) -> bool {
    match spec.kind {
        ContainerKind::Sidecar | ContainerKind::Ephemeral => true,
        ContainerKind::Init | ContainerKind::Regular => false,
    }
}

impl PodFailure {
    /// A failure at this moment.
    pub(crate) fn now(reason: Reason, since: Stamp) -> Self {
        Self { reason, message: String::new(), since, grace: None, disruption: None }
    }

    fn grace_for(&self, pod: Duration, plan: &barepod_model::StopPlan) -> Grace {
        self.grace.map_or_else(|| Grace::effective(pod, plan), Grace::given)
    }
}

impl Deletion {
    /// How long a container of the dying pod has.
    pub(crate) fn grace_for(&self, pod: Duration, plan: &barepod_model::StopPlan) -> Grace {
        let grace = self.grace.map_or_else(|| Grace::effective(pod, plan), Grace::given);
        match self.cap {
            Some(cap) if cap < grace.length => Grace::given(cap),
            Some(_) | None => grace,
        }
    }
}
