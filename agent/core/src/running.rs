//! One running attempt: its hooks, probes and limits, and its stop.
//!
//! ```text
//!   created ──postStart hook──▶ starting ──startup probe, READY=1──▶ started ──readiness probe──▶ ready
//!      └───────────── a stop, from any of these: preStop hook, signals, kill ─────────────┘
//! ```
//!
//! A hook is run at least once: a daemon that is killed while one runs leaves it to its successor.

use std::sync::Arc;

use barepod_model::{
    Attempt, BootTime, Container as Spec, HookKind, Pod, ProbeKind, Reason, Resources, Stamp, StopCause,
};

use crate::container::{Scene, is_outdated};
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::heard::{Listener, Silence, Stage};
use crate::planted::{self, Fault};
use crate::probe::{Gate, Probes, Verdict};
use crate::retry::Retry;
use crate::stop::{Grace, Stop, StopAct, StopOrder, StopWake};
use crate::{
    ContainerRecord, Effect, Heard, HookOutcome, ProbeOutcome, ProbeTicket, Said, Severity, StopIntent, Waits,
};

/// A running attempt.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) attempt: Attempt,
    pub(crate) pid: u32,
    pub(crate) since: Stamp,
    pub(crate) stop: Option<Stop>,
    probes: Probes,
    hooks: HooksAsked,
    resize: Resize,
    listener: Option<Listener>,
}

/// The hooks that this daemon wants, or wanted, to be run for the attempt.
#[derive(Debug, Default)]
struct HooksAsked {
    post_start: bool,
    pre_stop: bool,
}

/// New limits on their way.
#[derive(Debug)]
enum Resize {
    None,
    InFlight {
        generation: u64,
        figures: Box<Figures>,
        /// What was waited before it, if it was refused before.
        again: Option<Retry>,
    },
    /// Tried again after a while: what is used may have become less. Another generation is tried at once.
    Refused {
        generation: u64,
        again: Retry,
        message: String,
    },
}

/// The limits of a container, and of its pod as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    own: Resources,
    level: Option<Resources>,
}

impl Running {
    /// An attempt that runs since then.
    pub(crate) fn new(
        attempt: Attempt,
        pid: u32,
        since: Stamp,
        rec: &ContainerRecord,
        scene: Scene<'_>,
        now: BootTime,
    ) -> Self {
        let listener = rec.notify.map(|notify| Listener::new(notify, Heard::default(), since.boot));
        let probes = match scene.spec {
            Some(spec) => Probes::new(spec, since.boot, now),
            None => Probes::none(since.boot),
        };
        Self { attempt, pid, since, stop: None, probes, hooks: HooksAsked::default(), resize: Resize::None, listener }
    }

    /// Whether these words are news.
    pub(crate) fn awaits_words(&self, heard: &Heard) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.is_news(heard))
    }

    /// What its service has said, to be shown.
    pub(crate) fn said(&self) -> Option<Said> {
        self.listener.as_ref().map(|listener| Said::from(&listener.heard))
    }

    /// Its shim is dead: until there is another one, nobody hears what its service says.
    pub(crate) fn turn_deaf(&mut self) {
        self.listener.iter_mut().for_each(|listener| listener.deaf = true);
    }

    /// Another shim listens.
    pub(crate) fn hear_again(&mut self, heard: Option<Heard>, rec: &mut ContainerRecord, ctx: &Ctx<'_>) {
        let heard = heard.unwrap_or_else(|| unheard(ctx));
        if let Some(listener) = &mut self.listener {
            listener.deaf = false;
            // What was looked at may be older than what has been told meanwhile.
            if heard.deaf.is_some() || heard.serial >= listener.heard.serial {
                self.take_words(heard, rec);
            }
        }
    }

    /// Its service has said something.
    pub(crate) fn heard(&mut self, heard: Heard, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(before) = self.listener.as_ref().map(|listener| &listener.heard) else { return };
        if before.main_pid != heard.main_pid {
            let pid = heard.main_pid.unwrap_or(self.pid);
            let message = format!("pid {pid} is its main process now: it gets the signals");
            scene.tell(ctx, Severity::Normal, Reason::MainProcessChanged, message);
        }
        // The more there are, the less often.
        if (before.refused + 1..=heard.refused).any(u32::is_power_of_two) {
            let message = format!("not taken: {} ({} in all)", heard.refusal, heard.refused);
            scene.tell(ctx, Severity::Warning, Reason::NotifyRefused, message);
        }
        self.take_words(heard, rec);
        // Also while it is stopped: after a restart of the daemon nobody could tell when it was said.
        scene.spec.into_iter().for_each(|spec| rec.settle_readiness(spec, ctx.now.boot));
    }

    /// Takes over what its service has said, and what follows at once.
    fn take_words(&mut self, heard: Heard, rec: &mut ContainerRecord) {
        let Some(listener) = &mut self.listener else { return };
        rec.said_ready |= heard.ready.is_some();
        rec.said_stopping |= heard.stopping.is_some();
        if rec.said_stopping {
            rec.ready = false;
        }
        listener.heard = heard;
    }

    /// What its service did not say, where that means something by now.
    fn judge_silence(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let now = ctx.now.boot;
        let (Some(listener), Some(spec)) = (&mut self.listener, scene.spec) else { return };
        let Some((_, silence)) = listener.silence(rec.stage()).filter(|(at, _)| *at <= now) else { return };
        let (reason, message) = match silence {
            Silence::NotReady => (Reason::StartTimeout, "it has not said READY=1 in time"),
            Silence::NotAlive if listener.heard.triggered => {
                (Reason::WatchdogTimeout, "it has said that it is not well (WATCHDOG=trigger)")
            }
            Silence::NotAlive => (Reason::WatchdogTimeout, "it has not said WATCHDOG=1 in time"),
            Silence::PerhapsReady => {
                let message = "it may have said READY=1 while its shim was dead: it counts as started";
                scene.tell(ctx, Severity::Warning, Reason::StartAssumed, message.to_owned());
                rec.said_ready = true;
                return rec.settle_readiness(spec, ctx.now.boot);
            }
        };
        scene.tell(ctx, Severity::Warning, reason, message.to_owned());
        let cause = StopCause::Silence(message.to_owned());
        rec.stop = Some(StopIntent::of(spec, scene.wanted, ctx.stamp(), Waits::Successor, cause));
    }

    /// Whether the answer to this run of a probe is waited for.
    pub(crate) fn awaits_probe(&self, kind: ProbeKind, ticket: ProbeTicket) -> bool {
        self.probes.awaits(kind, ticket)
    }

    /// Whether the answer to this hook is waited for.
    pub(crate) fn awaits_hook(&self, kind: HookKind) -> bool {
        match kind {
            HookKind::PostStart => self.hooks.post_start,
            HookKind::PreStop => self.hooks.pre_stop,
        }
    }

    /// Whether the answer to a resize of this generation is waited for.
    pub(crate) fn awaits_resize(&self, generation: u64) -> bool {
        matches!(self.resize, Resize::InFlight { generation: mine, .. } if mine == generation)
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
        let Some(spec) = scene.spec else { return };
        let patient = self.listener.as_ref().is_some_and(|listener| listener.asks_for_patience(ctx.now.boot));
        let verdict = self.probes.answer(kind, outcome, patient);
        match outcome {
            ProbeOutcome::Failure(output) => {
                scene.tell(ctx, Severity::Warning, Reason::Unhealthy, format!("{kind:?} probe failed: {output}"));
            }
            ProbeOutcome::Warning(output) => {
                scene.tell(ctx, Severity::Warning, Reason::ProbeWarning, format!("{kind:?} probe warning: {output}"));
            }
            // Whoever could not ask tells why.
            ProbeOutcome::Success | ProbeOutcome::Unavailable(_) => {}
        }
        match (kind, verdict) {
            (_, Verdict::Undecided) | (ProbeKind::Liveness, Verdict::Good) => {}
            (ProbeKind::Startup, Verdict::Good) => {
                rec.probed = true;
                rec.settle_readiness(spec, ctx.now.boot);
            }
            (ProbeKind::Readiness, Verdict::Good) => rec.ready = !rec.said_stopping,
            (ProbeKind::Readiness, Verdict::Bad) => rec.ready = false,
            (ProbeKind::Startup | ProbeKind::Liveness, Verdict::Bad) => {
                let probe = if kind == ProbeKind::Startup { &spec.startup } else { &spec.liveness };
                let own = probe.as_ref().and_then(|probe| probe.termination_grace);
                let output = match outcome {
                    ProbeOutcome::Failure(output) => output.clone(),
                    ProbeOutcome::Success | ProbeOutcome::Warning(_) | ProbeOutcome::Unavailable(_) => String::new(),
                };
                let cause = StopCause::Probe { kind, output };
                let mut intent = StopIntent::of(spec, scene.wanted, ctx.stamp(), Waits::Successor, cause);
                if let Some(own) = own {
                    intent.grace = Grace::effective(own, &spec.stop).length;
                }
                rec.stop.get_or_insert(intent);
            }
        }
    }

    /// A hook's answer.
    pub(crate) fn hooked(
        &mut self,
        kind: HookKind,
        outcome: HookOutcome,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        let failure = match outcome {
            HookOutcome::Success => None,
            HookOutcome::Failure(message) => Some(message),
        };
        match kind {
            HookKind::PostStart => {
                self.hooks.post_start = false;
                match (failure, scene.spec) {
                    (None, spec) => {
                        rec.post_started = true;
                        spec.into_iter().for_each(|spec| rec.settle_readiness(spec, ctx.now.boot));
                    }
                    (Some(message), spec) => {
                        let cause = StopCause::Hook(message.clone());
                        let message = format!("the postStart hook failed: {message}");
                        scene.tell(ctx, Severity::Warning, Reason::FailedPostStartHook, message);
                        if let Some(spec) = spec {
                            rec.stop.get_or_insert_with(|| {
                                StopIntent::of(spec, scene.wanted, ctx.stamp(), Waits::Successor, cause)
                            });
                        }
                    }
                }
            }
            HookKind::PreStop => {
                self.hooks.pre_stop = false;
                if let Some(message) = failure {
                    let message = format!("the preStop hook failed: {message}");
                    scene.tell(ctx, Severity::Warning, Reason::FailedPreStopHook, message);
                }
                rec.pre_stopped = true;
            }
        }
    }

    /// New limits are in force.
    pub(crate) fn resized(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if let Resize::InFlight { figures, .. } = std::mem::replace(&mut self.resize, Resize::None) {
            rec.in_force = Some(figures.own);
            rec.level_in_force = figures.level;
            scene.tell(ctx, Severity::Normal, Reason::Resized, "new limits are in force".to_owned());
        }
    }

    /// New limits could not be set.
    pub(crate) fn resize_failed(&mut self, generation: u64, message: String, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let before = match &self.resize {
            Resize::InFlight { again, .. } => *again,
            Resize::None | Resize::Refused { .. } => None,
        };
        if before.is_none() {
            scene.tell(ctx, Severity::Warning, Reason::ResizeFailed, message.clone());
        }
        self.resize = Resize::Refused { generation, again: Retry::after(before, ctx.now.boot), message };
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if (is_outdated(rec) || scene.spec.is_none()) && rec.stop.is_none() {
            rec.stop = Some(default_intent(scene, ctx.stamp()));
        }
        if rec.stop.is_none() && scene.ending.is_none() && self.stop.is_none() {
            self.judge_silence(rec, scene, ctx);
        }
        match stop_order(rec, scene, ctx) {
            Some(order) => self.advance_stop(order, rec, scene, ctx),
            // What it was stopped for may be over; a process that was asked to end is on its way all the same.
            None if self.stop.is_some() => self.act(rec, scene, ctx),
            None => self.advance_service(rec, scene, ctx),
        }
    }

    fn advance_stop(&mut self, order: StopOrder, rec: &ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match &mut self.stop {
            Some(_) if planted::on(Fault::GraceRestartsWithDaemon) => {}
            Some(stop) => stop.update(&order),
            None => {
                self.announce_stop(&order, scene, ctx);
                let order = if planted::on(Fault::GraceRestartsWithDaemon) { order.anew(ctx.now.boot) } else { order };
                self.stop = Some(Stop::new(order));
            }
        }
        self.act(rec, scene, ctx);
        if scene.ending.is_some() && rec.post_started {
            for (kind, ticket, probe) in self.probes.last_questions(rec.gate(), ctx.now.boot, ctx.tickets) {
                ctx.push(Effect::Probe { key: scene.key(self.attempt), kind, ticket, probe });
            }
        }
    }

    /// Does what the stop under way wants done.
    fn act(&mut self, rec: &ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(stop) = &mut self.stop else { return };
        if rec.pre_stopped {
            stop.hook_is_done();
        }
        let began = stop.began();
        let patience = self.listener.as_ref().and_then(|listener| listener.patience_since(began));
        patience.into_iter().for_each(|until| stop.be_patient(until));
        for act in stop.act(ctx.now.boot) {
            let key = scene.key(self.attempt);
            ctx.push(match act {
                StopAct::Hook(hook) => {
                    self.hooks.pre_stop = true;
                    Effect::Hook { key, kind: HookKind::PreStop, hook }
                }
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
        let why = order.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        scene.tell(
            ctx,
            Severity::Normal,
            Reason::Killing,
            format!("stopping attempt {} within {grace} s{why}", self.attempt),
        );
        if let Some(own) = order.extended_from {
            let message = format!("the preset's minimum grace counts, not the pod's {} s", own.as_secs_f32());
            scene.tell(ctx, Severity::Normal, Reason::GraceExtended, message);
        }
    }

    fn advance_service(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let Some(spec) = scene.spec else { return };
        self.probes.follow(spec, ctx.now.boot);
        self.advance_post_start(rec, spec, scene, ctx);
        rec.settle_readiness(spec, ctx.now.boot);
        if rec.post_started {
            for (kind, ticket, probe) in self.probes.due(rec.gate(), ctx.now.boot, ctx.tickets) {
                ctx.push(Effect::Probe { key: scene.key(self.attempt), kind, ticket, probe });
            }
        }
        self.advance_resize(rec, spec, scene, ctx);
    }

    fn advance_resize(&mut self, rec: &ContainerRecord, spec: &Spec, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let again = match &self.resize {
            Resize::None => None,
            Resize::InFlight { .. } => return,
            Resize::Refused { generation, .. } if *generation != scene.generation => None,
            Resize::Refused { again, .. } if again.is_due(ctx.now.boot) => Some(*again),
            Resize::Refused { .. } => return,
        };
        let figures = Figures { own: scene.wanted.effective(spec), level: scene.wanted.resources.level };
        if rec.in_force == Some(figures.own) && rec.level_in_force == figures.level {
            self.resize = Resize::None;
            return;
        }
        let generation = scene.generation;
        self.resize = Resize::InFlight { generation, figures: Box::new(figures), again };
        ctx.push(Effect::Resize { key: scene.container_key(), generation, pod: Arc::clone(scene.wanted) });
    }

    /// Why its limits are not what they should be, if that is known.
    pub(crate) fn resize_refusal(&self) -> Option<&str> {
        match &self.resize {
            Resize::Refused { message, .. } => Some(message),
            Resize::None | Resize::InFlight { .. } => None,
        }
    }

    fn advance_post_start(&mut self, rec: &mut ContainerRecord, spec: &Spec, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if rec.post_started || self.hooks.post_start {
            return;
        }
        match &spec.lifecycle.post_start {
            None => rec.post_started = true,
            Some(hook) => {
                self.hooks.post_start = true;
                let (key, hook) = (scene.key(self.attempt), hook.clone());
                ctx.push(Effect::Hook { key, kind: HookKind::PostStart, hook });
            }
        }
    }

    /// When and why it wants to be woken.
    pub(crate) fn wake(&self, rec: &ContainerRecord, scene: Scene<'_>) -> Option<(BootTime, Deadline)> {
        let key = || scene.key(self.attempt);
        let Some(stop) = &self.stop else {
            let probe = self.probes.wake(rec.gate()).filter(|_| rec.post_started);
            let probe = probe.map(|(at, kind)| (at, Deadline::Probe(key(), kind)));
            let silence = self.listener.as_ref().filter(|_| scene.spec.is_some());
            let silence = silence.and_then(|listener| listener.silence(rec.stage()));
            let silence = silence.map(|(at, _)| (at, Deadline::Silence(key())));
            let resize = match &self.resize {
                Resize::Refused { again, .. } => Some((again.at(), Deadline::ResizeAgain(scene.container_key()))),
                Resize::None | Resize::InFlight { .. } => None,
            };
            return probe.into_iter().chain(silence).chain(resize).min();
        };
        let (at, why) = stop.wake();
        let deadline = match why {
            StopWake::HookEnd => Deadline::HookEnd(key()),
            StopWake::Stage => Deadline::StopStage(key()),
            StopWake::GraceEnd => Deadline::GraceEnd(key()),
            StopWake::KillAgain => Deadline::KillAgain(key()),
        };
        let asks = scene.ending.is_some() && rec.post_started;
        let probe = self.probes.wake(rec.gate()).filter(|(_, kind)| asks && *kind == ProbeKind::Readiness);
        let probe = probe.map(|(at, kind)| (at, Deadline::Probe(key(), kind)));
        probe.into_iter().chain([(at, deadline)]).min()
    }
}

impl ContainerRecord {
    /// What a running attempt is by itself: started when its hook is done, its startup probe has succeeded and its service
    /// has said so, as far as it has these; ready when it has started, if no probe says that.
    pub(crate) fn settle_readiness(&mut self, spec: &Spec, now: BootTime) {
        let probed = spec.startup.is_none() || self.probed;
        let said = self.notify.is_none() || self.said_ready || planted::on(Fault::ReadyUnsaid);
        if self.post_started && probed && said {
            self.started = true;
        }
        if self.started {
            self.started_at.get_or_insert(now);
        }
        if self.started && spec.readiness.is_none() {
            self.ready = !self.said_stopping;
        }
    }

    /// How far its service is.
    fn stage(&self) -> Stage {
        match (self.started, self.said_ready) {
            (true, _) => Stage::Started(self.started_at),
            (false, true) => Stage::SaidReady,
            (false, false) => Stage::Starting,
        }
    }

    /// Which probes may ask.
    fn gate(&self) -> Gate {
        match (self.started, self.probed) {
            (true, _) => Gate::Started,
            (false, true) => Gate::Waiting,
            (false, false) => Gate::Probing,
        }
    }
}

impl StopIntent {
    /// To stop what runs as `spec` says, with the full grace.
    pub(crate) fn of(spec: &Spec, pod: &Pod, since: Stamp, waits: Waits, cause: StopCause) -> Self {
        Self {
            since,
            grace: Grace::effective(pod.grace, &spec.stop).length,
            plan: spec.stop.clone(),
            hook: spec.lifecycle.pre_stop.clone(),
            waits,
            cause: Some(Box::new(cause)),
        }
    }
}

/// How this attempt is to be stopped, if it is. The plan of what runs goes before the plan of what is wanted.
fn stop_order(rec: &ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) -> Option<StopOrder> {
    let own = rec.stop.as_ref().map(|intent| {
        let pod = Grace::effective(scene.wanted.grace, &intent.plan);
        let extended_from = pod.extended_from.filter(|_| pod.length == intent.grace);
        let grace = Grace { length: intent.grace, extended_from, firm: false };
        let order = StopOrder::new(&intent.since, &ctx.stamp(), grace, &intent.plan, intent.hook.clone());
        StopOrder { cause: intent.cause.clone(), ..order }
    });
    match (own, scene.ending) {
        (Some(own), Some(ending)) => Some(own.and(ending)),
        (Some(own), None) => Some(own),
        (None, ending) => ending.cloned(),
    }
}

/// Of an attempt with a socket that its shim could not listen to again.
fn unheard(ctx: &Ctx<'_>) -> Heard {
    Heard { deaf: Some(ctx.now.boot), ..Heard::default() }
}

/// Where nothing says how an attempt that nobody wants is to be stopped.
fn default_intent(scene: Scene<'_>, since: Stamp) -> StopIntent {
    match scene.spec {
        Some(spec) => StopIntent::of(spec, scene.wanted, since, Waits::Successor, StopCause::Change),
        None => {
            let plan = barepod_model::StopPlan::default();
            let grace = Grace::effective(scene.wanted.grace, &plan).length;
            let cause = Some(Box::new(StopCause::Change));
            StopIntent { since, grace, plan, hook: None, waits: Waits::Successor, cause }
        }
    }
}
