//! What an answer to `Observe` means for a container: after a start of the daemon, or after the death of a shim.
//!
//! The ledger may lag behind the host, since attempt numbers and exits are written lazily:
//!
//! | the host says | the ledger says | so |
//! |---|---|---|
//! | a higher attempt | a lower one | it was begun after the last write: it is the live one; how those before it ended the shim has kept (`Recalled`) |
//! | the same attempt | begun or running | as the host says |
//! | the same attempt | ended | as the ledger says, if the host agrees that it ended |
//! | a lower attempt | one begun | the order to begin it was lost: it is given again, with the same number |
//! | nothing at all | one running | it ended, unseen |

use barepod_model::{Attempt, ContainerKey, Reason, Stamp};

use crate::container::{Alive, Machine, Observing, Scene, State, is_outdated, unseen_end};
use crate::context::Ctx;
use crate::outcome::{self, Exit};
use crate::planted::{self, Fault};
use crate::running::Running;
use crate::{ContainerRecord, Effect, Observation, PastEnd, Progress, Severity, backoff};

/// More restarts than these between two writes change no back-off.
const MISSED_AT_MOST: u32 = 16;

/// An end of an attempt that an observation tells of.
struct Found {
    attempt: Attempt,
    exit: Exit,
    empty: bool,
}

impl Machine {
    /// A container of which something may be on the host; asks what.
    pub(crate) fn recovering(key: ContainerKey, ctx: &mut Ctx<'_>) -> Self {
        if planted::on(Fault::StartWithoutObserving) {
            return Self::new();
        }
        ctx.push(Effect::Observe { key });
        Self { state: State::Recovering, observing: Observing::Asked(None) }
    }

    /// The shim died: what became of its process must be found out. Until then it counts as running.
    pub(crate) fn shim_lost(&mut self, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match (&self.state, &self.observing) {
            // Of what drains too: nobody else would tell that nothing is left.
            (State::Starting { .. } | State::Running(_) | State::Draining { .. }, Observing::No) => {
                self.observe(scene, ctx);
                self.running().into_iter().for_each(Running::turn_deaf);
            }
            (
                State::Recovering | State::Starting { .. } | State::Running(_) | State::Draining { .. },
                Observing::Asked(_),
            ) => {
                self.observing = Observing::Again;
            }
            (
                State::Starting { .. } | State::Running(_) | State::Recovering | State::Draining { .. },
                Observing::Again,
            )
            | (State::Recovering, Observing::No)
            | (State::Idle, _) => {}
        }
    }

    fn observe(&mut self, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        self.observing = Observing::Asked(self.live());
        ctx.push(Effect::Observe { key: scene.container_key() });
    }

    /// What there is of the container.
    pub(crate) fn observed(
        &mut self,
        seen: Observation,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        let asked = std::mem::replace(&mut self.observing, Observing::No);
        let about = match asked {
            Observing::Asked(about) => about,
            Observing::Again => return self.observe(scene, ctx),
            Observing::No => return,
        };
        match &self.state {
            State::Recovering => self.recover(seen, rec, scene, ctx),
            State::Starting { attempt, .. } => {
                let attempt = *attempt;
                self.confirm(attempt, false, seen, rec, scene, ctx);
            }
            State::Running(run) => {
                let attempt = run.attempt;
                self.confirm(attempt, about == Some(attempt), seen, rec, scene, ctx);
            }
            State::Draining { attempt, .. } => {
                let mine = *attempt;
                self.drained(mine, seen, rec, scene, ctx);
            }
            State::Idle => {}
        }
    }

    /// What there is of an attempt whose main process has ended: its emptiness is all that counts.
    fn drained(
        &mut self,
        mine: Attempt,
        seen: Observation,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        match seen {
            Observation::Exited { attempt, empty: true, message, .. } if attempt == mine => {
                rec.hear_last_words(message);
                self.emptied(rec, scene, ctx);
            }
            Observation::Exited { .. } | Observation::Running { .. } | Observation::Absent => {}
        }
    }

    /// What there is of a container whose live attempt is `mine`; what speaks of another attempt is old news.
    fn confirm(
        &mut self,
        mine: Attempt,
        absence_counts: bool,
        seen: Observation,
        rec: &mut ContainerRecord,
        scene: Scene<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        match seen {
            Observation::Running { attempt, pid, started, heard } if attempt == mine => {
                if let State::Running(run) = &mut self.state {
                    run.pid = pid;
                    run.hear_again(heard.map(|heard| *heard), rec, ctx);
                    scene.tell(ctx, Severity::Warning, Reason::ShimReplaced, format!("pid {pid} has a new shim"));
                } else {
                    let heard = heard.map(|heard| *heard);
                    self.run(Alive { attempt, pid, since: started, heard }, rec, scene, ctx);
                }
            }
            Observation::Exited { attempt, status, oom, started, finished, empty, message } if attempt == mine => {
                self.exited(Exit { status, oom, started, finished, message }, rec, scene, ctx);
                if empty {
                    self.emptied(rec, scene, ctx);
                }
            }
            Observation::Absent if absence_counts => self.vanished(mine, rec, scene, ctx),
            Observation::Running { .. } | Observation::Exited { .. } | Observation::Absent => {}
        }
    }

    /// An attempt that ran is gone without a trace. Its cgroup is killed all the same before anything takes its place.
    fn vanished(&mut self, attempt: Attempt, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let started = match &rec.progress {
            Progress::Running { since } => Some(since.clone()),
            Progress::None | Progress::Begun | Progress::Lost | Progress::Draining | Progress::Ended => None,
        };
        let end = unseen_end("nothing of it was found on the host", started, ctx.stamp());
        scene.tell_end(ctx, attempt, &end);
        outcome::close(rec, end, Progress::Draining, scene);
        self.drain(attempt, scene, ctx);
    }

    /// Writes down how attempts ended that others have followed, as far as the ledger does not know it.
    pub(crate) fn recall(&self, ends: Vec<PastEnd>, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        if planted::on(Fault::OvertakenEndForgotten) {
            return;
        }
        for PastEnd { attempt, failure, status, oom, started, finished } in ends {
            catch_up(attempt, &finished, rec, scene, ctx);
            let is_open = match rec.progress {
                Progress::Begun | Progress::Lost | Progress::Running { .. } => true,
                Progress::None | Progress::Draining | Progress::Ended => false,
            };
            if rec.attempt == Some(attempt) && is_open {
                let end = match failure {
                    Some(failure) => outcome::never_ran(failure, finished),
                    None => Exit { status, oom, started, finished, message: String::new() }.into_termination(rec),
                };
                scene.tell_end(ctx, attempt, &end);
                outcome::close(rec, end, Progress::Ended, scene);
            }
        }
    }

    fn recover(&mut self, seen: Observation, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match &seen {
            Observation::Absent => {}
            Observation::Running { attempt, started: at, .. } | Observation::Exited { attempt, finished: at, .. } => {
                if planted::on(Fault::HigherAttemptIgnored) && rec.attempt < Some(*attempt) {
                    return self.become_idle(rec, scene, ctx);
                }
                catch_up(*attempt, at, rec, scene, ctx);
                restart_was_at(*attempt, at, rec);
            }
        }
        match seen {
            Observation::Absent => self.recover_absent(rec, scene, ctx),
            Observation::Running { attempt, pid, started, heard } => {
                let since = match &rec.progress {
                    Progress::Running { since } => since.clone(),
                    Progress::None | Progress::Begun | Progress::Lost | Progress::Draining | Progress::Ended => started,
                };
                let heard = heard.map(|heard| *heard);
                self.run(Alive { attempt, pid, since, heard }, rec, scene, ctx);
            }
            Observation::Exited { attempt, status, oom, started, finished, empty, message } => {
                let exit = Exit { status, oom, started, finished, message };
                self.recover_exited(Found { attempt, exit, empty }, rec, scene, ctx);
            }
        }
    }

    fn recover_absent(&mut self, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match (&rec.progress, rec.attempt) {
            (Progress::Running { .. }, Some(attempt)) => self.vanished(attempt, rec, scene, ctx),
            (Progress::Draining, Some(attempt)) => self.drain(attempt, scene, ctx),
            (Progress::None | Progress::Begun | Progress::Lost | Progress::Ended, _)
            | (Progress::Running { .. } | Progress::Draining, None) => self.become_idle(rec, scene, ctx),
        }
    }

    fn recover_exited(&mut self, found: Found, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        let is_newest = rec.attempt == Some(found.attempt);
        match (is_newest, &rec.progress) {
            (true, Progress::None | Progress::Begun | Progress::Lost | Progress::Running { .. }) => {
                let end = found.exit.into_termination(rec);
                scene.tell_end(ctx, found.attempt, &end);
                outcome::close(rec, end, Progress::Draining, scene);
            }
            (false, Progress::Running { .. }) => {
                let end = unseen_end("the host knows an older attempt only", None, ctx.stamp());
                outcome::close(rec, end, Progress::Draining, scene);
            }
            (false, Progress::None | Progress::Begun | Progress::Lost) | (_, Progress::Draining | Progress::Ended) => {}
        }
        if found.empty {
            self.emptied(rec, scene, ctx);
        } else {
            self.drain(found.attempt, scene, ctx);
        }
    }
}

/// An order that was given twice counts for the back-off when it was carried out, which the ledger need not know.
fn restart_was_at(attempt: Attempt, seen: &Stamp, rec: &mut ContainerRecord) {
    let is_unsure = matches!(rec.progress, Progress::Begun | Progress::Lost);
    if let Some(backoff) = rec.backoff.as_mut().filter(|_| is_unsure && rec.attempt == Some(attempt)) {
        backoff.updated = seen.clone();
    }
}

/// Takes over that the host is ahead of the ledger: attempts were begun after its last write. They were begun for what the
/// ledger says is wanted: no container that a change replaces is started while that change is being written, and no
/// change is written before it is known what there is.
fn catch_up(attempt: Attempt, seen: &Stamp, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &Ctx<'_>) {
    if rec.attempt >= Some(attempt) {
        return;
    }
    if matches!(rec.progress, Progress::Begun | Progress::Running { .. }) {
        let end = unseen_end("it ended while no daemon wrote it down", None, seen.clone());
        outcome::close(rec, end, Progress::Ended, scene);
    }
    let known = rec.attempt.map_or(0, |known| known.0) + u32::from(rec.attempt.is_some() && is_outdated(rec));
    for _ in 0..attempt.0.saturating_sub(known).min(MISSED_AT_MOST) {
        rec.backoff = Some(backoff::grown(rec.backoff.as_ref(), seen, ctx.figures, seen));
    }
    rec.attempt = Some(attempt);
    rec.attempt_epoch = rec.epoch;
    rec.progress = Progress::Begun;
    rec.finished = false;
    rec.stop = None;
    rec.in_force = None;
    rec.notify = None;
}
