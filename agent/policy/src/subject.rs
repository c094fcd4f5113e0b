//! Who asks, and what for.

use std::fmt;

use barepod_model::Source;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Where the pod comes from.
    pub source: Source,
    /// The user of this host who asks: the peer of the socket, or who owns the manifest file. Kubernetes and Nomad have
    /// none here.
    pub user: Option<User>,
}

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// All group ids.
    pub groups: Vec<u32>,
}

impl User {
    /// Root.
    #[must_use]
    pub fn root() -> Self {
        Self { uid: 0, groups: vec![0] }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.source)?;
        match &self.user {
            Some(User { uid: 0, .. }) => f.write_str(", user root"),
            Some(User { uid, .. }) => write!(f, ", user {uid}"),
            None => Ok(()),
        }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Create or change pods and objects.
    Apply,
    /// End pods.
    Delete,
    /// New processes for a pod.
    Restart,
    /// Keep a pod from running, and let it run again.
    Stop,
    /// Set a pod's conditions.
    Condition,
    /// A command in a running container.
    Exec,
    /// The input and output of a running container's own process.
    Attach,
    /// See pods and their events.
    Get,
    /// Read logs.
    Logs,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 9] = [
        Verb::Apply,
        Verb::Delete,
        Verb::Restart,
        Verb::Stop,
        Verb::Condition,
        Verb::Exec,
        Verb::Attach,
        Verb::Get,
        Verb::Logs,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Apply => "apply",
            Verb::Delete => "delete",
            Verb::Restart => "restart",
            Verb::Stop => "stop",
            Verb::Condition => "condition",
            Verb::Exec => "exec",
            Verb::Attach => "attach",
            Verb::Get => "get",
            Verb::Logs => "logs",
        }
    }
}
