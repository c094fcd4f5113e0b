//! The staged stop of one attempt.
//!
//! ```text
//!   Held ──its turn──▶ Hooking ──preStop hook done, or late──▶ Signalling ──(stages, each at its time)──▶ Signalling
//!     └─────────────────────┴───────────── the grace ends ──────────┴──▶ Killing ──(again and again)──▶ Killing
//! ```
//!
//! The attempt leaves this machine by ending; until then the kill is repeated. A stop is only ever shortened. One that is
//! held waits for others that must end first; it is bounded by the same grace. A hook that takes too long is not waited
//! for: the signals get their chance before the end. A service that asks for patience (`EXTEND_TIMEOUT_USEC`) moves the end
//! and what is measured from it, but not beyond a grace that somebody gave with a delete.

use std::time::Duration;

use barepod_model::{BootTime, Hook, Stamp, StopCause, StopPlan, StopStage};

use crate::planted::{self, Fault};
use crate::retry::Retry;

/// What a stop must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopOrder {
    /// When it began.
    pub(crate) began: BootTime,
    /// When the grace ends.
    pub(crate) ends: BootTime,
    /// The service asks for patience until then.
    pub(crate) patience: Option<BootTime>,
    /// Somebody gave the grace with a delete: no patience goes beyond this.
    pub(crate) firm: Option<BootTime>,
    /// What is done before the first signal.
    pub(crate) hook: Option<Hook>,
    /// Others must end first.
    pub(crate) held: bool,
    /// Somebody asked for this end, so it may cut a longer stop short.
    pub(crate) asked: bool,
    /// Signals in the order in which they are sent.
    pub(crate) stages: Vec<StopStage>,
    /// The pod's own grace, where the preset's minimum is longer and counts.
    pub(crate) extended_from: Option<Duration>,
    /// Why.
    pub(crate) cause: Option<Box<StopCause>>,
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grace {
    /// The effective grace.
    pub(crate) length: Duration,
    /// The pod's own, if it was shorter than the preset's minimum.
    pub(crate) extended_from: Option<Duration>,
    /// Whether somebody gave it with a delete.
    pub(crate) firm: bool,
}

impl Grace {
    /// The larger of the pod's grace and the plan's minimum; nobody is killed without having been asked.
    pub(crate) fn effective(pod: Duration, plan: &StopPlan) -> Self {
        let pod = pod.max(LEAST_FOR_SIGNALS);
        if plan.min_grace > pod && !planted::on(Fault::PodGraceOnly) {
            Self { length: plan.min_grace, extended_from: Some(pod), firm: false }
        } else {
            Self { length: pod, extended_from: None, firm: false }
        }
    }

    /// What a delete asked for, which wins.
    pub(crate) fn given(length: Duration) -> Self {
        Self { length, extended_from: None, firm: true }
    }
}

impl StopOrder {
    /// The order of a stop that began at `since`. A stamp of another boot counts from now.
    pub(crate) fn new(since: &Stamp, now: &Stamp, grace: Grace, plan: &StopPlan, hook: Option<Hook>) -> Self {
        let began = if since.boot_id == now.boot_id { since.boot } else { now.boot };
        Self {
            began,
            ends: began + grace.length,
            patience: None,
            firm: grace.firm.then_some(began + grace.length),
            hook,
            held: false,
            asked: true,
            stages: plan.stages.clone(),
            extended_from: grace.extended_from,
            cause: None,
        }
    }

    /// When the process is killed, with all that is known now.
    fn last(&self) -> BootTime {
        let patient = self.patience.map_or(self.ends, |until| until.max(self.ends));
        self.firm.map_or(patient, |firm| firm.min(patient).max(self.ends))
    }

    /// Until when the hook is waited for. The stages before the end get their time twice over, at most half of all.
    fn hook_ends(&self) -> BootTime {
        let longest = self.stages.iter().filter_map(|stage| stage.before_end).max().unwrap_or_default();
        let reserve = (longest * 2).max(LEAST_FOR_SIGNALS).min(self.last().since(self.began) / 2);
        self.last() - reserve
    }

    /// As if it began now: a planted fault.
    pub(crate) fn anew(self, now: BootTime) -> Self {
        let later = |at: BootTime| now + at.since(self.began);
        Self { began: now, ends: later(self.ends), firm: self.firm.map(later), ..self }
    }

    /// Both at once: what runs is asked in its own way and at once, and the earlier end counts.
    pub(crate) fn and(self, other: &StopOrder) -> Self {
        if !other.asked {
            return self;
        }
        let firm = earlier(self.firm, other.firm);
        Self { ends: self.ends.min(other.ends), firm, began: self.began.min(other.began), ..self }
    }
}

fn earlier(one: Option<BootTime>, other: Option<BootTime>) -> Option<BootTime> {
    one.into_iter().chain(other).min()
}

/// What a process has at least, also after a hook that took too long: kubelet's `minimumGracePeriodInSeconds`.
const LEAST_FOR_SIGNALS: Duration = Duration::from_secs(2);

/// A stop under way.
#[derive(Debug)]
pub(crate) struct Stop {
    order: StopOrder,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Held,
    Hooking { asked: bool },
    Signalling { sent: usize },
    Killing { again: Retry },
}

/// What a stop does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopAct {
    /// Run the preStop hook.
    Hook(Hook),
    /// Send this signal to the main process.
    Signal(i32),
    /// Kill the cgroup.
    Kill,
}

/// Why a stop wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopWake {
    /// The hook is waited for no longer.
    HookEnd,
    /// The next stage.
    Stage,
    /// The end of the grace.
    GraceEnd,
    /// The kill had no effect yet.
    KillAgain,
}

impl Stop {
    pub(crate) fn new(order: StopOrder) -> Self {
        let phase = if order.held { Phase::Held } else { Phase::first(&order) };
        Self { order, phase }
    }

    /// Takes over that it is its turn, and an earlier end; a later one changes nothing.
    pub(crate) fn update(&mut self, order: &StopOrder) {
        self.order.ends = self.order.ends.min(order.ends);
        self.order.firm = earlier(self.order.firm, order.firm);
        if matches!(self.phase, Phase::Held) && !order.held {
            self.phase = Phase::first(&self.order);
        }
    }

    /// When it began.
    pub(crate) fn began(&self) -> BootTime {
        self.order.began
    }

    /// Takes over that the service asks for patience until then.
    pub(crate) fn be_patient(&mut self, until: BootTime) {
        self.order.patience = self.order.patience.max(Some(until));
    }

    /// The preStop hook has been run.
    pub(crate) fn hook_is_done(&mut self) {
        self.order.hook = None;
        if matches!(self.phase, Phase::Hooking { .. }) {
            self.phase = Phase::Signalling { sent: 0 };
        }
    }

    /// What is due.
    pub(crate) fn act(&mut self, now: BootTime) -> Vec<StopAct> {
        match &mut self.phase {
            Phase::Killing { again } if again.is_due(now) => {
                *again = again.next(now);
                kill()
            }
            Phase::Killing { .. } => Vec::new(),
            Phase::Held | Phase::Hooking { .. } | Phase::Signalling { .. } if now >= self.order.last() => {
                self.phase = Phase::Killing { again: Retry::first(now) };
                kill()
            }
            Phase::Held => Vec::new(),
            Phase::Hooking { .. } if now >= self.order.hook_ends() => {
                self.phase = Phase::Signalling { sent: 0 };
                self.signal(now)
            }
            Phase::Hooking { asked: true } => Vec::new(),
            Phase::Hooking { asked } => {
                *asked = true;
                self.order.hook.clone().map(StopAct::Hook).into_iter().collect()
            }
            Phase::Signalling { .. } => self.signal(now),
        }
    }

    /// The signals whose time has come.
    fn signal(&mut self, now: BootTime) -> Vec<StopAct> {
        let Phase::Signalling { sent } = &mut self.phase else { return Vec::new() };
        let due = self.order.stages[*sent..].iter().take_while(|stage| due_at(&self.order, stage) <= now);
        let acts: Vec<_> = due.map(|stage| StopAct::Signal(stage.signal)).collect();
        *sent += acts.len();
        acts
    }

    /// When and why it wants to be woken.
    pub(crate) fn wake(&self) -> (BootTime, StopWake) {
        match &self.phase {
            Phase::Killing { again } => (again.at(), StopWake::KillAgain),
            Phase::Held => (self.order.last(), StopWake::GraceEnd),
            Phase::Hooking { .. } => (self.order.hook_ends(), StopWake::HookEnd),
            Phase::Signalling { sent } => {
                let stage = self.order.stages.get(*sent).map(|stage| due_at(&self.order, stage));
                match stage {
                    Some(at) if at < self.order.last() => (at, StopWake::Stage),
                    Some(_) | None => (self.order.last(), StopWake::GraceEnd),
                }
            }
        }
    }
}

impl Phase {
    fn first(order: &StopOrder) -> Self {
        match order.hook {
            Some(_) => Phase::Hooking { asked: false },
            None => Phase::Signalling { sent: 0 },
        }
    }
}

fn kill() -> Vec<StopAct> {
    if planted::on(Fault::NoKillAtGraceEnd) { Vec::new() } else { vec![StopAct::Kill] }
}

fn due_at(order: &StopOrder, stage: &StopStage) -> BootTime {
    stage.before_end.map_or(order.began, |before| (order.last() - before).max(order.began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(secs: u64) -> BootTime {
        BootTime(Duration::from_secs(secs))
    }

    /// SIGINT at once, SIGQUIT 5 s before the end.
    fn order(ends: u64) -> StopOrder {
        let stages = vec![
            StopStage { signal: 2, before_end: None },
            StopStage { signal: 3, before_end: Some(Duration::from_secs(5)) },
        ];
        StopOrder {
            began: t(100),
            ends: t(ends),
            patience: None,
            firm: None,
            hook: None,
            held: false,
            asked: true,
            stages,
            extended_from: None,
            cause: None,
        }
    }

    fn postgres(ends: u64) -> Stop {
        Stop::new(order(ends))
    }

    fn hook() -> Hook {
        Hook::Sleep(Duration::from_secs(9))
    }

    /// SIGTERM, after a hook.
    fn hooked(ends: u64) -> StopOrder {
        let stages = vec![StopStage { signal: 15, before_end: None }];
        StopOrder { hook: Some(hook()), stages, ..order(ends) }
    }

    #[test]
    fn the_hook_comes_before_the_first_signal() {
        let mut stop = Stop::new(hooked(130));
        assert_eq!(stop.act(t(100)), [StopAct::Hook(hook())]);
        assert_eq!(stop.act(t(101)), [], "it is asked once");
        stop.hook_is_done();
        assert_eq!(stop.act(t(103)), [StopAct::Signal(15)]);
    }

    #[test]
    fn a_hook_that_hangs_leaves_the_signals_their_chance() {
        let mut stop = Stop::new(hooked(130));
        stop.act(t(100));
        assert_eq!(stop.wake(), (t(128), StopWake::HookEnd));
        assert_eq!(stop.act(t(128)), [StopAct::Signal(15)]);
        assert_eq!(stop.act(t(130)), [StopAct::Kill]);
    }

    #[test]
    fn a_grace_of_zero_runs_no_hook() {
        assert_eq!(Stop::new(hooked(100)).act(t(100)), [StopAct::Kill]);
    }

    #[test]
    fn a_held_stop_begins_with_its_turn_and_is_bounded_all_the_same() {
        let held = StopOrder { held: true, ..hooked(130) };
        let mut stop = Stop::new(held.clone());
        assert_eq!(stop.act(t(110)), []);
        stop.update(&StopOrder { held: false, ..held.clone() });
        assert_eq!(stop.act(t(120)), [StopAct::Hook(hook())]);
        let mut never = Stop::new(held);
        assert_eq!(never.wake(), (t(130), StopWake::GraceEnd));
        assert_eq!(never.act(t(130)), [StopAct::Kill]);
    }

    #[test]
    fn stages_come_in_order_and_the_kill_at_the_end_of_the_grace() {
        let mut stop = postgres(130);
        assert_eq!(stop.act(t(100)), [StopAct::Signal(2)]);
        assert_eq!(stop.wake(), (t(125), StopWake::Stage));
        assert_eq!(stop.act(t(124)), []);
        assert_eq!(stop.act(t(125)), [StopAct::Signal(3)]);
        assert_eq!(stop.wake(), (t(130), StopWake::GraceEnd));
        assert_eq!(stop.act(t(130)), [StopAct::Kill]);
        assert_eq!(stop.wake(), (t(131), StopWake::KillAgain));
    }

    #[test]
    fn a_stage_whose_time_has_passed_when_the_stop_begins_is_sent_at_once() {
        assert_eq!(postgres(103).act(t(100)), [StopAct::Signal(2), StopAct::Signal(3)]);
    }

    #[test]
    fn a_grace_of_zero_kills_without_asking() {
        assert_eq!(postgres(100).act(t(100)), [StopAct::Kill]);
    }

    #[test]
    fn a_stop_is_only_ever_shortened() {
        let order = |ends| StopOrder { hook: None, ..hooked(ends) };
        let mut stop = postgres(130);
        stop.update(&order(200));
        assert_eq!(stop.act(t(129)), [StopAct::Signal(2), StopAct::Signal(3)]);
        stop.update(&order(110));
        assert_eq!(stop.act(t(129)), [StopAct::Kill]);
    }

    #[test]
    fn patience_moves_the_end_and_the_last_signals_but_not_beyond_a_grace_that_was_given() {
        let mut stop = Stop::new(order(130));
        assert_eq!(stop.act(t(100)), [StopAct::Signal(2)]);
        stop.be_patient(t(150));
        assert_eq!(stop.act(t(144)), []);
        assert_eq!(stop.act(t(145)), [StopAct::Signal(3)]);
        stop.update(&StopOrder { firm: Some(t(148)), ..order(148) });
        assert_eq!(stop.act(t(147)), []);
        assert_eq!(stop.act(t(148)), [StopAct::Kill]);
    }

    #[test]
    fn the_kill_is_repeated_until_the_process_ends() {
        let mut stop = postgres(100);
        let mut kills = Vec::new();
        for second in 100..140 {
            if !stop.act(t(second)).is_empty() {
                kills.push(second);
            }
        }
        assert_eq!(kills, [100, 101, 103, 107, 115, 131]);
    }
}
