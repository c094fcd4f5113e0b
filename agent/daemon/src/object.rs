//! A pod as the Kubernetes object that shows it: what its author wrote, and a true status (`core/v1.PodStatus`).

use barepod_core::{ContainerState, ContainerView, PodView, Said};
use barepod_linux::container_id;
use barepod_model::{Container, ContainerKey, ContainerKind, ContainerName, Phase, Source, Stamp, Termination};
use serde_json::{Map, Value, json};

use crate::allotment;

/// The `v1/Pod` object of a view.
pub(crate) fn pod(view: &PodView) -> Value {
    let mut object = written(view);
    object.insert("apiVersion".to_owned(), json!("v1"));
    object.insert("kind".to_owned(), json!("Pod"));
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        describe(metadata, view);
    }
    object.insert("status".to_owned(), status(view));
    Value::Object(object)
}

fn written(view: &PodView) -> Map<String, Value> {
    let text = view.pod.as_ref().map_or("", |pod| pod.manifest.0.as_str());
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        // An unreadable ledger file leaves nothing to show but the status.
        _ => Map::new(),
    }
}

/// A cluster counts the generations of its own pods: the one that was last accepted. All others are counted here.
fn generation(view: &PodView) -> u64 {
    let bound = view.pod.as_ref().filter(|pod| pod.source == Source::Kubernetes);
    let object = bound.and_then(|pod| serde_json::from_str::<Value>(&pod.manifest.0).ok());
    object.and_then(|object| object["metadata"]["generation"].as_u64()).unwrap_or(view.generation)
}

fn describe(metadata: &mut Map<String, Value>, view: &PodView) {
    metadata.insert("uid".to_owned(), json!(view.uid));
    metadata.insert("generation".to_owned(), json!(generation(view)));
    if let Some((namespace, name)) = &view.name {
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    if let Some(created) = &view.created {
        metadata.insert("creationTimestamp".to_owned(), json!(rfc3339(created)));
    }
    if let Some(deletion) = &view.deletion {
        metadata.insert("deletionTimestamp".to_owned(), json!(rfc3339(&deletion.since)));
        if let Some(grace) = deletion.grace {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace.as_secs()));
        }
    }
}

fn status(view: &PodView) -> Value {
    let mut status = json!({
        "phase": view.phase.to_string(),
        "observedGeneration": generation(view),
        "conditions": conditions(view),
        "qosClass": view.pod.as_deref().map(|pod| pod.qos().to_string()),
    });
    if let Some(created) = &view.created {
        status["startTime"] = json!(rfc3339(created));
    }
    status["containerStatuses"] = json!([]);
    for (view_of, container) in pairs(view) {
        let list = match container.kind {
            ContainerKind::Regular => "containerStatuses",
            ContainerKind::Init | ContainerKind::Sidecar => "initContainerStatuses",
            ContainerKind::Ephemeral => "ephemeralContainerStatuses",
        };
        let shown = container_status(view, view_of, container);
        match status[list].as_array_mut() {
            Some(list) => list.push(shown),
            None => status[list] = json!([shown]),
        }
    }
    allotment::of_pod(view, &mut status);
    if let Some(reason) = view.reason {
        status["reason"] = json!(reason.as_str());
    }
    if !view.message.is_empty() {
        status["message"] = json!(view.message);
    }
    status
}

/// Each container's view with what is wanted of it.
fn pairs(view: &PodView) -> impl Iterator<Item = (&ContainerView, &Container)> {
    let wanted = view.pod.as_deref().map_or(&[][..], |pod| pod.containers.as_slice());
    view.containers.iter().filter_map(|v| wanted.iter().find(|c| c.name == v.name).map(|c| (v, c)))
}

/// Barepod's own, those that others set, and what each service says of itself.
fn conditions(view: &PodView) -> Value {
    let generation = generation(view);
    let known = view.conditions.iter().map(|condition| {
        let mut shown = json!({
            "type": condition.kind,
            "status": condition.status.to_string(),
            "lastTransitionTime": rfc3339(&condition.transition),
            "observedGeneration": generation,
        });
        for (name, text) in [("reason", &condition.reason), ("message", &condition.message)] {
            if !text.is_empty() {
                shown[name] = json!(text);
            }
        }
        shown
    });
    let said = view.containers.iter().filter_map(|container| Some(notified(&container.name, container.said.as_ref()?)));
    known.chain(allotment::conditions(view, generation)).chain(said).collect()
}

fn notified(container: &ContainerName, said: &Said) -> Value {
    let reason = match (said.stopping, said.reloading, said.ready) {
        (true, _, _) => "Stopping",
        (false, true, _) => "Reloading",
        (false, false, true) => "Ready",
        (false, false, false) => "Starting",
    };
    let holds = said.ready && !said.stopping;
    let words: Vec<_> = [&said.status, &said.error].into_iter().filter(|text| !text.is_empty()).cloned().collect();
    json!({
        "type": format!("notify.barepod.dev/{container}"),
        "status": if holds { "True" } else { "False" },
        "reason": reason,
        "message": words.join("; "),
    })
}

/// What a pod's termination messages may have together: kubelet's `MaxPodTerminationMessageLogLength`, in equal parts.
const MOST_LAST_WORDS: usize = 12 * 1024;

fn container_status(view: &PodView, container: &ContainerView, wanted: &Container) -> Value {
    let words = MOST_LAST_WORDS / view.containers.len().max(1);
    let mut status = json!({
        "name": container.name,
        "image": wanted.image,
        "imageID": wanted.preset,
        "ready": container.ready || has_done_its_work(container, wanted),
        "started": container.started,
        "restartCount": container.restart_count,
        "state": state(&container.state, words),
        "lastState": container.last.as_ref().map_or(json!({}), |last| json!({"terminated": terminated(last, words)})),
    });
    if wanted.kind == ContainerKind::Ephemeral {
        // Nobody asks an ephemeral container whether it has started, and tries that created nothing are no restarts.
        status.as_object_mut().into_iter().for_each(|status| drop(status.remove("started")));
        status["restartCount"] = json!(0);
    }
    allotment::of_container(container, &mut status);
    if let Some(attempt) = container.attempt {
        let key = ContainerKey { pod: view.uid.clone(), container: container.name.clone() };
        status["containerID"] = json!(format!("barepod://{}", container_id(&key, attempt)));
    }
    status
}

/// An init container is ready when it has succeeded (`UpdatePodStatus` in `pkg/kubelet/prober`).
fn has_done_its_work(container: &ContainerView, wanted: &Container) -> bool {
    wanted.kind == ContainerKind::Init && container.state.exit_status().is_some_and(|status| status.is_success())
}

fn state(state: &ContainerState, words: usize) -> Value {
    match state {
        ContainerState::Waiting { reason, message } => {
            let mut waiting = json!({"reason": reason.as_str()});
            if !message.is_empty() {
                waiting["message"] = json!(message);
            }
            json!({"waiting": waiting})
        }
        ContainerState::Running { started, .. } => json!({"running": {"startedAt": rfc3339(started)}}),
        ContainerState::Terminated { termination } => json!({"terminated": terminated(termination, words)}),
    }
}

fn terminated(termination: &Termination, words: usize) -> Value {
    let mut terminated = json!({
        "exitCode": termination.status.kubernetes_code(),
        "reason": termination.reason.as_str(),
        "finishedAt": rfc3339(&termination.finished),
        "startedAt": termination.started.as_ref().map(rfc3339),
    });
    if let barepod_model::ExitStatus::Signal(signal) = termination.status {
        terminated["signal"] = json!(signal);
    }
    if !termination.message.is_empty() {
        terminated["message"] = json!(beginning(&termination.message, words));
    }
    terminated
}

/// At most so many bytes, in whole characters.
fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Seconds, as `metav1.Time` has them.
fn rfc3339(stamp: &Stamp) -> String {
    stamp.wall.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The phase that `kubectl get` shows: the reason of whatever stands in the way, else the phase
/// (`printPod` in kubernetes' `pkg/printers`).
pub(crate) fn display_phase(view: &PodView) -> String {
    if view.deletion.is_some() {
        return "Terminating".to_owned();
    }
    let is_ephemeral =
        |c: &&ContainerView| pairs(view).any(|(v, of)| v.name == c.name && of.kind == ContainerKind::Ephemeral);
    let mut counted = view.containers.iter().filter(|container| !is_ephemeral(container));
    let waiting = counted.find_map(|c| match &c.state {
        ContainerState::Waiting { reason, .. } => Some(reason.to_string()),
        ContainerState::Terminated { termination } if view.phase != Phase::Succeeded => {
            (!termination.status.is_success()).then(|| termination.reason.to_string())
        }
        ContainerState::Running { .. } | ContainerState::Terminated { .. } => None,
    });
    match (view.reason, waiting) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(reason)) => reason,
        (None, None) => view.phase.to_string(),
    }
}
