//! What is done beside a container's process: hooks, rules for its restart, and its last words.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{HttpGet, RestartPolicy};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HookKind {
    /// After the process was started; until it is done the container counts as being created.
    PostStart,
    /// Before a living process is asked to end; its time counts against the grace.
    PreStop,
}

/// What a hook does (`core/v1.LifecycleHandler`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// Runs a command in the container's view, as its user.
    Exec {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
    /// Asks by HTTP; any answer is success, as it is for kubelet.
    Http(HttpGet),
    /// Waits.
    Sleep(Duration),
}

/// `core/v1.Lifecycle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Lifecycle {
    /// After the start.
    pub post_start: Option<Hook>,
    /// Before the stop.
    pub pre_stop: Option<Hook>,
}

impl Lifecycle {
    /// The hook of this kind.
    #[must_use]
    pub fn hook(&self, kind: HookKind) -> Option<&Hook> {
        match kind {
            HookKind::PostStart => self.post_start.as_ref(),
            HookKind::PreStop => self.pre_stop.as_ref(),
        }
    }
}

/// Whether an ended container is started again, where it says so itself (KEP-5307).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ContainerRestart {
    /// In place of the pod's policy.
    pub policy: Option<RestartPolicy>,
    /// The first rule that fits the exit code goes before any policy.
    pub rules: Vec<RestartRule>,
}

/// `core/v1.ContainerRestartRule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRule {
    /// Which exit codes it is about.
    pub codes: ExitCodes,
    /// What is done then.
    pub action: RestartAction,
}

/// `core/v1.ContainerRestartRuleOnExitCodes`. Codes are those that Kubernetes shows: 128 + n for a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCodes {
    /// Any of these.
    In(Vec<i32>),
    /// Any but these.
    NotIn(Vec<i32>),
}

impl ExitCodes {
    /// Whether it is about this code.
    #[must_use]
    pub fn contains(&self, code: i32) -> bool {
        match self {
            ExitCodes::In(codes) => codes.contains(&code),
            ExitCodes::NotIn(codes) => !codes.contains(&code),
        }
    }
}

/// What a restart rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    /// The container is started again.
    Restart,
    /// All containers of the pod are replaced, beginning with the init containers.
    RestartAllContainers,
}

/// Where a container leaves its last words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// The file inside the view.
    pub path: PathBuf,
    /// What is taken where the file is empty.
    pub policy: TerminationMessagePolicy,
}

impl Default for TerminationMessage {
    /// Kubernetes' defaults.
    fn default() -> Self {
        Self { path: "/dev/termination-log".into(), policy: TerminationMessagePolicy::File }
    }
}

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationMessagePolicy {
    /// The file alone.
    File,
    /// The end of the log, where the file is empty and the container failed.
    FallbackToLogsOnError,
}
