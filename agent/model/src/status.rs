//! What became of a process, and a pod's phase.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ContainerName, ProbeKind, Reason, Stamp};

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
    /// Why it was stopped; nothing if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<StopCause>>,
}

/// Why an attempt was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCause {
    /// A probe failed as often as it may.
    Probe {
        /// Which.
        kind: ProbeKind,
        /// What it said last.
        output: String,
    },
    /// Its postStart hook failed, so.
    Hook(String),
    /// Its service has not said what it should have, which was this.
    Silence(String),
    /// Somebody wanted new processes.
    Restart,
    /// Somebody wanted nothing of its pod to run.
    Halt,
    /// Its pod was changed.
    Change,
    /// Its pod was wanted no longer.
    Deletion,
    /// Its pod failed as a whole, for this reason and with these words.
    Failure(Reason, String),
    /// The host goes down.
    Shutdown,
    /// What it stands beside has ended.
    Over,
    /// A rule of this container wanted new processes of all.
    Companion(ContainerName),
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Probe { kind, output } => {
                write!(f, "its {} probe failed: {}", kind.as_str(), output.trim())
            }
            StopCause::Hook(message) => write!(f, "its postStart hook failed: {}", message.trim()),
            StopCause::Silence(message) => f.write_str(message),
            StopCause::Restart => f.write_str("a restart was asked for"),
            StopCause::Halt => f.write_str("its pod was stopped"),
            StopCause::Change => f.write_str("its pod was changed"),
            StopCause::Deletion => f.write_str("its pod was deleted"),
            StopCause::Failure(reason, message) => write!(f, "{reason}: {message}"),
            StopCause::Shutdown => f.write_str("the host goes down"),
            StopCause::Over => f.write_str("what it stands beside has ended"),
            StopCause::Companion(name) => write!(f, "a rule of container {name}, which ended, restarts all"),
        }
    }
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
