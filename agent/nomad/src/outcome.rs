//! How far a task's pod has come, read from what the daemon shows.

use barepod_api::v1::Pod;
use serde_json::Value;

use crate::service::{self, Service};
use crate::wire::driver::{ExitResult, WaitTaskResponse};

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) exit_code: i32,
    pub(crate) signal: i32,
    pub(crate) oom_killed: bool,
    /// For people; may be empty.
    pub(crate) message: String,
}

impl Outcome {
    /// Nobody can say how.
    pub(crate) fn unknown(message: &str) -> Self {
        Self { exit_code: 1, message: message.to_owned(), ..Self::default() }
    }

    pub(crate) fn result(&self) -> ExitResult {
        ExitResult { exit_code: self.exit_code, signal: self.signal, oom_killed: self.oom_killed }
    }
}

impl From<Outcome> for WaitTaskResponse {
    fn from(outcome: Outcome) -> Self {
        Self { result: Some(outcome.result()), err: outcome.message }
    }
}

/// Where a pod stands that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Not yet, and why, if there is a reason.
    Waits(String),
    /// Its processes run.
    Runs,
    /// One of them cannot be started.
    Fails(String),
    /// It has ended.
    Over(Outcome),
}

/// Reasons of a container whose process could not be made.
const FAILURES: [&str; 8] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "CrashLoopBackOff",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// A pod as the daemon shows it, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shown {
    /// Without its object.
    pub(crate) pod: Pod,
    /// How it has ended, if it has.
    pub(crate) end: Option<Outcome>,
    /// How it had ended when nothing was left of it.
    pub(crate) last: Outcome,
    /// What it is to who places jobs beside it.
    pub(crate) service: Option<Service>,
}

/// Where a pod stands.
pub(crate) fn begun(Shown { pod, end, .. }: &Shown) -> Begun {
    if let Some(outcome) = end.clone() {
        // A pod that is not restarted is over as soon as its process cannot be made.
        let never_ran = FAILURES.iter().any(|reason| outcome.message.starts_with(reason));
        return if never_ran { Begun::Fails(outcome.message) } else { Begun::Over(outcome) };
    }
    let regular = || pod.containers.iter().filter(|container| !container.init && !container.ephemeral);
    let says = |reason: &str, message: &str| match message {
        "" => reason.to_owned(),
        _ => format!("{reason}: {message}"),
    };
    let failing = pod.containers.iter().find(|it| it.state == "waiting" && FAILURES.contains(&it.reason.as_str()));
    if let Some(container) = failing {
        return Begun::Fails(format!("container {}: {}", container.name, says(&container.reason, &container.message)));
    }
    if regular().count() > 0 && regular().all(|container| container.state != "waiting") {
        return Begun::Runs;
    }
    Begun::Waits(if pod.reason.is_empty() { String::new() } else { says(&pod.reason, &pod.message) })
}

impl Shown {
    /// Reads its object once, and lets go of it: who waits for one pod looks at all changes of all pods.
    pub(crate) fn of(mut pod: Pod) -> Self {
        let object: Value = serde_json::from_str(&std::mem::take(&mut pod.object)).unwrap_or_default();
        let status = &object["status"];
        let last = ended(&pod, status);
        let end = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")).then(|| last.clone());
        Self { service: service::of(&pod, &object), pod, end, last }
    }
}

/// The first container that failed speaks for all.
fn ended(pod: &Pod, status: &Value) -> Outcome {
    let terminations = ["containerStatuses", "initContainerStatuses"]
        .into_iter()
        .flat_map(|list| status[list].as_array().into_iter().flatten())
        .map(|container| {
            let now = &container["state"]["terminated"];
            if now.is_object() { now } else { &container["lastState"]["terminated"] }
        })
        .filter(|terminated| terminated.is_object());
    let all: Vec<_> = terminations.collect();
    let Some(speaker) = all.iter().find(|end| end["exitCode"] != 0).or(all.first()) else {
        let message = [pod.reason.as_str(), pod.message.as_str()].join(": ");
        return Outcome::unknown(message.trim_matches([':', ' ']));
    };
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default();
    let message = match (speaker["reason"].as_str(), speaker["message"].as_str()) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(reason), None) if !matches!(reason, "Completed" | "Error") => reason.to_owned(),
        _ => String::new(),
    };
    Outcome {
        exit_code: number(&speaker["exitCode"]),
        signal: number(&speaker["signal"]),
        oom_killed: speaker["reason"] == "OOMKilled",
        message,
    }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Container;
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, terminated: &Value) -> Pod {
        let statuses = json!([{"name": "main", "state": {"terminated": terminated}}]);
        Pod { object: json!({"status": {"phase": phase, "containerStatuses": statuses}}).to_string(), ..Pod::default() }
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        let container = Container {
            name: "main".to_owned(),
            state: "waiting".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Container::default()
        };
        Pod { containers: vec![container], ..Pod::default() }
    }

    #[test]
    fn a_pod_that_is_over_tells_code_signal_and_what_killed_it() {
        let oom = json!({"exitCode": 137, "signal": 9, "reason": "OOMKilled"});
        let wanted = Outcome { exit_code: 137, signal: 9, oom_killed: true, message: "OOMKilled".to_owned() };
        assert_eq!(Shown::of(pod("Failed", &oom)).end, Some(wanted));
        let done = json!({"exitCode": 0, "reason": "Completed"});
        assert_eq!(Shown::of(pod("Succeeded", &done)).end, Some(Outcome::default()));
        assert_eq!(Shown::of(pod("Running", &done)).end, None);
    }

    #[test]
    fn a_pod_that_failed_as_a_whole_tells_why() {
        let object = json!({"status": {"phase": "Failed"}}).to_string();
        let pod = Pod { object, reason: "Evicted".to_owned(), message: "no memory".to_owned(), ..Pod::default() };
        assert_eq!(Shown::of(pod).end, Some(Outcome::unknown("Evicted: no memory")));
    }

    #[test]
    fn what_cannot_be_started_is_told_from_what_only_waits() {
        let fails = begun(&Shown::of(waiting("RunContainerError", "no such file")));
        assert_eq!(fails, Begun::Fails("container main: RunContainerError: no such file".to_owned()));
        assert_eq!(begun(&Shown::of(waiting("ContainerCreating", ""))), Begun::Waits(String::new()));
        let never = json!({"exitCode": 128, "reason": "StartError", "message": "no such file"});
        assert_eq!(begun(&Shown::of(pod("Failed", &never))), Begun::Fails("StartError: no such file".to_owned()));
    }
}
