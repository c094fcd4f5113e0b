//! The staged stop of one attempt.
//!
//! ```text
//!   Signalling ──(stages in order, each at its time)──▶ Signalling ──(grace ends)──▶ Killing ──(again and again)──▶ Killing
//! ```
//!
//! The attempt leaves this machine by ending; until then the kill is repeated. A stop is only ever shortened.

use std::time::Duration;

use barepod_model::{BootTime, Stamp, StopPlan, StopStage};

use crate::planted::{self, Fault};
use crate::retry::Retry;

/// What a stop must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopOrder {
    /// When it began.
    pub(crate) began: BootTime,
    /// When the grace ends.
    pub(crate) ends: BootTime,
    /// Signals in the order in which they are sent.
    pub(crate) stages: Vec<StopStage>,
    /// The pod's own grace, where the preset's minimum is longer and counts.
    pub(crate) extended_from: Option<Duration>,
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grace {
    /// The effective grace.
    pub(crate) length: Duration,
    /// The pod's own, if it was shorter than the preset's minimum.
    pub(crate) extended_from: Option<Duration>,
}

impl Grace {
    /// The larger of the pod's grace and the plan's minimum.
    pub(crate) fn effective(pod: Duration, plan: &StopPlan) -> Self {
        if plan.min_grace > pod && !planted::on(Fault::PodGraceOnly) {
            Self { length: plan.min_grace, extended_from: Some(pod) }
        } else {
            Self { length: pod, extended_from: None }
        }
    }

    /// What a delete asked for, which wins.
    pub(crate) fn given(length: Duration) -> Self {
        Self { length, extended_from: None }
    }
}

impl StopOrder {
    /// The order of a stop that began at `since`. A stamp of another boot counts from now.
    pub(crate) fn new(since: &Stamp, now: &Stamp, grace: Grace, plan: &StopPlan) -> Self {
        let began = if since.boot_id == now.boot_id { since.boot } else { now.boot };
        Self { began, ends: began + grace.length, stages: plan.stages.clone(), extended_from: grace.extended_from }
    }

    /// As if it began now: a planted fault.
    pub(crate) fn anew(self, now: BootTime) -> Self {
        Self { began: now, ends: now + self.ends.since(self.began), ..self }
    }

    /// Both at once: what runs is asked in its own way, and the earlier end counts.
    pub(crate) fn and(self, other: &StopOrder) -> Self {
        Self { ends: self.ends.min(other.ends), began: self.began.min(other.began), ..self }
    }
}

/// A stop under way.
#[derive(Debug)]
pub(crate) struct Stop {
    order: StopOrder,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Signalling { sent: usize },
    Killing { again: Retry },
}

/// What a stop does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopAct {
    /// Send this signal to the main process.
    Signal(i32),
    /// Kill the cgroup.
    Kill,
}

/// Why a stop wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopWake {
    /// The next stage.
    Stage,
    /// The end of the grace.
    GraceEnd,
    /// The kill had no effect yet.
    KillAgain,
}

impl Stop {
    pub(crate) fn new(order: StopOrder) -> Self {
        Self { order, phase: Phase::Signalling { sent: 0 } }
    }

    /// Takes an earlier end; a later one changes nothing.
    pub(crate) fn shorten(&mut self, ends: BootTime) {
        self.order.ends = self.order.ends.min(ends);
    }

    /// What is due.
    pub(crate) fn act(&mut self, now: BootTime) -> Vec<StopAct> {
        match &mut self.phase {
            Phase::Killing { again } if again.is_due(now) => {
                *again = again.next(now);
                kill()
            }
            Phase::Killing { .. } => Vec::new(),
            Phase::Signalling { .. } if now >= self.order.ends => {
                self.phase = Phase::Killing { again: Retry::first(now) };
                kill()
            }
            Phase::Signalling { sent } => {
                let due = self.order.stages[*sent..].iter().take_while(|stage| due_at(&self.order, stage) <= now);
                let acts: Vec<_> = due.map(|stage| StopAct::Signal(stage.signal)).collect();
                *sent += acts.len();
                acts
            }
        }
    }

    /// When and why it wants to be woken.
    pub(crate) fn wake(&self) -> (BootTime, StopWake) {
        match &self.phase {
            Phase::Killing { again } => (again.at(), StopWake::KillAgain),
            Phase::Signalling { sent } => {
                let stage = self.order.stages.get(*sent).map(|stage| due_at(&self.order, stage));
                match stage {
                    Some(at) if at < self.order.ends => (at, StopWake::Stage),
                    Some(_) | None => (self.order.ends, StopWake::GraceEnd),
                }
            }
        }
    }
}

fn kill() -> Vec<StopAct> {
    if planted::on(Fault::NoKillAtGraceEnd) { Vec::new() } else { vec![StopAct::Kill] }
}

fn due_at(order: &StopOrder, stage: &StopStage) -> BootTime {
    stage.before_end.map_or(order.began, |before| (order.ends - before).max(order.began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(secs: u64) -> BootTime {
        BootTime(Duration::from_secs(secs))
    }

    /// SIGINT at once, SIGQUIT 5 s before the end.
    fn postgres(ends: u64) -> Stop {
        let stages = vec![
            StopStage { signal: 2, before_end: None },
            StopStage { signal: 3, before_end: Some(Duration::from_secs(5)) },
        ];
        Stop::new(StopOrder { began: t(100), ends: t(ends), stages, extended_from: None })
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
        let mut stop = postgres(130);
        stop.shorten(t(200));
        assert_eq!(stop.act(t(129)), [StopAct::Signal(2), StopAct::Signal(3)]);
        stop.shorten(t(110));
        assert_eq!(stop.act(t(129)), [StopAct::Kill]);
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
