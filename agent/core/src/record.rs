//! What the ledger keeps of a pod: intent and outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use barepod_model::{
    Attempt, BootId, BootTime, ContainerName, Hook, Notify, Pod, Reason, Resources, Stamp, StopCause, StopPlan,
    Termination,
};
use serde::{Deserialize, Serialize};

use crate::{Allocation, Condition, CpuSet, Evidence};

/// Number of a ledger write of one pod; rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The write after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything that must be known of a pod after a restart of the daemon or the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    /// The write that made this record.
    pub revision: Revision,
    /// The boot in which it was written: under another one nothing of the pod runs.
    pub boot: BootId,
    /// What is wanted.
    pub pod: Pod,
    /// What it was given, while `pod` asks for something else.
    #[serde(default)]
    pub allocated: Option<Allocation>,
    /// CPUs that its containers have for themselves.
    #[serde(default)]
    pub exclusive: BTreeMap<ContainerName, CpuSet>,
    /// Rises with each accepted change of `pod`.
    pub generation: u64,
    /// Its place in the queue for names and data paths: the lower one was asked for first.
    pub order: u64,
    /// When it was first accepted.
    pub created: Stamp,
    /// Since when its deadline counts, where that is not its creation: it was given a new life after a failure, or the
    /// host another boot.
    #[serde(default)]
    pub counts_from: Option<Stamp>,
    /// How much of its deadline had passed by then.
    #[serde(default)]
    pub spent: Duration,
    /// It is no longer wanted.
    pub deletion: Option<Deletion>,
    /// It has failed for good although nobody deleted it.
    #[serde(default)]
    pub failure: Option<PodFailure>,
    /// Since when an operator wants nothing of it to run. It keeps its name, its paths and its part of the host.
    #[serde(default)]
    pub halted: Option<Stamp>,
    /// Its init containers are done and its sidecars have started: from now on each container is restarted for itself.
    #[serde(default)]
    pub initialized: bool,
    /// It was given its part of the host and begun.
    #[serde(default)]
    pub booked: bool,
    /// It was over and is to live again: it has no part of the host until it is begun anew.
    #[serde(default)]
    pub unbooked: bool,
    /// Its source does not mention it at present.
    pub orphaned: bool,
    /// Its conditions by type, and those that others set.
    #[serde(default)]
    pub conditions: BTreeMap<String, Condition>,
    /// Data paths that an update gave up and that a process from before the update may still use.
    #[serde(default)]
    pub releasing: BTreeSet<PathBuf>,
    /// What became of its containers, by name. Those that an update removed stay here, so that no attempt number is used
    /// twice. Boxed, as most pods have one: a leaf of the map has room for eleven.
    pub containers: BTreeMap<ContainerName, Box<ContainerRecord>>,
}

impl PodRecord {
    /// For each container the newest attempt whose end is in this record, or overtaken by one that is.
    pub fn known_ends(&self) -> impl Iterator<Item = (ContainerName, Attempt)> {
        self.containers.iter().filter_map(|(name, container)| {
            let attempt = container.attempt?;
            let known = match container.progress {
                Progress::Draining | Progress::Ended => Some(attempt),
                Progress::None | Progress::Begun | Progress::Lost | Progress::Running { .. } => {
                    attempt.0.checked_sub(1).map(Attempt)
                }
            };
            known.map(|known| (name.clone(), known))
        })
    }
}

/// The intent to end a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was accepted. The stop begins then; under another boot nothing of the pod runs any more.
    pub since: Stamp,
    /// The grace given with the delete.
    pub grace: Option<Duration>,
    /// Set by a later, shorter delete: no stop lasts longer than this, counted from `since`.
    #[serde(default)]
    pub cap: Option<Duration>,
    /// Why it is certain.
    pub evidence: Evidence,
}

/// Why a pod failed as a whole. Its containers are stopped and not started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFailure {
    /// The code, e.g. `DeadlineExceeded`.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// When. The stop of its containers begins then.
    pub since: Stamp,
    /// The grace of that stop, where it is not the effective one of each container.
    #[serde(default)]
    pub grace: Option<Duration>,
    /// For whose good, if nothing was wrong with the pod itself.
    #[serde(default)]
    pub disruption: Option<Disruption>,
}

/// Why a pod is ended with which nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disruption {
    /// The host was short of something.
    Pressure,
    /// The host goes down.
    Shutdown,
}

/// What is kept of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ContainerRecord {
    /// The newest attempt that was begun; `None` before the first.
    pub attempt: Option<Attempt>,
    /// How far that attempt came.
    #[serde(default)]
    pub progress: Progress,
    /// How the newest ended attempt ended.
    pub last: Option<Termination>,
    /// How the one before it ended.
    #[serde(default)]
    pub previous: Option<Termination>,
    /// Its restart back-off.
    pub backoff: Option<Backoff>,
    /// An init container that has done its work (or failed for good), or a regular one that will not be restarted.
    pub finished: bool,
    /// It ended in a way that asks for new processes of the whole pod.
    #[serde(default)]
    pub restarts_all: bool,
    /// Rises when the container must be replaced: by a change of what its process is started with, or because an operator
    /// wants a new process.
    #[serde(default)]
    pub epoch: u64,
    /// The epoch in which the newest attempt was begun; it is out of date if this is lower than `epoch`.
    #[serde(default)]
    pub attempt_epoch: u64,
    /// The running attempt is to be stopped although the pod lives on.
    #[serde(default)]
    pub stop: Option<StopIntent>,
    /// The limits of the newest attempt; `None` if they are not known.
    #[serde(default)]
    pub in_force: Option<Resources>,
    /// Those of its pod as a whole, at that time.
    #[serde(default)]
    pub level_in_force: Option<Resources>,
    /// The newest attempt's postStart hook succeeded, or it has none and runs.
    #[serde(default)]
    pub post_started: bool,
    /// The newest attempt's preStop hook has been run.
    #[serde(default)]
    pub pre_stopped: bool,
    /// How the newest attempt's service speaks to barepod; `None` if it does not, or if that is not known.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// The newest attempt's service has said `READY=1`.
    #[serde(default)]
    pub said_ready: bool,
    /// The newest attempt's service has said `STOPPING=1`.
    #[serde(default)]
    pub said_stopping: bool,
    /// The newest attempt's startup probe succeeded.
    #[serde(default)]
    pub probed: bool,
    /// The newest attempt has started: its hook is done, its startup probe succeeded and its service has said that it is
    /// ready, as far as it has these.
    #[serde(default)]
    pub started: bool,
    /// When that became known, in the boot in which the attempt runs.
    #[serde(default)]
    pub started_at: Option<BootTime>,
    /// The newest attempt is ready.
    #[serde(default)]
    pub ready: bool,
}

/// How far a container's newest attempt came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Progress {
    /// There was none yet.
    #[default]
    None,
    /// The order to start it was given; whether it was carried out is not known.
    Begun,
    /// That order was lost with a former daemon, for certain: it is given again, with the same number.
    Lost,
    /// Its process ran.
    Running {
        /// Since when.
        since: Stamp,
    },
    /// Its main process ended, as `last` says; others may live in its cgroup.
    Draining,
    /// Nothing of it is left.
    Ended,
}

/// The intent to stop one attempt of a pod that lives on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopIntent {
    /// When it was accepted. The stop begins then.
    pub since: Stamp,
    /// The effective grace.
    pub grace: Duration,
    /// How: the plan of the process that runs, which an update may have replaced in the pod.
    pub plan: StopPlan,
    /// The preStop hook of that process.
    #[serde(default)]
    pub hook: Option<Hook>,
    /// Who waits for its end.
    pub waits: Waits,
    /// Why.
    #[serde(default)]
    pub cause: Option<Box<StopCause>>,
}

/// Who waits for a stop to be over, before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waits {
    /// The container's own next attempt.
    Successor,
    /// Every container of the pod: volumes, data paths or init containers changed.
    Pod,
}

/// Where a container's restart back-off stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the next crash.
    pub delay: Duration,
    /// When it last grew.
    pub updated: Stamp,
}
