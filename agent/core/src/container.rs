//! One container: the state machine of its attempts.
//!
//! ```text
//!             Observed                   Started                Exited              Emptied
//!  Recovering ────────▶ Idle ──▶ Starting ─────▶ Running ────────────▶ Draining ────────────▶ Idle
//!      │                 ▲          │               ▲                      ▲
//!      │                 └──────────┘ StartFailed   │                      │
//!      └────────────────────────────────────────────┴──────────────────────┘ Observed
//! ```
//!
//! What must survive the daemon is in [`ContainerRecord`]; what can be found out again is in [`State`]. `Idle` means that
//! nothing of the container is on the host; only from there is an attempt started, so there are never two. Whether and
//! when that happens follows from the record alone: a finished container stays, one whose attempt is out of date starts at
//! once, any other waits for its back-off. What an answer to `Observe` means is in `recover.rs`.

use std::sync::Arc;

use barepod_model::{
    Attempt, BootTime, Container as Spec, ContainerKey, ContainerName, ExitStatus, Pod, PodUid, ProbeKind, Reason,
    Resources, Stamp, Termination,
};

use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::outcome::{self, Exit};
use crate::planted::{self, Fault};
use crate::probe::{Probes, Verdict};
use crate::retry::Retry;
use crate::stop::{Grace, Stop, StopAct, StopOrder, StopWake};
use crate::{
    AttemptKey, ContainerRecord, Effect, ProbeOutcome, ProbeTicket, Progress, Severity, StartFailure, StopIntent,
    Waits, backoff,
};

/// A container's volatile side.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) state: State,
    pub(crate) observing: Observing,
}

/// What it does.
#[derive(Debug)]
pub(crate) enum State {
    /// After a start of the daemon: what there is has been asked for.
    Recovering,
    /// Nothing of it is on the host.
    Idle,
    /// An attempt is being started.
    Starting { attempt: Attempt },
    /// An attempt runs.
    Running(Box<Running>),
    /// The main process ended, its cgroup is not empty.
    Draining { attempt: Attempt, again: Retry },
}

/// A running attempt.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) attempt: Attempt,
    pub(crate) pid: u32,
    pub(crate) since: Stamp,
    pub(crate) stop: Option<Stop>,
    probes: Probes,
    resize: Resize,
}

/// New limits on their way.
#[derive(Debug)]
enum Resize {
    None,
    InFlight {
        generation: u64,
        resources: Resources,
    },
    /// Not tried again before the next generation.
    Refused {
        generation: u64,
    },
}

/// Whether an `Observe` is on its way. There is never more than one, so that an answer belongs to its question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observing {
    No,
    /// Asked while this attempt was the live one.
    Asked(Option<Attempt>),
    /// Asked, but the question must be put again.
    Again,
}

/// What a container needs to know of its pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) uid: &'a PodUid,
    pub(crate) name: &'a ContainerName,
    pub(crate) wanted: &'a Arc<Pod>,
    pub(crate) generation: u64,
    /// `None` if an update removed the container.
    pub(crate) spec: Option<&'a Spec>,
    /// How the pod's end bounds this container.
    pub(crate) ending: Option<&'a StopOrder>,
    pub(crate) start: StartGate,
}

/// Whether an attempt may be started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartGate {
    Open,
    Closed,
}

impl Scene<'_> {
    pub(crate) fn key(&self, attempt: Attempt) -> AttemptKey {
        AttemptKey { pod: self.uid.clone(), container: self.name.clone(), attempt }
    }

    pub(crate) fn container_key(&self) -> ContainerKey {
        ContainerKey { pod: self.uid.clone(), container: self.name.clone() }
    }

    pub(crate) fn tell(&self, ctx: &mut Ctx<'_>, severity: Severity, reason: Reason, message: String) {
        ctx.tell(self.uid, Some(self.name), severity, reason, message);
    }

    /// Every end is told, for the record keeps the last two only.
    pub(crate) fn tell_end(&self, ctx: &mut Ctx<'_>, attempt: Attempt, end: &Termination) {
        let severity = if end.status.is_success() { Severity::Normal } else { Severity::Warning };
        self.tell(ctx, severity, end.reason, format!("attempt {attempt} ended with {}", end.status));
    }
}

/// When a container that is neither finished nor alive may be started; `None` means at once.
pub(crate) fn due(rec: &ContainerRecord, ctx: &Ctx<'_>) -> Option<BootTime> {
    if rec.attempt.is_none() || is_outdated(rec) || rec.progress == Progress::Lost {
        return None;
    }
    backoff::due(rec.backoff.as_ref(), &rec.last.as_ref()?.finished, ctx.figures, &ctx.stamp())
}

/// Whether the newest attempt is not what is wanted now.
pub(crate) fn is_outdated(rec: &ContainerRecord) -> bool {
    rec.attempt_epoch < rec.epoch
}

impl Machine {
    /// A container that was never on this host.
    pub(crate) fn new() -> Self {
        Self { state: State::Idle, observing: Observing::No }
    }

    /// The attempt of which something is, or may be, on the host.
    pub(crate) fn live(&self) -> Option<Attempt> {
        match &self.state {
            State::Recovering | State::Idle => None,
            State::Starting { attempt } | State::Draining { attempt, .. } => Some(*attempt),
            State::Running(run) => Some(run.attempt),
        }
    }

    /// Nothing of it is on the host, for certain.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the answer to this run of a probe is waited for.
    pub(crate) fn awaits_probe(&self, kind: ProbeKind, ticket: ProbeTicket) -> bool {
        matches!(&self.state, State::Running(run) if run.probes.awaits(kind, ticket))
    }

    /// Whether the answer to a resize of this generation is waited for.
    pub(crate) fn awaits_resize(&self, generation: u64) -> bool {
        matches!(&self.state, State::Running(run)
            if matches!(run.resize, Resize::InFlight { generation: mine, .. } if mine == generation))
    }

    /// The attempt's program was executed.
    pub(crate) fn started(&mut self, pid: u32, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(attempt) = self.live() else { return };
        scene.tell(ctx, Severity::Normal, Reason::Started, format!("attempt {attempt} runs as pid {pid}"));
        self.run(attempt, pid, ctx.stamp(), rec, scene, ctx);
    }

    /// Enters `Running`. Readiness is kept where the record already knows this attempt as running.
    pub(crate) fn run(
        &mut self,
        attempt: Attempt,
        pid: u32,
        since: Stamp,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &Ctx<'_>,
    ) {
        if !matches!(rec.progress, Progress::Running { .. }) {
            rec.started = scene.spec.is_some_and(|spec| spec.startup.is_none());
            rec.ready = rec.started && scene.spec.is_some_and(|spec| spec.readiness.is_none());
        }
        rec.progress = Progress::Running { since: since.clone() };
        rec.finished = false;
        let probes = match scene.spec {
            Some(spec) => Probes::new(spec, since.boot, ctx.now.boot),
            None => Probes::none(since.boot),
        };
        let run = Running { attempt, pid, since, stop: None, probes, resize: Resize::None };
        self.state = State::Running(Box::new(run));
    }

    /// The attempt never ran.
    pub(crate) fn start_failed(
        &mut self,
        failure: StartFailure,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        scene.tell(ctx, Severity::Warning, Reason::Failed, failure.message.clone());
        outcome::close(rec, outcome::never_ran(failure, ctx.stamp()), Progress::Ended, scene);
        self.become_idle(rec, scene, ctx);
    }

    /// The main process ended. What it left behind is killed: nothing of it may live beside a replacement.
    pub(crate) fn exited(&mut self, exit: Exit, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(attempt) = self.live() else {
            // The answer on its way may be from before this end: what there is must be asked for once more.
            self.observing = Observing::Again;
            return;
        };
        let end = exit.into_termination(rec);
        scene.tell_end(ctx, attempt, &end);
        outcome::close(rec, end, Progress::Draining, scene);
        self.drain(attempt, scene, ctx);
        if planted::on(Fault::StartBeforeEmptied) {
            self.emptied(rec, scene, ctx);
        }
    }

    /// Kills what is left of an attempt, and waits for it to be gone.
    pub(crate) fn drain(&mut self, attempt: Attempt, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        self.state = State::Draining { attempt, again: Retry::first(ctx.now.boot) };
        ctx.push(Effect::Kill { key: scene.key(attempt) });
    }

    /// Nothing of the attempt is left.
    pub(crate) fn emptied(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        // What drained may be older than the newest attempt, if that one was never carried out.
        match rec.progress {
            Progress::Begun | Progress::Lost => {}
            Progress::None | Progress::Running { .. } | Progress::Draining | Progress::Ended => {
                rec.progress = Progress::Ended;
            }
        }
        self.become_idle(rec, scene, ctx);
    }

    /// Enters `Idle`, and tells people if the next attempt has to wait.
    pub(crate) fn become_idle(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        self.state = State::Idle;
        rec.stop = None;
        if rec.progress == Progress::Begun {
            rec.progress = Progress::Lost;
        }
        if scene.ending.is_some() || scene.spec.is_none() || rec.finished {
            return;
        }
        if let Some(wait) = due(rec, ctx).map(|at| at.since(ctx.now.boot)).filter(|wait| !wait.is_zero()) {
            let message = format!("back-off: the next attempt comes in {} s", wait.as_secs_f32().ceil());
            scene.tell(ctx, Severity::Warning, Reason::BackOff, message);
        }
    }

    /// A probe's answer.
    pub(crate) fn probed(
        &mut self,
        kind: ProbeKind,
        outcome: &ProbeOutcome,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        let (State::Running(run), Some(spec)) = (&mut self.state, scene.spec) else { return };
        let verdict = run.probes.answer(kind, outcome);
        if let ProbeOutcome::Failure(output) = outcome {
            scene.tell(ctx, Severity::Warning, Reason::Unhealthy, format!("{kind:?} probe failed: {output}"));
        }
        match (kind, verdict) {
            (_, Verdict::Undecided) | (ProbeKind::Liveness, Verdict::Good) => {}
            (ProbeKind::Startup, Verdict::Good) => {
                rec.started = true;
                rec.ready = spec.readiness.is_none();
            }
            (ProbeKind::Readiness, Verdict::Good) => rec.ready = true,
            (ProbeKind::Readiness, Verdict::Bad) => rec.ready = false,
            (ProbeKind::Startup | ProbeKind::Liveness, Verdict::Bad) => {
                rec.stop.get_or_insert_with(|| StopIntent::of(spec, scene.wanted, ctx.stamp(), Waits::Successor));
            }
        }
    }

    /// New limits are in force.
    pub(crate) fn resized(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let State::Running(run) = &mut self.state else { return };
        if let Resize::InFlight { resources, .. } = std::mem::replace(&mut run.resize, Resize::None) {
            rec.in_force = Some(resources);
            scene.tell(ctx, Severity::Normal, Reason::Resized, "new limits are in force".to_owned());
        }
    }

    /// New limits could not be set.
    pub(crate) fn resize_failed(&mut self, generation: u64, message: String, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let State::Running(run) = &mut self.state else { return };
        run.resize = Resize::Refused { generation };
        scene.tell(ctx, Severity::Warning, Reason::ResizeFailed, message);
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let now = ctx.now.boot;
        match &mut self.state {
            State::Recovering | State::Starting { .. } => {}
            State::Idle => {
                if may_start(rec, scene) && due(rec, ctx).is_none_or(|at| at <= now) {
                    self.start(rec, scene, ctx);
                }
            }
            State::Running(run) => run.advance(rec, scene, ctx),
            State::Draining { attempt, again } => {
                if again.is_due(now) && !planted::on(Fault::DrainKilledOnce) {
                    *again = again.next(now);
                    ctx.push(Effect::Kill { key: scene.key(*attempt) });
                }
            }
        }
    }

    fn start(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let attempt = match (rec.attempt, &rec.progress) {
            (None, _) => Attempt::default(),
            // The same number again: whoever carries it out knows that both orders are one.
            (Some(attempt), Progress::Lost) if !is_outdated(rec) => {
                let updated = ctx.stamp();
                rec.backoff.iter_mut().for_each(|backoff| backoff.updated = updated.clone());
                attempt
            }
            (
                Some(attempt),
                Progress::None
                | Progress::Begun
                | Progress::Lost
                | Progress::Running { .. }
                | Progress::Draining
                | Progress::Ended,
            ) => {
                if !is_outdated(rec) {
                    let ended = rec.last.as_ref().map_or_else(|| ctx.stamp(), |last| last.finished.clone());
                    rec.backoff = Some(backoff::grown(rec.backoff.as_ref(), &ended, ctx.figures, &ctx.stamp()));
                }
                attempt.next()
            }
        };
        rec.attempt = Some(attempt);
        rec.attempt_epoch = rec.epoch;
        rec.progress = Progress::Begun;
        rec.in_force = scene.spec.map(|spec| spec.resources);
        self.state = State::Starting { attempt };
        ctx.push(Effect::Start { key: scene.key(attempt), pod: Arc::clone(scene.wanted) });
    }

    /// When and why it wants to be woken. Nothing that is due already: that has been done.
    pub(crate) fn wake(&self, rec: &ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) -> Option<(BootTime, Deadline)> {
        match &self.state {
            State::Recovering | State::Starting { .. } => None,
            State::Idle if may_start(rec, scene) => {
                due(rec, ctx).map(|at| (at, Deadline::Backoff(scene.container_key())))
            }
            State::Idle => None,
            State::Running(run) => run.wake(rec, scene),
            State::Draining { .. } if planted::on(Fault::DrainKilledOnce) => None,
            State::Draining { attempt, again } => Some((again.at(), Deadline::KillAgain(scene.key(*attempt)))),
        }
    }
}

fn may_start(rec: &ContainerRecord, scene: Scene<'_>) -> bool {
    scene.start == StartGate::Open && scene.spec.is_some() && !rec.finished
}

impl StopIntent {
    /// To stop what runs as `spec` says, with the full grace.
    pub(crate) fn of(spec: &Spec, pod: &Pod, since: Stamp, waits: Waits) -> Self {
        Self { since, grace: Grace::effective(pod.grace, &spec.stop).length, plan: spec.stop.clone(), waits }
    }
}

impl Running {
    fn advance(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if (is_outdated(rec) || scene.spec.is_none()) && rec.stop.is_none() {
            rec.stop = Some(default_intent(scene, ctx.stamp()));
        }
        match stop_order(rec, scene, ctx) {
            Some(order) => self.advance_stop(order, scene, ctx),
            None => self.advance_service(rec, scene, ctx),
        }
    }

    fn advance_stop(&mut self, order: StopOrder, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match &mut self.stop {
            Some(_) if planted::on(Fault::GraceRestartsWithDaemon) => {}
            Some(stop) => stop.shorten(order.ends),
            None => {
                self.announce_stop(&order, scene, ctx);
                let order = if planted::on(Fault::GraceRestartsWithDaemon) { order.anew(ctx.now.boot) } else { order };
                self.stop = Some(Stop::new(order));
            }
        }
        let acts = self.stop.as_mut().map(|stop| stop.act(ctx.now.boot)).unwrap_or_default();
        for act in acts {
            let key = scene.key(self.attempt);
            ctx.push(match act {
                StopAct::Signal(signal) => Effect::Signal { key, signal },
                StopAct::Kill => Effect::Kill { key },
            });
        }
    }

    /// Tells people, unless a former daemon did.
    fn announce_stop(&self, order: &StopOrder, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if order.began != ctx.now.boot {
            return;
        }
        let grace = order.ends.since(order.began).as_secs_f32();
        scene.tell(
            ctx,
            Severity::Normal,
            Reason::Killing,
            format!("stopping attempt {} within {grace} s", self.attempt),
        );
        if let Some(own) = order.extended_from {
            let message = format!("the preset's minimum grace counts, not the pod's {} s", own.as_secs_f32());
            scene.tell(ctx, Severity::Normal, Reason::GraceExtended, message);
        }
    }

    fn advance_service(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(spec) = scene.spec else { return };
        self.probes.follow(spec, ctx.now.boot);
        if spec.startup.is_none() {
            rec.started = true;
        }
        if rec.started && spec.readiness.is_none() {
            rec.ready = true;
        }
        for (kind, ticket, probe) in self.probes.due(rec.started, ctx.now.boot, ctx.tickets) {
            ctx.push(Effect::Probe { key: scene.key(self.attempt), kind, ticket, probe });
        }
        let refused = match self.resize {
            Resize::None => false,
            Resize::InFlight { .. } => true,
            Resize::Refused { generation } => generation == scene.generation,
        };
        if rec.in_force != Some(spec.resources) && !refused {
            let (generation, resources) = (scene.generation, spec.resources);
            self.resize = Resize::InFlight { generation, resources };
            ctx.push(Effect::Resize { key: scene.container_key(), generation, resources });
        }
    }

    fn wake(&self, rec: &ContainerRecord, scene: Scene<'_>) -> Option<(BootTime, Deadline)> {
        let key = || scene.key(self.attempt);
        let Some(stop) = &self.stop else {
            return self.probes.wake(rec.started).map(|(at, kind)| (at, Deadline::Probe(key(), kind)));
        };
        let (at, why) = stop.wake();
        let deadline = match why {
            StopWake::Stage => Deadline::StopStage(key()),
            StopWake::GraceEnd => Deadline::GraceEnd(key()),
            StopWake::KillAgain => Deadline::KillAgain(key()),
        };
        Some((at, deadline))
    }
}

/// How this attempt is to be stopped, if it is. The plan of what runs goes before the plan of what is wanted.
fn stop_order(rec: &ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) -> Option<StopOrder> {
    let own = rec.stop.as_ref().map(|intent| {
        let pod = Grace::effective(scene.wanted.grace, &intent.plan);
        let extended_from = pod.extended_from.filter(|_| pod.length == intent.grace);
        StopOrder::new(&intent.since, &ctx.stamp(), Grace { length: intent.grace, extended_from }, &intent.plan)
    });
    match (own, scene.ending) {
        (Some(own), Some(ending)) => Some(own.and(ending)),
        (Some(own), None) => Some(own),
        (None, ending) => ending.cloned(),
    }
}

/// Where nothing says how an attempt that nobody wants is to be stopped.
fn default_intent(scene: Scene<'_>, since: Stamp) -> StopIntent {
    let plan = scene.spec.map(|spec| spec.stop.clone()).unwrap_or_default();
    StopIntent { since, grace: Grace::effective(scene.wanted.grace, &plan).length, plan, waits: Waits::Successor }
}

/// An end that nobody saw.
pub(crate) fn unseen_end(message: &str, started: Option<Stamp>, finished: Stamp) -> Termination {
    Termination {
        status: ExitStatus::Unknown,
        reason: Reason::ContainerStatusUnknown,
        message: message.to_owned(),
        started,
        finished,
    }
}
