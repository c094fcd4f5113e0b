//! What processes say of themselves (sd_notify), when, and whether anybody hears it.

use std::time::Duration;

use barepod_core::{AttemptKey, Heard, Input, Patience};
use barepod_model::{Attempt, BootTime, ContainerKey, Notify};

use crate::clock::SimTime;
use crate::faults::Mood;
use crate::host::Process;
use crate::trace::Entry;
use crate::world::{Happening, World};

/// What a process says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Ready,
    Alive,
    Stopping,
    Patience(SimTime),
}

/// So long news are on their way at most.
const NEWS: Duration = Duration::from_millis(100);

/// What a process has said, and what its shims have heard of it.
#[derive(Debug)]
pub(crate) struct Speech {
    notify: Notify,
    pub(crate) heard: Heard,
    ready: Option<SimTime>,
    alive: Option<SimTime>,
    /// Until when it asked for patience.
    pub(crate) patience: SimTime,
    /// When it last said something to a shim that was dead.
    unheard: Option<SimTime>,
    /// When a shim last began to listen in the place of a dead one.
    gap: Option<SimTime>,
}

impl Speech {
    pub(crate) fn new(notify: Notify) -> Self {
        let heard = Heard { serial: 1, ..Heard::default() };
        Self { notify, heard, ready: None, alive: None, patience: SimTime::ZERO, unheard: None, gap: None }
    }

    /// Whether it may be taken for ready.
    pub(crate) fn may_be_ready(&self) -> bool {
        self.ready.is_some() || self.gap.is_some()
    }

    /// Whether it has been silent for longer than it may, although it could have been heard.
    pub(crate) fn is_too_silent(&self, started: SimTime, now: SimTime) -> bool {
        let over = |since: SimTime, limit: Option<Duration>| {
            limit.is_some_and(|limit| now >= (since + limit).max(self.patience))
        };
        // That a shim is dead is heard a moment later.
        if self.unheard.is_some_and(|at| now.saturating_sub(at) < NEWS) {
            return true;
        }
        let unready = self.ready.is_none() && self.gap.is_none() && over(started, self.notify.start_timeout);
        let last = [self.ready, self.alive, self.gap].into_iter().flatten().max();
        unready || last.is_some_and(|last| over(last, self.notify.watchdog))
    }

    /// Another shim listens from now on.
    pub(crate) fn is_heard_again(&mut self, now: SimTime, at: BootTime) {
        self.gap = Some(now);
        self.heard.deaf = Some(at);
        self.heard.serial += 1;
    }

    fn say(&mut self, word: Word, now: SimTime) {
        match word {
            Word::Ready => self.ready = Some(now),
            Word::Alive => self.alive = Some(now),
            Word::Patience(time) => self.patience = self.patience.max(now + time),
            Word::Stopping => {}
        }
    }

    fn hear(&mut self, word: Word, at: BootTime) {
        let heard = &mut self.heard;
        heard.serial += 1;
        match word {
            Word::Ready => heard.ready = heard.ready.or(Some(at)),
            Word::Alive => heard.watchdog = Some(at),
            Word::Stopping => heard.stopping = heard.stopping.or(Some(at)),
            Word::Patience(time) => heard.patience = Some(Patience { asked: at, until: at + time }),
        }
    }
}

impl World<'_> {
    /// What a new process will say if it lives for so long. One that is to be asked for ever says it is ready at some time.
    pub(crate) fn schedule_words(&mut self, key: &ContainerKey, attempt: Attempt, process: &Process) {
        let Some(notify) = process.speech.as_ref().map(|speech| speech.notify) else { return };
        let mute = self.faults.mood == Mood::Wild && notify.start_timeout.is_some() && self.rng.chance(150);
        if self.faults.mood == Mood::Wild && self.rng.chance(100) {
            let (after, time) = (self.rng.millis(0..5_000), self.rng.millis(0..40_000));
            self.later(after, Happening::Says(key.clone(), attempt, Word::Patience(time)));
        }
        if !mute {
            // Never so late that it could be too late.
            let after = self.rng.millis(0..8_000);
            self.later(after, Happening::Says(key.clone(), attempt, Word::Ready));
        }
    }

    /// A process says something.
    pub(crate) fn process_says(&mut self, key: &ContainerKey, attempt: Attempt, word: Word) {
        let (now, at) = (self.clock.now, self.clock.moment().boot);
        let attempt_key = AttemptKey { pod: key.pod.clone(), container: key.container.clone(), attempt };
        let Some(process) = self.host.attempt(&attempt_key).filter(|process| process.lives()) else { return };
        let heard_by = process.shim_lives;
        let Some(speech) = &mut process.speech else { return };
        speech.say(word, now);
        if !heard_by {
            speech.unheard = Some(now);
        }
        let watchdog = speech.notify.watchdog;
        let heard = heard_by.then(|| {
            speech.hear(word, at);
            Box::new(speech.heard.clone())
        });
        self.note(&Entry::Host(&format!("{attempt_key} says {word:?}{}", if heard_by { "" } else { " to nobody" })));
        if let Some(heard) = heard {
            self.shim_tells(key, Input::Heard { key: attempt_key, heard });
        }
        let falls_silent = self.faults.mood == Mood::Wild && self.rng.chance(60);
        if let (Word::Ready | Word::Alive, Some(watchdog), false) = (word, watchdog, falls_silent) {
            self.later(watchdog / 3, Happening::Says(key.clone(), attempt, Word::Alive));
        }
    }

    /// What a process says when it is asked to end.
    pub(crate) fn say_at_signal(&mut self, key: &ContainerKey, attempt: Attempt) {
        if self.faults.mood != Mood::Wild {
            return;
        }
        if self.rng.chance(300) {
            self.process_says(key, attempt, Word::Stopping);
        }
        if self.rng.chance(200) {
            let time = self.rng.millis(0..20_000);
            self.process_says(key, attempt, Word::Patience(time));
        }
    }
}
