//! How bad the weather is in a run.

use std::time::Duration;

use crate::rng::Rng;

/// Whether things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// They do.
    Wild,
    /// They no longer do: everything must come right.
    Calm,
}

/// How often what goes wrong, in a thousand.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    pub(crate) mood: Mood,
    kill_daemon: u64,
    fail_store: u64,
    stall_store: u64,
    fail_other: u64,
    pub(crate) shim_death: u64,
    pub(crate) crashy: u64,
    pub(crate) reboot: u64,
    pub(crate) shutdown: u64,
    pub(crate) repeat: u64,
}

impl Faults {
    /// Each run has its own weather; some have none of a kind.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            mood: Mood::Wild,
            kill_daemon: *rng.pick(&[0, 0, 5, 30]),
            fail_store: *rng.pick(&[0, 0, 50, 300]),
            stall_store: *rng.pick(&[0, 50, 300]),
            fail_other: *rng.pick(&[0, 30, 200]),
            shim_death: *rng.pick(&[0, 100, 300]),
            crashy: *rng.pick(&[100, 500, 800]),
            reboot: *rng.pick(&[0, 20, 80]),
            repeat: *rng.pick(&[0, 50, 200]),
            shutdown: *rng.pick(&[0, 0, 20, 80]),
        }
    }

    fn goes_wrong(&self, rng: &mut Rng, chance: u64) -> bool {
        self.mood == Mood::Wild && rng.chance(chance)
    }

    pub(crate) fn kills_daemon(&self, rng: &mut Rng) -> bool {
        self.goes_wrong(rng, self.kill_daemon)
    }

    pub(crate) fn fails_store(&self, rng: &mut Rng) -> bool {
        self.goes_wrong(rng, self.fail_store)
    }

    pub(crate) fn fails(&self, rng: &mut Rng) -> bool {
        self.goes_wrong(rng, self.fail_other)
    }

    pub(crate) fn repeats(&self, rng: &mut Rng) -> bool {
        self.goes_wrong(rng, self.repeat)
    }

    /// How long a message takes.
    pub(crate) fn latency(&self, rng: &mut Rng) -> Duration {
        rng.millis(0..50)
    }

    /// How long a ledger write takes.
    pub(crate) fn store_latency(&self, rng: &mut Rng) -> Duration {
        if self.goes_wrong(rng, self.stall_store) { rng.millis(500..15_000) } else { rng.millis(0..20) }
    }

    /// How long a start takes.
    pub(crate) fn start_latency(&self, rng: &mut Rng) -> Duration {
        if self.goes_wrong(rng, self.stall_store / 4) { rng.millis(100..1500) } else { rng.millis(0..20) }
    }
}
