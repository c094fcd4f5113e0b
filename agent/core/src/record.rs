//! What the ledger keeps of a pod: intent and outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_model::{Attempt, ContainerName, Pod, Stamp, Termination};
use serde::{Deserialize, Serialize};

use crate::Evidence;

/// Number of a ledger write of one pod; rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Revision(pub u64);

/// Everything that must be known of a pod after a restart of the daemon or the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    /// The write that made this record.
    pub revision: Revision,
    /// What is wanted.
    pub pod: Pod,
    /// Rises with each accepted change of `pod`.
    pub generation: u64,
    /// When it was first accepted.
    pub created: Stamp,
    /// It is no longer wanted.
    pub deletion: Option<Deletion>,
    /// Its source does not mention it at present.
    pub orphaned: bool,
    /// What became of its containers, by name.
    pub containers: BTreeMap<ContainerName, ContainerRecord>,
}

/// The intent to end a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was accepted. The stop begins then; under another boot nothing of the pod runs any more.
    pub since: Stamp,
    /// The grace given with the delete.
    pub grace: Option<Duration>,
    /// Why it is certain.
    pub evidence: Evidence,
}

/// What is kept of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ContainerRecord {
    /// The newest attempt that was begun; `None` before the first.
    pub attempt: Option<Attempt>,
    /// How the newest ended attempt ended.
    pub last: Option<Termination>,
    /// Its restart back-off.
    pub backoff: Option<Backoff>,
    /// An init container that has done its work, or a regular one that will not be restarted.
    pub finished: bool,
}

/// Where a container's restart back-off stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the next crash.
    pub delay: Duration,
    /// When it last grew.
    pub updated: Stamp,
}
