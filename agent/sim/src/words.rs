//! Inputs and effects in a line each; `--json` has them whole.

use barepod_core::{Effect, Input, PodRecord};
use barepod_model::Pod;

/// An input.
pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Apply { request, pod, permit } => format!("Apply {request:?} {permit:?} {}", self::pod(pod)),
        Input::Exited { key, status, .. } => format!("Exited {key} with {status}"),
        Input::Observed { key, observation } => format!("Observed {key} {}", short(observation)),
        Input::Recalled { key, ends } => {
            let ends: Vec<_> = ends.iter().map(|end| format!("#{} with {}", end.attempt, end.status)).collect();
            format!("Recalled {key} {}", ends.join(", "))
        }
        other => short(other),
    }
}

/// An effect.
pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Store { revision, record, sync, .. } => format!("Store {sync:?} {revision:?} {}", self::record(record)),
        Effect::Prepare { pod, generation } => format!("Prepare {} generation {generation}", pod.uid),
        Effect::Start { key, pod } => format!("Start {key} of {}", self::pod(pod)),
        Effect::TearDown { pod } => format!("TearDown {}", pod.uid),
        Effect::Probe { key, kind, ticket, .. } => format!("Probe {key} {kind:?} {ticket:?}"),
        Effect::Emit(event) => format!("Emit {} {:?} {}: {}", event.pod, event.container, event.reason, event.message),
        other => short(other),
    }
}

fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let stamps = text.split("Stamp {").map(|part| match part.split_once("wall: ") {
        Some((_, rest)) => rest.split_once(" }").map_or(rest, |(_, rest)| rest).to_owned(),
        None => part.to_owned(),
    });
    stamps.collect::<Vec<_>>().join("…")
}

fn pod(pod: &Pod) -> String {
    let containers: Vec<_> = pod
        .containers
        .iter()
        .map(|c| format!("{}:{} min {:?}", c.name, c.launch.argv[1..].join(" "), c.stop.min_grace))
        .collect();
    format!(
        "{} {} {:?} grace {:?} on {:?} [{}]",
        pod.uid,
        pod.name,
        pod.restart_policy,
        pod.grace,
        pod.data_paths,
        containers.join(", ")
    )
}

fn record(record: &PodRecord) -> String {
    let containers = record.containers.iter().map(|(name, rec)| {
        let last = rec.last.as_ref().map(|end| end.status.to_string());
        let attempt = rec.attempt.map_or(-1, |attempt| i64::from(attempt.0));
        let epochs = (rec.attempt_epoch, rec.epoch);
        let progress = short(&rec.progress);
        let stop = rec.stop.as_ref().map(|stop| stop.grace);
        let (delay, finished) = (rec.backoff.as_ref().map(|backoff| backoff.delay), rec.finished);
        format!("{name}#{attempt} {progress} last {last:?} epoch {epochs:?} stop {stop:?} backoff {delay:?} {finished}")
    });
    let containers: Vec<_> = containers.collect();
    let deletion = record.deletion.as_ref().map(|deletion| (deletion.grace, deletion.cap));
    format!("{} deletion {deletion:?} [{}]", pod(&record.pod), containers.join(", "))
}
