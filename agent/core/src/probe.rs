//! The probes of one running attempt, with kubelet's semantics (`pkg/kubelet/prober/worker.go`).
//!
//! ```text
//!   startup ──success──▶ readiness and liveness run side by side
//!      └─failed for good──▶ restart            liveness ─failed for good─▶ restart
//! ```
//!
//! A verdict needs as many equal answers in a row as its threshold says. An answer that is none ([`ProbeOutcome::Unavailable`])
//! counts neither way. A startup or liveness probe that has failed for good asks no more: the attempt is over.

use barepod_model::{BootTime, Container, Probe, ProbeKind};

use crate::{ProbeOutcome, ProbeTicket};

/// The probes of one attempt.
#[derive(Debug)]
pub(crate) struct Probes {
    container_started: BootTime,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    kind: ProbeKind,
    probe: Probe,
    next: BootTime,
    asked: Option<ProbeTicket>,
    run: Run,
}

/// Equal answers in a row.
#[derive(Debug)]
enum Run {
    None,
    Good(u32),
    Bad(u32),
    /// Failed for good; asks no more.
    Over,
}

/// How far an attempt is on its way to being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Its startup probe has not succeeded.
    Probing,
    /// Something else is still waited for.
    Waiting,
    /// It has started.
    Started,
}

/// What an answer decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Undecided,
    /// It is good.
    Good,
    /// It is bad.
    Bad,
}

impl Probes {
    /// The probes of a container whose process started at `started`.
    pub(crate) fn new(spec: &Container, started: BootTime, now: BootTime) -> Self {
        let mut probes = Self { container_started: started, workers: Vec::new() };
        probes.follow(spec, now);
        probes
    }

    /// No probes, for a container that is not wanted any more.
    pub(crate) fn none(started: BootTime) -> Self {
        Self { container_started: started, workers: Vec::new() }
    }

    /// Takes changed probes over; those that did not change go on as they are.
    pub(crate) fn follow(&mut self, spec: &Container, now: BootTime) {
        let wanted = [
            (ProbeKind::Startup, &spec.startup),
            (ProbeKind::Readiness, &spec.readiness),
            (ProbeKind::Liveness, &spec.liveness),
        ];
        for (kind, probe) in wanted {
            let known = self.workers.iter().position(|worker| worker.kind == kind);
            if known.map(|at| &self.workers[at].probe) == probe.as_ref() {
                continue;
            }
            if let Some(at) = known {
                self.workers.remove(at);
            }
            if let Some(probe) = probe {
                let next = (self.container_started + probe.initial_delay).max(now);
                self.workers.push(Worker { kind, probe: probe.clone(), next, asked: None, run: Run::None });
            }
        }
    }

    /// The probes to carry out now; each gets the next ticket.
    pub(crate) fn due(&mut self, gate: Gate, now: BootTime, tickets: &mut u64) -> Vec<(ProbeKind, ProbeTicket, Probe)> {
        let mut due = Vec::new();
        for worker in self.workers.iter_mut().filter(|worker| worker.asks(gate) && worker.next <= now) {
            *tickets += 1;
            let ticket = ProbeTicket(*tickets);
            worker.asked = Some(ticket);
            worker.next = now + worker.probe.period;
            due.push((worker.kind, ticket, worker.probe.clone()));
        }
        due
    }

    /// The readiness probe, where it is to be carried out now although the attempt is on its way out: whether it may still
    /// be sent traffic is asked until its end.
    pub(crate) fn last_questions(
        &mut self,
        gate: Gate,
        now: BootTime,
        tickets: &mut u64,
    ) -> Vec<(ProbeKind, ProbeTicket, Probe)> {
        self.workers.retain(|worker| worker.kind == ProbeKind::Readiness);
        self.due(gate, now, tickets)
    }

    /// Whether this answer is waited for.
    pub(crate) fn awaits(&self, kind: ProbeKind, ticket: ProbeTicket) -> bool {
        self.workers.iter().any(|worker| worker.kind == kind && worker.asked == Some(ticket))
    }

    /// Takes an answer. One that has failed too often fails for good at the end of its service's patience.
    pub(crate) fn answer(&mut self, kind: ProbeKind, outcome: &ProbeOutcome, patient: bool) -> Verdict {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.kind == kind) else {
            return Verdict::Undecided;
        };
        worker.asked = None;
        worker.run = match (outcome, &worker.run) {
            (ProbeOutcome::Unavailable(_), _) => return Verdict::Undecided,
            (_, Run::Over) => Run::Over,
            (ProbeOutcome::Success | ProbeOutcome::Warning(_), Run::Good(n)) => Run::Good(n.saturating_add(1)),
            (ProbeOutcome::Success | ProbeOutcome::Warning(_), Run::None | Run::Bad(_)) => Run::Good(1),
            (ProbeOutcome::Failure(_), Run::Bad(n)) => Run::Bad(n.saturating_add(1)),
            (ProbeOutcome::Failure(_), Run::None | Run::Good(_)) => Run::Bad(1),
        };
        match worker.run {
            Run::Bad(_) if patient && kind == ProbeKind::Startup => Verdict::Undecided,
            Run::Bad(_) | Run::Good(_) | Run::None | Run::Over => worker.verdict(),
        }
    }

    /// When the next probe is due, and which.
    pub(crate) fn wake(&self, gate: Gate) -> Option<(BootTime, ProbeKind)> {
        let waiting = self.workers.iter().filter(|worker| worker.asks(gate));
        waiting.map(|worker| (worker.next, worker.kind)).min()
    }
}

impl Worker {
    /// Whether it would ask if its time had come.
    fn asks(&self, gate: Gate) -> bool {
        let its_turn = match self.kind {
            ProbeKind::Startup => gate == Gate::Probing,
            ProbeKind::Readiness | ProbeKind::Liveness => gate == Gate::Started,
        };
        its_turn && self.asked.is_none() && !matches!(self.run, Run::Over)
    }

    fn verdict(&mut self) -> Verdict {
        match self.run {
            Run::Good(n) if n >= self.probe.success_threshold => Verdict::Good,
            Run::Bad(n) if n >= self.probe.failure_threshold => {
                match self.kind {
                    ProbeKind::Startup | ProbeKind::Liveness => self.run = Run::Over,
                    ProbeKind::Readiness => {}
                }
                Verdict::Bad
            }
            Run::Good(_) | Run::Bad(_) | Run::None | Run::Over => Verdict::Undecided,
        }
    }
}
