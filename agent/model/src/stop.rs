//! How a container's process is asked to end before it is made to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One signal of a staged stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStage {
    /// The signal's number on Linux.
    pub signal: i32,
    /// When it is sent: at once (`None`), or this long before the grace ends. A stage whose time has passed when the
    /// stop begins (a grace shorter than this) is sent at once, in the order of the list.
    pub before_end: Option<Duration>,
}

/// The stages in order; when the effective grace ends, the cgroup is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// Signals in the order in which they are sent. Never empty.
    pub stages: Vec<StopStage>,
    /// The preset's minimum grace. The effective grace of a stop is the larger of this and the pod's own, unless a grace
    /// was given with the delete, which wins.
    pub min_grace: Duration,
}

impl Default for StopPlan {
    /// SIGTERM, no minimum: what Kubernetes does for an image without STOPSIGNAL.
    fn default() -> Self {
        Self { stages: vec![StopStage { signal: 15, before_end: None }], min_grace: Duration::ZERO }
    }
}
