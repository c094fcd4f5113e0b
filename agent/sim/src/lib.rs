//! A simulated host with faults, and the invariants the core must keep.
//!
//! A run is made by its seed alone: people ask for pods, change and delete them; processes crash, ignore signals and leave
//! children behind; writes fail and stall; shims die; the daemon is killed between any two effects, the host loses its
//! power, the wall clock steps. After every step the invariants are checked against the simulation's own truth: which
//! processes live ([`host`]) and what was acknowledged to whom ([`intent`]), never against the core's opinion. At the end
//! the faults cease and everything must come right.
//!
//! ```text
//!   workload ──asks──▶ Core ──effects──▶ world (latency, faults) ──▶ host, disk
//!                       ▲                        │
//!                       └────────inputs──────────┘
//! ```

mod carry;
mod clock;
mod disk;
mod faults;
mod host;
mod intent;
mod judge;
mod people;
mod pressure;
mod rng;
mod shadow;
mod shutdown;
mod speech;
mod trace;
mod violation;
mod workload;
mod world;

use std::time::Duration;

pub use trace::{Entry, Sink};
pub use violation::{Invariant, Violation};
pub use world::{Summary, World};

/// A run that broke an invariant.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}, at {at:?}: {violation}")]
pub struct Failure {
    /// The seed, which replays the run.
    pub seed: u64,
    /// The simulated time of the violation.
    pub at: Duration,
    /// What was broken.
    pub violation: Violation,
}

/// Runs one seed to its end.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, sink: Sink<'_>) -> Result<Summary, Failure> {
    let mut world = World::new(seed, sink);
    world.run().map_err(|violation| Failure { seed, at: world.now(), violation })
}
