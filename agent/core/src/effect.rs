//! What the core wants done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use barepod_model::{Attempt, ContainerKey, ContainerName, Hook, HookKind, Pod, PodUid, Probe, ProbeKind, Reason};
use serde::{Deserialize, Serialize};

use crate::{Accepted, CpuTable, Denied, PodRecord, RequestId, Revision};

/// One attempt of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The pod.
    pub pod: PodUid,
    /// The container.
    pub container: ContainerName,
    /// The attempt.
    pub attempt: Attempt,
}

impl AttemptKey {
    /// Without the attempt.
    #[must_use]
    pub fn container_key(&self) -> ContainerKey {
        ContainerKey { pod: self.pod.clone(), container: self.container.clone() }
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.pod, self.container, self.attempt)
    }
}

/// One run of a probe: a late answer of an earlier run does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProbeTicket(pub u64);

/// How durable a ledger write must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sync {
    /// Survives a power cut: file and directory are synced before `Stored`.
    Durable,
    /// Survives the daemon: written and renamed, not synced.
    Lazy,
}

/// How an event is shown, as Kubernetes' event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody may want to look.
    Warning,
}

/// Something worth telling about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The pod.
    pub pod: PodUid,
    /// One container of it.
    pub container: Option<ContainerName>,
    /// Normal or warning.
    pub severity: Severity,
    /// The code.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
}

/// One thing to do. Each is answered by the input named in its comment, once, if the daemon lives; after a restart of the
/// daemon, none is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Write the pod's ledger file. Writes of one pod are carried out in order. → `Stored`, `StoreFailed`
    Store {
        /// The pod.
        pod: PodUid,
        /// Brought back by the answer; rises with each write of a pod.
        revision: Revision,
        /// The whole record.
        record: Box<PodRecord>,
        /// How durable.
        sync: Sync,
    },
    /// Answer a request. → nothing
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        result: Result<Accepted, Denied>,
    },
    /// Make the pod's cgroup, directories and volumes, as far as they are missing. → `Prepared`, `PrepareFailed`
    Prepare {
        /// The pod as it is wanted.
        pod: Arc<Pod>,
        /// Its generation.
        generation: u64,
    },
    /// Start a container's next attempt: a shim if there is none, a fresh leaf cgroup, the process.
    /// → `Started` or `StartFailed`; later `Exited`, `Emptied`
    Start {
        /// Which.
        key: AttemptKey,
        /// The pod as it is wanted.
        pod: Arc<Pod>,
    },
    /// Find out what there is of a container, and give a living process a shim if it has none. → `Observed`
    Observe {
        /// Which.
        key: ContainerKey,
    },
    /// Send a signal to an attempt's main process. → nothing; it may have ended
    Signal {
        /// Which.
        key: AttemptKey,
        /// The signal's number.
        signal: i32,
    },
    /// Kill everything in an attempt's cgroup. → `Exited`, `Emptied` in time
    Kill {
        /// Which.
        key: AttemptKey,
    },
    /// Put a running container's new limits in force. → `Resized`, `ResizeFailed`
    Resize {
        /// Which.
        key: ContainerKey,
        /// The pod's generation.
        generation: u64,
        /// The pod with the new limits.
        pod: Arc<Pod>,
    },
    /// Carry out a probe. → `Probed`
    Probe {
        /// Which attempt.
        key: AttemptKey,
        /// Which probe.
        kind: ProbeKind,
        /// Brought back by the answer.
        ticket: ProbeTicket,
        /// What to ask.
        probe: Probe,
    },
    /// Run a hook. It is not cut short when its attempt ends, nor by anything but its own end. → `Hooked`
    Hook {
        /// Which attempt.
        key: AttemptKey,
        /// Which hook.
        kind: HookKind,
        /// What to do.
        hook: Hook,
    },
    /// Remove everything of an ended pod from the host: shims, cgroups, directories. Logs and claims stay.
    /// → `TornDown`, `TearDownFailed`
    TearDown {
        /// The pod.
        pod: Arc<Pod>,
    },
    /// Remove the pod's ledger file, durably. → `Forgotten`, `ForgetFailed`
    Forget {
        /// The pod.
        pod: PodUid,
    },
    /// Let containers run on these CPUs, from now on and while they run. → nothing
    Confine {
        /// Who runs where.
        table: CpuTable,
    },
    /// Tell people. → nothing
    Emit(Event),
}

/// Figures of the restart back-off, kubelet's by default (`pkg/kubelet/kubelet.go`: initial 10 s, at most 300 s, and
/// `client-go/util/flowcontrol/backoff.go`: forgotten after twice the maximum).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackoffFigures {
    /// The first wait. The first restart of all is not waited for.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for BackoffFigures {
    fn default() -> Self {
        Self { initial: Duration::from_secs(10), max: Duration::from_secs(300) }
    }
}
