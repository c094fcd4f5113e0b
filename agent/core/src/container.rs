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
    Attempt, BootTime, Container as Spec, ContainerKey, ContainerName, ExitStatus, HookKind, Notify, Pod, PodUid,
    ProbeKind, Reason, Stamp, Termination,
};

use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::outcome::{self, Exit};
use crate::planted::{self, Fault};
use crate::retry::Retry;
use crate::running::Running;
use crate::stop::StopOrder;
use crate::{AttemptKey, ContainerRecord, Effect, Heard, ProbeTicket, Progress, Said, Severity, StartFailure, backoff};

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
    Starting {
        attempt: Attempt,
        /// What its service said before it was known that it runs.
        heard: Option<Box<Heard>>,
    },
    /// An attempt runs.
    Running(Box<Running>),
    /// The main process ended, its cgroup is not empty.
    Draining { attempt: Attempt, again: Retry },
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

/// What is known of a process that runs.
#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) attempt: Attempt,
    pub(crate) pid: u32,
    pub(crate) since: Stamp,
    /// What its service has said, if it has a socket to speak to.
    pub(crate) heard: Option<Heard>,
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
            State::Starting { attempt, .. } | State::Draining { attempt, .. } => Some(*attempt),
            State::Running(run) => Some(run.attempt),
        }
    }

    /// Nothing of it is on the host, for certain.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// What there is of it on the host has not been found out yet.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.state, State::Recovering)
    }

    /// Whether the answer to this run of a probe is waited for.
    pub(crate) fn awaits_probe(&self, kind: ProbeKind, ticket: ProbeTicket) -> bool {
        matches!(&self.state, State::Running(run) if run.awaits_probe(kind, ticket))
    }

    /// Whether these words are news of what runs, or is about to.
    pub(crate) fn awaits_words(&self, heard: &Heard) -> bool {
        match &self.state {
            State::Running(run) => run.awaits_words(heard),
            State::Starting { heard: known, .. } => known.as_ref().is_none_or(|known| known.serial < heard.serial),
            State::Recovering | State::Idle | State::Draining { .. } => false,
        }
    }

    /// Its service has said something.
    pub(crate) fn heard(&mut self, said: Box<Heard>, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match &mut self.state {
            State::Running(run) => run.heard(*said, rec, scene, ctx),
            State::Starting { heard, .. } => *heard = Some(said),
            State::Recovering | State::Idle | State::Draining { .. } => {}
        }
    }

    /// Whether the answer to this hook is waited for.
    pub(crate) fn awaits_hook(&self, kind: HookKind) -> bool {
        matches!(&self.state, State::Running(run) if run.awaits_hook(kind))
    }

    /// Whether the answer to a resize of this generation is waited for.
    pub(crate) fn awaits_resize(&self, generation: u64) -> bool {
        matches!(&self.state, State::Running(run) if run.awaits_resize(generation))
    }

    /// The attempt's program was executed.
    pub(crate) fn started(&mut self, pid: u32, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(attempt) = self.live() else { return };
        scene.tell(ctx, Severity::Normal, Reason::Started, format!("attempt {attempt} runs as pid {pid}"));
        let said = match &mut self.state {
            State::Starting { heard, .. } => heard.take(),
            State::Recovering | State::Idle | State::Running(_) | State::Draining { .. } => None,
        };
        let heard = said.map(|said| *said).or(rec.notify.map(|_| Heard::default()));
        self.run(Alive { attempt, pid, since: ctx.stamp(), heard }, rec, scene, ctx);
    }

    /// Enters `Running`, with all that the service has said by then. Readiness is kept where the record already knows this
    /// attempt as running.
    pub(crate) fn run(&mut self, alive: Alive, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) {
        let Alive { attempt, pid, since, heard } = alive;
        // The ledger may not know of this attempt what the host knows.
        if heard.is_some() && rec.notify.is_none() {
            rec.notify = scene.spec.and_then(|spec| spec.launch.notify).or(Some(Notify::default()));
        }
        if !matches!(rec.progress, Progress::Running { .. }) {
            rec.post_started = scene.spec.is_some_and(|spec| spec.lifecycle.post_start.is_none());
            rec.pre_stopped = false;
            rec.said_ready = false;
            rec.said_stopping = false;
            rec.probed = false;
            rec.started = false;
            rec.started_at = None;
            rec.ready = false;
            scene.spec.into_iter().for_each(|spec| rec.settle_readiness(spec, ctx.now.boot));
        }
        rec.progress = Progress::Running { since: since.clone() };
        rec.finished = false;
        let mut run = Running::new(attempt, pid, since, rec, scene, ctx.now.boot);
        run.hear_again(heard, rec, ctx);
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

    /// What the running attempt's service says of itself.
    pub(crate) fn said(&self) -> Option<Said> {
        match &self.state {
            State::Running(run) => run.said(),
            State::Recovering | State::Idle | State::Starting { .. } | State::Draining { .. } => None,
        }
    }

    /// A running attempt.
    pub(crate) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(run) => Some(run),
            State::Recovering | State::Idle | State::Starting { .. } | State::Draining { .. } => None,
        }
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
        rec.in_force = scene.spec.map(|spec| scene.wanted.effective(spec));
        rec.level_in_force = scene.wanted.resources.level;
        rec.notify = scene.spec.and_then(|spec| spec.launch.notify);
        self.state = State::Starting { attempt, heard: None };
        ctx.push(Effect::Start { key: scene.key(attempt), pod: Arc::clone(scene.wanted) });
    }

    /// When and why it wants to be woken. Nothing that is due already: that has been done.
    pub(crate) fn wake(&self, rec: &ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) -> Option<(BootTime, Deadline)> {
        match &self.state {
            State::Recovering | State::Starting { .. } => None,
            // Where it may not start for another reason, what is shown of it changes all the same.
            State::Idle if scene.spec.is_some() && !rec.finished => {
                let at = due(rec, ctx).filter(|at| *at > ctx.now.boot || may_start(rec, scene));
                at.map(|at| (at, Deadline::Backoff(scene.container_key())))
            }
            State::Idle => None,
            State::Running(run) => run.wake(rec, scene),
            State::Draining { .. } if planted::on(Fault::DrainKilledOnce) => None,
            State::Draining { attempt, again } => Some((again.at(), Deadline::KillAgain(scene.key(*attempt)))),
        }
    }
}

impl ContainerRecord {
    /// What the attempt that just ended left to be read.
    pub(crate) fn hear_last_words(&mut self, message: String) {
        if let Some(last) = self.last.as_mut().filter(|_| self.progress == Progress::Draining && !message.is_empty()) {
            last.message = message;
        }
    }
}

fn may_start(rec: &ContainerRecord, scene: Scene<'_>) -> bool {
    let complete = |spec: &Spec| spec.missing.is_none() || planted::on(Fault::StartsIncomplete);
    scene.start == StartGate::Open && scene.spec.is_some_and(complete) && !rec.finished
}

/// An end that nobody saw.
pub(crate) fn unseen_end(message: &str, started: Option<Stamp>, finished: Stamp) -> Termination {
    Termination {
        cause: None,
        status: ExitStatus::Unknown,
        reason: Reason::ContainerStatusUnknown,
        message: message.to_owned(),
        started,
        finished,
    }
}
