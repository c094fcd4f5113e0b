//! Why the core wants to be woken.

use barepod_model::{ContainerKey, PodUid, ProbeKind};
use serde::{Deserialize, Serialize};

use crate::AttemptKey;

/// What is due at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Deadline {
    /// A container's back-off ends.
    Backoff(ContainerKey),
    /// A preStop hook is waited for no longer.
    HookEnd(AttemptKey),
    /// The next signal of a staged stop.
    StopStage(AttemptKey),
    /// The end of a stop's grace: the cgroup is killed.
    GraceEnd(AttemptKey),
    /// A kill had no effect yet and is repeated.
    KillAgain(AttemptKey),
    /// New limits were refused; tried again.
    ResizeAgain(ContainerKey),
    /// A service has not said that it is ready, or that it is alive.
    Silence(AttemptKey),
    /// A probe.
    Probe(AttemptKey, ProbeKind),
    /// A pod has run for as long as it may.
    ActiveDeadline(PodUid),
    /// A pod's directories could not be made; tried again.
    PrepareAgain(PodUid),
    /// A pod could not be removed from the host; tried again.
    TearDownAgain(PodUid),
    /// A pod's ledger file could not be removed; tried again.
    ForgetAgain(PodUid),
    /// A lazy ledger write failed; tried again.
    StoreAgain(PodUid),
}
