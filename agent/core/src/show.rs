//! A pod as it is shown: Kubernetes' phase and states, computed from record and machines.

use std::sync::Arc;

use barepod_model::{Container as Spec, ContainerKind, ContainerName, Phase, Pod, Reason, RestartPolicy};

use crate::container::{Machine, State, due, is_outdated};
use crate::context::Ctx;
use crate::pod::{PodMachine, Stage};
use crate::{ContainerRecord, ContainerState, ContainerView, PodView, Progress, condition, outcome};

/// The pod's view; `None` while it is not accepted, and when it is gone.
pub(crate) fn pod(pod: &PodMachine, ctx: &Ctx<'_>) -> Option<PodView> {
    if matches!(pod.stage, Stage::Accepting | Stage::Gone) {
        return None;
    }
    let specs = pod.wanted.containers.iter();
    let mut containers: Vec<_> = specs.filter_map(|spec| container(pod, &spec.name, Some(spec), ctx)).collect();
    let phase = phase(pod, &containers);
    let mut lasting = pod.wanted.containers.iter().zip(&containers).filter(|(spec, _)| spec.kind.lasts());
    let gates_are_open = condition::closed_gates(&pod.record).is_empty();
    let ready = pod.record.failure.is_none() && lasting.all(|(_, view)| view.ready) && gates_are_open;
    let wanted = |name: &ContainerName| pod.wanted.containers.iter().any(|spec| spec.name == *name);
    let removed = pod.containers.keys().filter(|name| !wanted(name));
    containers.extend(removed.filter_map(|name| container(pod, name, None, ctx)));
    let (reason, message) = pod_reason(pod);
    Some(PodView {
        uid: pod.uid().clone(),
        name: Some((pod.wanted.namespace.clone(), pod.wanted.name.clone())),
        pod: Some(match pod.record.allocated {
            None => Arc::clone(&pod.wanted),
            Some(_) => Arc::new(pod.record.pod.clone()),
        }),
        level: pod.wanted.resources.level,
        generation: pod.record.generation,
        created: Some(pod.record.created.clone()),
        deletion: pod.record.deletion.clone(),
        halted: pod.record.halted.clone(),
        phase,
        reason,
        message,
        // Nobody waits for more when all of it is on its way out.
        pending_resize: pod.others.pending.clone().filter(|_| pod.record.allocated.is_some() && !pod.is_dying()),
        resizing: resizing(pod),
        initialized: pod.record.initialized,
        ready,
        conditions: condition::shown(&pod.record),
        containers,
    })
}

fn pod_reason(pod: &PodMachine) -> (Option<Reason>, String) {
    let recovering = pod.is_recovering();
    match &pod.stage {
        Stage::Waiting(Some(blocker)) => (Some(blocker.reason), blocker.message.clone()),
        // What kubectl shows of a pod whose volumes are not there yet.
        Stage::PrepareFailed { failure, .. } if failure.reason == Reason::FailedMount => {
            (Some(Reason::ContainerCreating), failure.message.clone())
        }
        Stage::PrepareFailed { failure, .. } => (Some(Reason::CreatePodError), failure.message.clone()),
        Stage::TearDownFailed { message, .. } | Stage::ForgetFailed { message, .. } => {
            (Some(Reason::Failed), message.clone())
        }
        Stage::Prepared { .. } if pod.awaits_dependency() && !pod.is_dying() && pod.record.halted.is_none() => {
            match &pod.others.dependency {
                Some(blocker) => (Some(blocker.reason), blocker.message.clone()),
                None => (None, String::new()),
            }
        }
        _other if pod.record.failure.is_some() && !pod.is_dying() => match &pod.record.failure {
            Some(failure) => (Some(failure.reason), failure.message.clone()),
            None => (None, String::new()),
        },
        _other if pod.others.goes_down && !pod.is_dying() && !pod.is_over() => {
            (Some(Reason::NodeShutdown), "the host goes down; the pod is begun again after the next boot".to_owned())
        }
        _other if pod.record.halted.is_some() && !pod.is_dying() && !pod.is_over() => {
            (Some(Reason::Stopped), "an operator has stopped it; `barepod start` begins it again".to_owned())
        }
        _other if pod.record.orphaned => {
            (Some(Reason::Orphaned), format!("the source ({}) does not mention it; it runs on", pod.wanted.source))
        }
        _other if recovering => (Some(Reason::Recovering), String::new()),
        // What is made again beside running containers is no state of theirs.
        Stage::Preparing { .. } if pod.record.initialized => (None, String::new()),
        Stage::Waiting(None) if pod.is_over() => (None, String::new()),
        Stage::Preparing { .. } | Stage::Waiting(None) => (Some(Reason::PodInitializing), String::new()),
        Stage::Accepting
        | Stage::Prepared { .. }
        | Stage::TearingDown { .. }
        | Stage::TornDown
        | Stage::Forgetting { .. }
        | Stage::Gone => (None, String::new()),
    }
}

fn container(pod: &PodMachine, name: &ContainerName, spec: Option<&Spec>, ctx: &Ctx<'_>) -> Option<ContainerView> {
    let (machine, rec) = (pod.containers.get(name)?, pod.record.containers.get(name)?);
    let state = container_state(pod, machine, rec, spec, ctx);
    let (stopping, last) = match &state {
        ContainerState::Terminated { .. } => (false, rec.previous.clone()),
        ContainerState::Running { stopping, .. } => (*stopping, rec.last.clone()),
        ContainerState::Waiting { .. } => (false, rec.last.clone()),
    };
    let runs = matches!(state, ContainerState::Running { .. });
    let attempt = machine.live().or(rec.attempt);
    // A restart is counted once its process is there: a count that comes before would stand beside the end of the one before.
    let restarts = match &machine.state {
        State::Starting { attempt, .. } => attempt.0.saturating_sub(1),
        State::Recovering | State::Idle | State::Running(_) | State::Draining { .. } => attempt.map_or(0, |it| it.0),
    };
    Some(ContainerView {
        name: name.clone(),
        attempt,
        restart_count: restarts,
        state,
        live: !machine.is_idle(),
        last,
        started: runs && rec.started,
        // Of a pod that is deleted its readiness probes decide until the end. An ephemeral container serves nobody.
        ready: runs && rec.ready && (!stopping || pod.is_dying()) && !is_ephemeral(spec),
        allocated: spec.map(|spec| spec.resources),
        in_force: rec.in_force.filter(|_| runs),
        said: machine.said(),
    })
}

/// Whether the limits of some process are not yet what was given, and why.
fn resizing(pod: &PodMachine) -> Option<String> {
    let mut refusals = pod.containers.iter().filter_map(|(name, machine)| {
        let State::Running(run) = &machine.state else { return None };
        let spec = pod.wanted.containers.iter().find(|spec| spec.name == *name).filter(|_| run.stop.is_none())?;
        let rec = pod.record.containers.get(name)?;
        let right =
            rec.in_force == Some(pod.wanted.effective(spec)) && rec.level_in_force == pod.wanted.resources.level;
        (!right).then(|| run.resize_refusal().unwrap_or_default().to_owned())
    });
    let first = refusals.next()?;
    Some(if first.is_empty() { refusals.find(|other| !other.is_empty()).unwrap_or(first) } else { first })
}

fn container_state(
    pod: &PodMachine,
    machine: &Machine,
    rec: &ContainerRecord,
    spec: Option<&Spec>,
    ctx: &Ctx<'_>,
) -> ContainerState {
    match &machine.state {
        // What has ended for good is not looked for.
        State::Recovering => match &rec.last {
            Some(end) if rec.finished && rec.progress == Progress::Ended => {
                ContainerState::Terminated { termination: end.clone() }
            }
            Some(_) | None => waiting(Reason::Recovering, String::new()),
        },
        State::Starting { .. } => waiting(Reason::ContainerCreating, String::new()),
        State::Running(run) if !rec.post_started && run.stop.is_none() => {
            waiting(Reason::ContainerCreating, "its postStart hook runs".to_owned())
        }
        State::Running(run) => {
            ContainerState::Running { pid: run.pid, started: run.since.clone(), stopping: run.stop.is_some() }
        }
        State::Draining { .. } => match &rec.last {
            Some(termination) => ContainerState::Terminated { termination: termination.clone() },
            None => waiting(Reason::ContainerCreating, String::new()),
        },
        State::Idle => idle_state(pod, rec, spec, ctx),
    }
}

fn idle_state(pod: &PodMachine, rec: &ContainerRecord, spec: Option<&Spec>, ctx: &Ctx<'_>) -> ContainerState {
    match &rec.last {
        Some(end) if rec.finished || pod.is_over() || pod.record.halted.is_some() || spec.is_none() => {
            return ContainerState::Terminated { termination: end.clone() };
        }
        Some(end) if due(rec, ctx).is_some_and(|at| at > ctx.now.boot) => {
            if outcome::is_start_failure(end) {
                return waiting(end.reason, end.message.clone());
            }
            return waiting(Reason::CrashLoopBackOff, backing_off(pod, rec, spec));
        }
        Some(_) | None => {}
    }
    if pod.record.halted.is_some() {
        return waiting(Reason::Stopped, String::new());
    }
    if let Some(missing) = spec.and_then(|spec| spec.missing.as_ref()) {
        return waiting(Reason::CreateContainerConfigError, missing.clone());
    }
    let is_init = |spec: &Spec| matches!(spec.kind, ContainerKind::Init | ContainerKind::Sidecar);
    let has_init = pod.wanted.containers.iter().any(is_init) && !is_ephemeral(spec);
    let before_start = rec.attempt.is_none() || is_outdated(rec);
    let reason = if before_start && has_init { Reason::PodInitializing } else { Reason::ContainerCreating };
    waiting(reason, String::new())
}

/// In kubelet's words, which people search for.
fn backing_off(pod: &PodMachine, rec: &ContainerRecord, spec: Option<&Spec>) -> String {
    let delay = rec.backoff.as_ref().map_or(0, |backoff| backoff.delay.as_secs());
    let (minutes, seconds) = (delay / 60, delay % 60);
    let delay = if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") };
    let Pod { namespace, name, uid, .. } = &*pod.wanted;
    let container = spec.map_or("", |spec| spec.name.as_str());
    format!("back-off {delay} restarting failed container={container} pod={name}_{namespace}({uid})")
}

fn is_ephemeral(spec: Option<&Spec>) -> bool {
    spec.is_some_and(|spec| spec.kind == ContainerKind::Ephemeral)
}

fn waiting(reason: Reason, message: String) -> ContainerState {
    ContainerState::Waiting { reason, message }
}

/// Kubernetes' phase (`getPhase` in `pkg/kubelet/kubelet_pods.go`). It says that a pod has ended when nothing of it lives.
fn phase(pod: &PodMachine, views: &[ContainerView]) -> Phase {
    match end_phase(pod, views) {
        Phase::Succeeded | Phase::Failed if pod.is_recovering() => Phase::Unknown,
        Phase::Succeeded | Phase::Failed if !pod.is_idle() => Phase::Running,
        phase => phase,
    }
}

fn end_phase(pod: &PodMachine, views: &[ContainerView]) -> Phase {
    if pod.record.failure.is_some() {
        return Phase::Failed;
    }
    let policy = pod.wanted.restart_policy;
    let (mut running, mut waiting, mut ended, mut succeeded) = (0, 0, 0, 0);
    for (spec, view) in pod.wanted.containers.iter().zip(views) {
        if matches!(view.state, ContainerState::Waiting { reason: Reason::Recovering, .. }) {
            return Phase::Unknown;
        }
        match spec.kind {
            ContainerKind::Init => match init_phase(pod, spec, policy) {
                Some(phase) => return phase,
                None => continue,
            },
            ContainerKind::Sidecar | ContainerKind::Ephemeral => continue,
            ContainerKind::Regular => {}
        }
        match &view.state {
            ContainerState::Running { .. } => running += 1,
            ContainerState::Terminated { termination } => {
                ended += 1;
                succeeded += u32::from(termination.status.is_success());
            }
            ContainerState::Waiting { .. } if view.last.is_some() => ended += 1,
            ContainerState::Waiting { .. } => waiting += 1,
        }
    }
    match () {
        () if waiting > 0 => Phase::Pending,
        () if running > 0 || !(pod.is_over() || pod.is_dying()) => Phase::Running,
        () if ended == succeeded => Phase::Succeeded,
        () => Phase::Failed,
    }
}

/// What an init container makes of the pod's phase, if it is not done.
fn init_phase(pod: &PodMachine, spec: &Spec, policy: RestartPolicy) -> Option<Phase> {
    let rec = pod.record.containers.get(&spec.name)?;
    match (pod.has_succeeded(&spec.name), rec.finished, spec.restart.policy.unwrap_or(policy)) {
        (true, _, _) => None,
        (false, true, RestartPolicy::Never) => Some(Phase::Failed),
        (false, _, _) => Some(Phase::Pending),
    }
}
