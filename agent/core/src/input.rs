//! What happens to the core.

use std::time::Duration;

use barepod_model::{
    Amounts, Attempt, BootTime, ContainerKey, ContainerName, ExitStatus, HookKind, Namespace, Permit, Pod, PodName,
    PodUid, ProbeKind, Reason, Source, Stamp, WallTime,
};
use serde::{Deserialize, Serialize};

use crate::{
    AttemptKey, BackoffFigures, Booking, ConditionChange, Heard, PodRecord, PressureRules, ProbeTicket, Revision,
    StorageUse, Survey,
};

/// When an input is handled. The boot id is given to the core once, when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// For every decision.
    pub boot: BootTime,
    /// For people and records only.
    pub wall: WallTime,
}

/// What an administrator may change of his mind about while a core decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRules {
    /// Figures of the restart back-off.
    pub backoff: BackoffFigures,
    /// What the host has for pods.
    pub amounts: Amounts,
    /// So many pods at most; `None` is no limit.
    pub pods: Option<u64>,
    /// When pods are evicted for others, and which never are.
    pub pressure: PressureRules,
}

/// Names a request, so that its answer finds the asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// The positive answer to a request: what was asked is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The pod it concerns; for an apply, the UID the pod has from now on.
    pub pod: PodUid,
    /// What it meant.
    pub verb: Verb,
}

/// What an accepted request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// A new pod.
    Created,
    /// A changed pod.
    Configured,
    /// Nothing was different.
    Unchanged,
    /// The pod is ending.
    Deleted,
    /// New processes are coming.
    Restarted,
    /// A condition is another one.
    ConditionSet,
    /// Nothing of the pod runs from now on.
    Stopped,
    /// It runs again.
    Started,
}

/// The negative answer: nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The code.
    pub reason: Reason,
    /// What, where, and the likely fix.
    pub message: String,
}

/// Why it is certain that a pod is no longer wanted. Absence from a list is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// This pod's own manifest file was removed, its directory being present and readable.
    FileRemoved,
    /// An operator said so.
    Operator,
    /// The API server showed a deletionTimestamp on this UID.
    DeletionTimestamp,
    /// The API server's watch said DELETED of this UID.
    Deleted,
    /// Another UID is bound here under the same name.
    Replaced,
    /// Nomad stopped the task.
    TaskStopped,
}

/// Why an attempt never ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// `CreateContainerConfigError`, `CreateContainerError`, `RunContainerError` or `StartError`.
    pub reason: Reason,
    /// What failed, on what, with which error.
    pub message: String,
}

/// What there is of a container on the host, found out after a start of the daemon or the death of a shim. The one who
/// finds out has first mended what can be mended: if the process lives, a shim has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// No attempt was ever made on this boot: nothing runs.
    Absent,
    /// This attempt's process runs under a shim.
    Running {
        /// Its number; may be higher than the ledger's.
        attempt: Attempt,
        /// Host pid.
        pid: u32,
        /// When it started.
        started: Stamp,
        /// What its service has said so far; `None` if it has no socket to speak to.
        heard: Option<Box<Heard>>,
    },
    /// This attempt's process ended; its cgroup is not known to be empty (an `Emptied` follows).
    Exited {
        /// Its number.
        attempt: Attempt,
        /// How it ended.
        status: ExitStatus,
        /// The kernel killed for memory in its cgroup.
        oom: bool,
        /// When its process started; `None` if that is not known.
        started: Option<Stamp>,
        /// When it ended, or when that became known.
        finished: Stamp,
        /// Its cgroup is empty.
        empty: bool,
        /// Its last words, may be empty; they come later with `Emptied` where the cgroup is not.
        message: String,
    },
}

/// How an attempt ended that another one has followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEnd {
    /// Its number.
    pub attempt: Attempt,
    /// Why it never ran, if it did not.
    pub failure: Option<StartFailure>,
    /// How it ended.
    pub status: ExitStatus,
    /// The kernel killed for memory in its cgroup.
    pub oom: bool,
    /// When its process started; `None` if that is not known.
    pub started: Option<Stamp>,
    /// When it ended.
    pub finished: Stamp,
}

/// A probe's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeOutcome {
    /// Good.
    Success,
    /// Good, with something that people should be told.
    Warning(String),
    /// Bad, with what it said.
    Failure(String),
    /// The prober could not ask. Counts neither way.
    Unavailable(String),
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookOutcome {
    /// Well.
    Success,
    /// Badly, or it could not be run; with what it said.
    Failure(String),
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A source wants this pod, new or changed. If a live pod of the same source has this namespace and name, this is an
    /// update of that one and `pod.uid` is ignored; otherwise it is a new pod.
    Apply {
        /// Answered by `Effect::Reply`, after the intent is durable.
        request: RequestId,
        /// The pod.
        pod: Box<Pod>,
        /// The policy's word on it. It is asked for what is new: an apply that changes nothing is never refused.
        permit: Permit,
    },
    /// It is certain that this pod is no longer wanted.
    Delete {
        /// Answered by `Effect::Reply`, after the intent is durable.
        request: RequestId,
        /// The pod.
        pod: PodUid,
        /// The grace given with the delete, which wins over the pod's and the preset's; `None` for the effective one.
        grace: Option<Duration>,
        /// Why it is certain.
        evidence: Evidence,
    },
    /// A source no longer mentions this pod, or cannot be asked. Stops nothing.
    Missing {
        /// The pod.
        pod: PodUid,
    },
    /// An operator wants new processes.
    Restart {
        /// Answered by `Effect::Reply`.
        request: RequestId,
        /// The pod.
        pod: PodUid,
        /// One container, or all regular ones.
        container: Option<ContainerName>,
    },
    /// An operator wants nothing of a pod to run, or wants it to run again.
    Halt {
        /// Answered by `Effect::Reply`, after it is durable.
        request: RequestId,
        /// The pod.
        pod: PodUid,
        /// Nothing is to run.
        halted: bool,
    },
    /// Somebody sets or removes one of a pod's conditions.
    Condition {
        /// Answered by `Effect::Reply`, after it is durable.
        request: RequestId,
        /// The pod.
        pod: PodUid,
        /// Which, and how.
        change: ConditionChange,
    },
    /// A ledger write is done, as durable as was asked.
    Stored {
        /// The pod.
        pod: PodUid,
        /// Which one.
        revision: Revision,
    },
    /// A ledger write failed; nothing changed on disk.
    StoreFailed {
        /// The pod.
        pod: PodUid,
        /// Which one.
        revision: Revision,
        /// The error.
        message: String,
    },
    /// The pod's directories, volumes and cgroup are there.
    Prepared {
        /// The pod.
        pod: PodUid,
        /// The generation that was prepared.
        generation: u64,
    },
    /// They could not be made. Tried again after a while.
    PrepareFailed {
        /// The pod.
        pod: PodUid,
        /// The generation.
        generation: u64,
        /// Why.
        failure: StartFailure,
    },
    /// An attempt's program was executed.
    Started {
        /// Which.
        key: AttemptKey,
        /// Host pid.
        pid: u32,
    },
    /// An attempt never ran; nothing of it is left.
    StartFailed {
        /// Which.
        key: AttemptKey,
        /// Why.
        failure: StartFailure,
    },
    /// An attempt's main process ended. Its cgroup may still hold others.
    Exited {
        /// Which.
        key: AttemptKey,
        /// How.
        status: ExitStatus,
        /// The kernel killed for memory in its cgroup.
        oom: bool,
        /// When.
        finished: Stamp,
    },
    /// An attempt's cgroup is empty: nothing of it is left. Only now may a next one start.
    Emptied {
        /// Which.
        key: AttemptKey,
        /// Its last words (`terminationMessagePath`), may be empty.
        message: String,
    },
    /// The answer to `Effect::Observe`.
    Observed {
        /// Which container.
        key: ContainerKey,
        /// What there is.
        observation: Observation,
    },
    /// How attempts ended, oldest first, that others have followed, as far as the ledger may not know it. Comes before
    /// `Observed` after a start of the daemon.
    Recalled {
        /// Which container.
        key: ContainerKey,
        /// Their ends.
        ends: Vec<PastEnd>,
    },
    /// A container's shim died or cannot be reached. Its process may well live.
    ShimLost {
        /// Which container.
        key: ContainerKey,
    },
    /// A running attempt's service has said something.
    Heard {
        /// Which.
        key: AttemptKey,
        /// All that it has said so far.
        heard: Box<Heard>,
    },
    /// New limits are in force.
    Resized {
        /// Which container.
        key: ContainerKey,
        /// The pod's generation.
        generation: u64,
    },
    /// New limits could not be set; the old ones hold.
    ResizeFailed {
        /// Which container.
        key: ContainerKey,
        /// The pod's generation.
        generation: u64,
        /// Why.
        message: String,
    },
    /// A probe was carried out.
    Probed {
        /// Which attempt.
        key: AttemptKey,
        /// Which probe.
        kind: ProbeKind,
        /// Which run of it.
        ticket: ProbeTicket,
        /// Its answer.
        outcome: ProbeOutcome,
    },
    /// A hook was run.
    Hooked {
        /// Which attempt.
        key: AttemptKey,
        /// Which hook.
        kind: HookKind,
        /// How it ended.
        outcome: HookOutcome,
    },
    /// Everything of a pod has been removed from the host: shims, cgroups, directories. Logs and claims stay.
    TornDown {
        /// The pod.
        pod: PodUid,
    },
    /// Something of a pod could not be removed. Tried again after a while.
    TearDownFailed {
        /// The pod.
        pod: PodUid,
        /// Why.
        message: String,
    },
    /// Disk space that goes with the pod was measured.
    Measured {
        /// The pod.
        pod: PodUid,
        /// What it uses.
        used: StorageUse,
    },
    /// The host was measured.
    Surveyed {
        /// What was found.
        survey: Box<Survey>,
    },
    /// The host goes down, or, after that was said, stays up.
    Shutdown {
        /// Whether it does.
        goes_down: bool,
    },
    /// Others than barepod have so much of the host; what was said before is void.
    Booked {
        /// All that they have.
        others: Box<Booking>,
    },
    /// The host's administrator has other rules for pods; what runs is left alone.
    Ruled {
        /// All that can change while a daemon runs.
        rules: Box<HostRules>,
    },
    /// The pod's ledger file is gone, durably.
    Forgotten {
        /// The pod.
        pod: PodUid,
    },
    /// The pod's ledger file could not be removed. Tried again after a while.
    ForgetFailed {
        /// The pod.
        pod: PodUid,
        /// Why.
        message: String,
    },
    /// A deadline has come: `poll_deadline` named it.
    Wake,
}

/// How a pod became known when the core was made: see `Core::restore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Restored {
    /// From its ledger file.
    Record(Box<PodRecord>),
    /// Its ledger file cannot be read (truncated, empty, of a newer version), but its shims were found. It runs on, is
    /// shown, and nothing is done to it.
    Unreadable {
        /// The pod.
        pod: PodUid,
        /// Its namespace and name, if something else tells them: no other pod gets them.
        name: Option<(Namespace, PodName)>,
        /// Its source, if that is known.
        source: Option<Source>,
        /// What is wrong with the file.
        message: String,
    },
}
