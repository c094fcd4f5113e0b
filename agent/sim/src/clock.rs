//! Simulated time: one that goes on for ever, the boot clock that begins anew with each boot, and a wall clock that steps.

use std::time::Duration;

use barepod_core::Moment;
use barepod_model::{BootId, BootTime, Stamp, WallTime};

/// Time since the simulation began.
pub(crate) type SimTime = Duration;

/// The three clocks.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    pub(crate) now: SimTime,
    boots: u64,
    booted: SimTime,
    wall_offset: i64,
}

impl Clock {
    /// A host that booted an hour ago.
    pub(crate) fn new() -> Self {
        Self { now: Duration::from_secs(3600), boots: 1, booted: Duration::ZERO, wall_offset: 0 }
    }

    /// Begins another boot.
    pub(crate) fn reboot(&mut self) {
        self.boots += 1;
        self.booted = self.now - Duration::from_secs(5);
    }

    /// Sets the wall clock off by so many seconds.
    pub(crate) fn step_wall(&mut self, seconds: i64) {
        self.wall_offset = (self.wall_offset + seconds).clamp(-1_000_000_000, 1_000_000_000);
    }

    pub(crate) fn boot_id(&self) -> BootId {
        BootId(format!("boot-{}", self.boots))
    }

    pub(crate) fn moment(&self) -> Moment {
        let seconds = self.now.as_secs() as i64 + self.wall_offset + 1_700_000_000;
        let wall = jiff::Timestamp::new(seconds, self.now.subsec_nanos() as i32);
        Moment { boot: self.to_boot(self.now), wall: WallTime(wall.unwrap_or(jiff::Timestamp::UNIX_EPOCH)) }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let Moment { boot, wall } = self.moment();
        Stamp { boot_id: self.boot_id(), boot, wall }
    }

    pub(crate) fn to_boot(&self, at: SimTime) -> BootTime {
        BootTime(at.saturating_sub(self.booted))
    }

    pub(crate) fn to_sim(&self, at: BootTime) -> SimTime {
        self.booted + at.0
    }
}
