//! How an attempt ended, and whether its container is done with that.

use barepod_model::{ContainerKind, ExitStatus, Reason, RestartPolicy, Stamp, Termination};

use crate::container::{Scene, is_outdated};
use crate::{ContainerRecord, Progress, StartFailure};

/// What kubelet shows for a container whose program could not be executed.
const START_ERROR_CODE: i32 = 128;

/// The end of a main process.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) oom: bool,
    /// When its process started, as far as the teller knows.
    pub(crate) started: Option<Stamp>,
    pub(crate) finished: Stamp,
}

impl Exit {
    /// As a record; what the ledger knows of the start goes before what the teller knows.
    pub(crate) fn into_termination(self, rec: &ContainerRecord) -> Termination {
        let known = match &rec.progress {
            Progress::Running { since } => Some(since.clone()),
            Progress::None | Progress::Begun | Progress::Lost | Progress::Draining | Progress::Ended => None,
        };
        let reason = match self.status {
            _ if self.oom => Reason::OOMKilled,
            ExitStatus::Unknown => Reason::ContainerStatusUnknown,
            ExitStatus::Code(0) => Reason::Completed,
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Reason::Error,
        };
        let started = known.or(self.started);
        Termination { status: self.status, reason, message: String::new(), started, finished: self.finished }
    }
}

/// The record of an attempt that could not be started.
pub(crate) fn never_ran(failure: StartFailure, finished: Stamp) -> Termination {
    Termination {
        status: ExitStatus::Code(START_ERROR_CODE),
        reason: failure.reason,
        message: failure.message,
        started: None,
        finished,
    }
}

/// Whether this end is that of an attempt for which nothing was ever created; such a one is tried again whatever the
/// restart policy says.
pub(crate) fn was_never_created(end: &Termination) -> bool {
    matches!(end.reason, Reason::CreateContainerConfigError | Reason::CreateContainerError)
}

/// Whether this end is that of a failed start.
pub(crate) fn is_start_failure(end: &Termination) -> bool {
    was_never_created(end) || matches!(end.reason, Reason::RunContainerError | Reason::StartError)
}

/// Writes the end of the newest attempt down.
pub(crate) fn close(rec: &mut ContainerRecord, end: Termination, progress: Progress, scene: Scene<'_>) {
    let kind = scene.spec.map(|spec| spec.kind);
    rec.finished = !is_outdated(rec) && kind.is_some_and(|kind| is_final(kind, scene.wanted.restart_policy, &end));
    rec.previous = rec.last.replace(end);
    rec.progress = progress;
    rec.started = false;
    rec.ready = false;
}

/// Whether a container that ended so stays ended. An init container that failed for good stays ended too: its pod has
/// failed.
pub(crate) fn is_final(kind: ContainerKind, policy: RestartPolicy, end: &Termination) -> bool {
    match (kind, policy) {
        _ if was_never_created(end) => false,
        (ContainerKind::Init, RestartPolicy::Always | RestartPolicy::OnFailure)
        | (ContainerKind::Regular, RestartPolicy::OnFailure) => end.status.is_success(),
        (ContainerKind::Regular, RestartPolicy::Always) => false,
        (ContainerKind::Init | ContainerKind::Regular, RestartPolicy::Never) => true,
    }
}
