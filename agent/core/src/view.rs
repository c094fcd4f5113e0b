//! What is, for whoever asks.

use std::sync::Arc;

use barepod_model::{
    Attempt, ContainerName, ExitStatus, Namespace, Phase, Pod, PodName, PodUid, Reason, Resources, Stamp, Termination,
};
use serde::{Deserialize, Serialize};

use crate::{Condition, Deletion, PendingResize, Said};

/// A pod as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodView {
    /// Its identity.
    pub uid: PodUid,
    /// Namespace and name; `None` only where the ledger file cannot be read and nothing else tells them.
    pub name: Option<(Namespace, PodName)>,
    /// What is wanted; `None` only where the ledger file cannot be read.
    pub pod: Option<Arc<Pod>>,
    /// Rises with each accepted change.
    pub generation: u64,
    /// When it was first accepted.
    pub created: Option<Stamp>,
    /// It is ending.
    pub deletion: Option<Deletion>,
    /// Since when an operator wants nothing of it to run.
    pub halted: Option<Stamp>,
    /// Its phase.
    pub phase: Phase,
    /// Why it waits, is orphaned, or cannot be read.
    pub reason: Option<Reason>,
    /// A sentence for people, may be empty.
    pub message: String,
    /// What it was given as a whole.
    pub level: Option<Resources>,
    /// Why a change of its resources is not made yet.
    pub pending_resize: Option<PendingResize>,
    /// Its limits are being changed; with the reason why that has not been done, if there is one.
    pub resizing: Option<String>,
    /// Its init containers are done and its sidecars have started.
    pub initialized: bool,
    /// All containers that last are ready, and what `readinessGates` names holds.
    pub ready: bool,
    /// All there are, barepod's own first.
    pub conditions: Vec<Condition>,
    /// Its containers in their order.
    pub containers: Vec<ContainerView>,
}

/// A container as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// Its name.
    pub name: ContainerName,
    /// The newest attempt begun.
    pub attempt: Option<Attempt>,
    /// Kubernetes' `restartCount`: attempts after the first.
    pub restart_count: u32,
    /// What it does now.
    pub state: ContainerState,
    /// Something of its newest attempt is on the host, or may be: its process, what that left behind, its unread output.
    pub live: bool,
    /// How the attempt before the present one ended.
    pub last: Option<Termination>,
    /// Its startup probe succeeded, or it has none and runs.
    pub started: bool,
    /// Its readiness probe says so, or it has none and is started.
    pub ready: bool,
    /// What it was given of what it asks for.
    pub allocated: Option<Resources>,
    /// The limits that its running process has.
    pub in_force: Option<Resources>,
    /// What its service says of itself, while it runs and if it speaks.
    pub said: Option<Said>,
}

/// What a container does now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// It has no process.
    Waiting {
        /// Why.
        reason: Reason,
        /// A sentence for people, may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Host pid of its main process.
        pid: u32,
        /// Since when.
        started: Stamp,
        /// It has been asked to end.
        stopping: bool,
    },
    /// Its main process ended, and it will not be started again or something of it still lives.
    Terminated {
        /// The record.
        termination: Termination,
    },
}

impl ContainerState {
    /// The exit status, if it ended.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match self {
            ContainerState::Terminated { termination } => Some(termination.status),
            ContainerState::Waiting { .. } | ContainerState::Running { .. } => None,
        }
    }
}
