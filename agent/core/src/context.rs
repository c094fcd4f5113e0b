//! What every decision may use: the moment, the boot, the figures, and the place where effects go.

use std::collections::VecDeque;

use barepod_model::{BootId, ContainerName, PodUid, Reason, Stamp};

use crate::{BackoffFigures, Effect, Event, Moment, Severity};

/// Handed down through one call of the core.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Moment,
    pub(crate) boot: &'a BootId,
    pub(crate) figures: BackoffFigures,
    pub(crate) effects: &'a mut VecDeque<Effect>,
    pub(crate) tickets: &'a mut u64,
}

impl Ctx<'_> {
    /// This moment, to be stored.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { boot_id: self.boot.clone(), boot: self.now.boot, wall: self.now.wall }
    }

    /// Wants something done.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Tells people.
    pub(crate) fn tell(
        &mut self,
        pod: &PodUid,
        container: Option<&ContainerName>,
        severity: Severity,
        reason: Reason,
        message: String,
    ) {
        let event = Event { pod: pod.clone(), container: container.cloned(), severity, reason, message };
        self.push(Effect::Emit(event));
    }
}
