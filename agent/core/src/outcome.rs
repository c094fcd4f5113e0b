//! How an attempt ended, and whether its container is done with that.

use barepod_model::{
    Container as Spec, ContainerKind, ExitStatus, Reason, RestartAction, RestartPolicy, Stamp, Termination,
};

use crate::container::{Scene, is_outdated};
use crate::planted::{self, Fault};
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
    /// Its last words.
    pub(crate) message: String,
}

impl Exit {
    /// As a record; what the ledger knows of the start goes before what the teller knows.
    pub(crate) fn into_termination(self, rec: &ContainerRecord) -> Termination {
        let known = match &rec.progress {
            Progress::Running { since } => Some(since.clone()),
            Progress::None | Progress::Begun | Progress::Lost | Progress::Draining | Progress::Ended => None,
        };
        let reason = match self.status {
            // One that ended well has outlived a child that was killed.
            _ if self.oom && !self.status.is_success() => Reason::OOMKilled,
            ExitStatus::Unknown => Reason::ContainerStatusUnknown,
            ExitStatus::Code(0) => Reason::Completed,
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Reason::Error,
        };
        let started = known.or(self.started);
        let Exit { status, message, finished, .. } = self;
        Termination { status, reason, message, started, finished, cause: None }
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
        cause: None,
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

/// Writes the end of the newest attempt down, and why it was stopped, if it was.
pub(crate) fn close(rec: &mut ContainerRecord, mut end: Termination, progress: Progress, scene: Scene<'_>) {
    let own = rec.stop.as_ref().and_then(|intent| intent.cause.clone());
    end.cause = own.or_else(|| scene.ending.and_then(|order| order.cause.clone()));
    let spec = scene.spec.filter(|spec| !is_outdated(rec) || spec.kind == ContainerKind::Ephemeral);
    rec.finished = spec.is_some_and(|spec| is_final(spec, scene.wanted.restart_policy, &end));
    rec.restarts_all = spec.and_then(|spec| rule(spec, &end)) == Some(RestartAction::RestartAllContainers);
    rec.previous = rec.last.replace(end);
    rec.progress = progress;
    rec.post_started = false;
    rec.pre_stopped = false;
    rec.said_ready = false;
    rec.said_stopping = false;
    rec.probed = false;
    rec.started = false;
    rec.started_at = None;
    rec.ready = false;
}

/// What the container's own rules say to this end. They speak of exit codes: of an end that nobody saw they say nothing.
fn rule(spec: &Spec, end: &Termination) -> Option<RestartAction> {
    let code = match end.status {
        ExitStatus::Code(_) | ExitStatus::Signal(_) => end.status.kubernetes_code(),
        ExitStatus::Unknown => return None,
    };
    spec.restart.rules.iter().find(|rule| rule.codes.contains(code)).map(|rule| rule.action)
}

/// Whether a container that ended so stays ended. An init container that failed for good stays ended too: its pod has
/// failed.
pub(crate) fn is_final(spec: &Spec, policy: RestartPolicy, end: &Termination) -> bool {
    if was_never_created(end) || rule(spec, end).is_some() {
        return false;
    }
    let comes_back = spec.kind == ContainerKind::Ephemeral && planted::on(Fault::EphemeralComesBack);
    match (spec.kind, spec.restart.policy.unwrap_or(policy)) {
        _ if comes_back => false,
        (ContainerKind::Sidecar, _) | (ContainerKind::Regular, RestartPolicy::Always) => false,
        (ContainerKind::Init, RestartPolicy::Always | RestartPolicy::OnFailure)
        | (ContainerKind::Regular, RestartPolicy::OnFailure) => end.status.is_success(),
        (ContainerKind::Init | ContainerKind::Regular, RestartPolicy::Never) | (ContainerKind::Ephemeral, _) => true,
    }
}
