//! The decisions: a pod's life as a pure state machine.
//!
//! [`Core`] has four verbs. [`Core::handle`] takes one [`Input`] at a moment; [`Core::poll_effect`] gives out what is to
//! be done, one [`Effect`] at a time; [`Core::poll_deadline`] says when it wants to be woken and why; [`Core::view`]
//! shows what is. It knows no clock, file system, environment or randomness, so the same inputs give the same effects:
//! that is what `barepod-sim` simulates and replays.
//!
//! ```text
//!   Input ──handle──▶ Core ──poll_effect──▶ Effect ──(the daemon carries it out)──▶ Input ...
//! ```
//!
//! Every effect carries the pod, container and attempt it belongs to, and its answer brings them back; an answer that no
//! longer fits is dropped in one place.

mod admission;
mod answers;
mod backoff;
mod capacity;
mod condition;
mod container;
mod context;
mod core;
mod cpus;
mod deadline;
mod dependency;
mod diff;
mod effect;
mod fresh;
mod heard;
mod input;
mod journal;
mod outcome;
mod planted;
mod pod;
mod pressure;
mod probe;
mod proposal;
mod rank;
mod record;
mod recover;
mod requests;
mod restore;
mod retry;
mod running;
mod show;
mod shutdown;
mod signal;
mod stop;
mod storage;
mod view;

pub use crate::core::Core;
pub use capacity::{Allocation, Booking, Capacity, PendingResize};
pub use condition::{Condition, ConditionChange, ConditionStatus};
pub use cpus::{CpuPool, CpuSet, CpuTable};
pub use deadline::Deadline;
pub use effect::{AttemptKey, BackoffFigures, Effect, Event, ProbeTicket, Severity, Sync};
pub use heard::{Heard, Patience, Said};
pub use input::{
    Accepted, Denied, Evidence, HookOutcome, HostRules, Input, Moment, Observation, PastEnd, ProbeOutcome, RequestId,
    Restored, StartFailure, Verb,
};
#[cfg(feature = "planted")]
pub use planted::{Fault, plant};
pub use pressure::{CRITICAL, PressureRules, Survey};
pub use rank::PodUse;
pub use record::{
    Backoff, ContainerRecord, Deletion, Disruption, PodFailure, PodRecord, Progress, Revision, StopIntent, Waits,
};
pub use signal::{Least, Level, Pressure, Signal, Threshold};
pub use storage::{StorageUse, is_storage_limited};
pub use view::{ContainerState, ContainerView, PodView};
