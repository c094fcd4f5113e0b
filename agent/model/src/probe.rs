//! Probes, with Kubernetes' figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which question a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Has it started? Until it has, the other two do not run; if it fails, the container is restarted.
    Startup,
    /// May it be sent traffic?
    Readiness,
    /// Is it alive? If not, the container is restarted.
    Liveness,
}

/// How a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeHandler {
    /// Runs a command in the container's view, as its user; exit 0 is success.
    Exec {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
}

/// A probe with its figures; defaults are those of `core/v1.Probe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How it asks.
    pub handler: ProbeHandler,
    /// Wait after the container started before the first probe. Default 0.
    pub initial_delay: Duration,
    /// Time between probes. Default 10 s, at least 1 s.
    pub period: Duration,
    /// An answer later than this is a failure. Default 1 s, at least 1 s.
    pub timeout: Duration,
    /// Successes in a row that make a failed probe good again. Default 1; must be 1 for startup and liveness.
    pub success_threshold: u32,
    /// Failures in a row that make it bad. Default 3.
    pub failure_threshold: u32,
}
