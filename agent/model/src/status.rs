//! What became of a process, and a pod's phase.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Reason, Stamp};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
    /// Nobody saw it end: its shim died and the kernel cannot be asked (before Linux 6.15), or the host rebooted.
    Unknown,
}

impl ExitStatus {
    /// Exit code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == ExitStatus::Code(0)
    }

    /// The number Kubernetes shows: the code, 128 + signal, or 255 where it is unknown.
    #[must_use]
    pub fn kubernetes_code(self) -> i32 {
        match self {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 + signal,
            ExitStatus::Unknown => 255,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(signal) => write!(f, "signal {signal}"),
            ExitStatus::Unknown => f.write_str("unknown exit status"),
        }
    }
}

/// The record of one ended attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// How it ended.
    pub status: ExitStatus,
    /// Why, e.g. `Completed`, `Error`, `OOMKilled`, or a start failure's reason.
    pub reason: Reason,
    /// A sentence for people, may be empty.
    pub message: String,
    /// When its process started; `None` if it never did.
    pub started: Option<Stamp>,
    /// When it ended, or when that became known.
    pub finished: Stamp,
}

/// Kubernetes' pod phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, not all containers have been started.
    Pending,
    /// Bound, at least one container runs or will be restarted.
    Running,
    /// All containers ended well and will not be restarted.
    Succeeded,
    /// All containers ended, at least one badly, none will be restarted.
    Failed,
    /// The state of the pod's containers cannot be found out at present.
    Unknown,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
