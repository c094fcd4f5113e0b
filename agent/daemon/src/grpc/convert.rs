//! From the core's views to the socket's messages.

use std::collections::BTreeSet;

use barepod_api::v1;
use barepod_core::{ContainerState, ContainerView, PodView, Said, Severity};
use barepod_model::{ContainerKind, ExitStatus, HostPort, Pod, Stamp, Termination, WallTime};

use super::amounts;
use crate::journal::Entry;
use crate::object;

pub(super) fn pod(view: &PodView) -> v1::Pod {
    let wanted = view.pod.as_deref();
    let given = wanted.map(|pod| given(view, pod));
    v1::Pod {
        uid: view.uid.to_string(),
        namespace: view.name.as_ref().map(|(namespace, _)| namespace.to_string()).unwrap_or_default(),
        name: view.name.as_ref().map(|(_, name)| name.to_string()).unwrap_or_default(),
        source: wanted.map(|p| p.source.to_string()).unwrap_or_default(),
        phase: object::display_phase(view),
        reason: view.reason.map(|r| r.to_string()).unwrap_or_default(),
        message: view.message.clone(),
        ready: view.ready,
        generation: view.generation,
        created: view.created.as_ref().map(stamp),
        deletion: view.deletion.as_ref().map(|d| stamp(&d.since)),
        containers: view.containers.iter().map(|c| container(view, c)).collect(),
        object: object::pod(view).to_string(),
        stopped: view.halted.as_ref().map(stamp),
        booked: given.as_ref().map(|pod| amounts::to_message(pod.requests())),
        host_ports: wanted.map(host_ports).unwrap_or_default(),
        memory_limit: given.as_ref().and_then(Pod::memory_limit).map(|limit| limit.0),
        data_paths: wanted.map(data_paths).unwrap_or_default(),
    }
}

/// The pod as if it had asked for what it was given.
fn given(view: &PodView, wanted: &Pod) -> Pod {
    let mut pod = wanted.clone();
    pod.resources.level = view.level.or(pod.resources.level);
    for container in &mut pod.containers {
        let shown = view.containers.iter().find(|shown| shown.name == container.name);
        container.resources = shown.and_then(|shown| shown.allocated).unwrap_or(container.resources);
    }
    pod
}

fn host_ports(pod: &Pod) -> Vec<u32> {
    let ports = pod.data_paths.iter().filter_map(|path| HostPort::of(path));
    ports.map(|port| u32::from(port.number)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What stands there for a port is no path.
fn data_paths(pod: &Pod) -> Vec<String> {
    let paths = pod.data_paths.iter().filter(|path| path.is_absolute());
    paths.filter_map(|path| path.to_str().map(str::to_owned)).collect()
}

fn container(view: &PodView, container: &ContainerView) -> v1::Container {
    let wanted = view.pod.as_deref().and_then(|p| p.containers.iter().find(|c| c.name == container.name));
    let mut message = v1::Container {
        name: container.name.to_string(),
        image: wanted.map(|c| c.image.clone()).unwrap_or_default(),
        preset: wanted.map(|c| c.preset.clone()).unwrap_or_default(),
        init: wanted.is_some_and(|c| c.kind == ContainerKind::Init),
        ephemeral: wanted.is_some_and(|c| c.kind == ContainerKind::Ephemeral),
        ready: container.ready,
        started: container.started,
        restart_count: container.restart_count,
        last: container.last.as_ref().map(termination),
        said: container.said.as_ref().map(said),
        ..v1::Container::default()
    };
    set_state(&mut message, &container.state);
    message
}

fn set_state(message: &mut v1::Container, state: &ContainerState) {
    match state {
        ContainerState::Waiting { reason, message: text } => {
            "waiting".clone_into(&mut message.state);
            message.reason = reason.to_string();
            message.message.clone_from(text);
        }
        ContainerState::Running { pid, started, stopping } => {
            "running".clone_into(&mut message.state);
            message.pid = *pid;
            message.since = Some(stamp(started));
            if *stopping {
                "Killing".clone_into(&mut message.reason);
            }
        }
        ContainerState::Terminated { termination: end } => {
            "terminated".clone_into(&mut message.state);
            message.reason = end.reason.to_string();
            message.message.clone_from(&end.message);
            message.since = Some(stamp(&end.finished));
            message.cause = cause(end);
        }
    }
}

/// Why it was stopped, for people.
fn cause(end: &Termination) -> String {
    end.cause.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn said(said: &Said) -> v1::Said {
    v1::Said {
        ready: said.ready,
        reloading: said.reloading,
        stopping: said.stopping,
        status: said.status.clone(),
        error: said.error.clone(),
        main_pid: said.main_pid.unwrap_or_default(),
    }
}

fn termination(end: &Termination) -> v1::Termination {
    let signal = match end.status {
        ExitStatus::Signal(signal) => signal,
        ExitStatus::Code(_) | ExitStatus::Unknown => 0,
    };
    v1::Termination {
        exit_code: end.status.kubernetes_code(),
        signal,
        reason: end.reason.to_string(),
        message: end.message.clone(),
        started: end.started.as_ref().map(stamp),
        finished: Some(stamp(&end.finished)),
        cause: cause(end),
    }
}

pub(super) fn event(entry: &Entry) -> v1::Event {
    v1::Event {
        time: Some(wall(entry.time)),
        namespace: entry.namespace.clone(),
        pod: entry.pod.clone(),
        uid: entry.event.pod.to_string(),
        container: entry.event.container.as_ref().map(ToString::to_string).unwrap_or_default(),
        warning: entry.event.severity == Severity::Warning,
        reason: entry.event.reason.to_string(),
        message: entry.event.message.clone(),
        source: entry.source.map(|source| source.to_string()).unwrap_or_default(),
        number: entry.number,
    }
}

pub(super) fn stamp(stamp: &Stamp) -> v1::Timestamp {
    wall(stamp.wall)
}

fn wall(time: WallTime) -> v1::Timestamp {
    v1::Timestamp { seconds: time.0.as_second(), nanos: time.0.subsec_nanosecond() }
}
