//! What of a pod Nomad is to know. Pure.

use barepod_api::{ACCOUNTED, v1};
use serde_json::Value;

use crate::check::{Port, Spec};

/// A pod that is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its namespace here.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// What it has of the host.
    pub amounts: v1::Amounts,
    /// Memory that it may use, in bytes, if there is a limit.
    pub memory_limit: Option<u64>,
    /// Ports of the host that are its own.
    pub ports: Vec<Port>,
    /// What stands in for its images, and these.
    pub presets: Vec<(String, String)>,
}

/// What is done about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stance {
    /// It has a job.
    Counted(Wanted),
    /// What there is stays: it has not begun, is about to end, or nobody knows.
    Left,
    /// It has none.
    Absent,
}

/// What is done about this pod.
#[must_use]
pub fn stance(pod: &v1::Pod) -> Stance {
    // Tasks of Nomad's have allocations already.
    if pod.source == "nomad" || matches!(pod.phase.as_str(), "Succeeded" | "Failed") {
        return Stance::Absent;
    }
    let has_begun = |container: &v1::Container| container.state != "waiting" || container.restart_count > 0;
    let lives = pod.phase == "Running" || pod.containers.iter().any(has_begun);
    match (pod.deletion, pod.booked, lives && pod.phase != "Unknown") {
        (None, Some(amounts), true) => Stance::Counted(Wanted {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            amounts,
            memory_limit: pod.memory_limit,
            ports: ports(pod),
            presets: presets(pod),
        }),
        _ => Stance::Left,
    }
}

fn ports(pod: &v1::Pod) -> Vec<Port> {
    let object: Value = serde_json::from_str(&pod.object).unwrap_or_default();
    let spec = Spec::of(&object);
    pod.host_ports.iter().map(|number| Port { number: *number, check: spec.check(*number) }).collect()
}

/// Of containers that run, each once.
fn presets(pod: &v1::Pod) -> Vec<(String, String)> {
    let services = pod.containers.iter().filter(|container| !container.init && !container.ephemeral);
    let mut presets: Vec<_> = services.map(|container| (container.preset.clone(), container.image.clone())).collect();
    presets.sort();
    presets.dedup();
    presets
}

/// What a pod's condition says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whether it is counted.
    pub is_counted: bool,
    /// A code in one word.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Told {
    /// It is.
    #[must_use]
    pub fn counted(job: &str) -> Self {
        let message = format!("the job {job} has an allocation on this host");
        Self { is_counted: true, reason: "Placed".to_owned(), message }
    }

    /// It is not, and runs on all the same.
    #[must_use]
    pub fn uncounted(message: String) -> Self {
        Self { is_counted: false, reason: "Unaccounted".to_owned(), message }
    }
}

/// What a pod's condition says now, if it has one.
#[must_use]
pub fn told(pod: &v1::Pod) -> Option<Told> {
    let object: Value = serde_json::from_str(&pod.object).ok()?;
    let condition = object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == ACCOUNTED)?.clone();
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    Some(Told { is_counted: text("status") == "True", reason: text("reason"), message: text("message") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Every};
    use serde_json::json;

    fn pod(phase: &str, state: &str) -> v1::Pod {
        let container = v1::Container { state: state.to_owned(), ..v1::Container::default() };
        let ports = json!([{"hostPort": 53, "protocol": "UDP"}, {"hostPort": 80}]);
        v1::Pod {
            namespace: "default".to_owned(),
            name: "pg".to_owned(),
            uid: "u".to_owned(),
            source: "file".to_owned(),
            phase: phase.to_owned(),
            containers: vec![container],
            booked: Some(v1::Amounts { cpu_milli: 500, ..v1::Amounts::default() }),
            host_ports: vec![53, 80],
            object: json!({"spec": {"containers": [{"ports": ports}]}}).to_string(),
            ..v1::Pod::default()
        }
    }

    #[test]
    fn a_pod_is_counted_from_its_first_process_until_it_ends() {
        assert!(matches!(stance(&pod("Running", "running")), Stance::Counted(_)));
        assert!(matches!(stance(&pod("Pending", "running")), Stance::Counted(_)), "an init container runs");
        assert_eq!(stance(&pod("Pending", "waiting")), Stance::Left);
        assert_eq!(stance(&pod("Unknown", "running")), Stance::Left);
        let ending = v1::Pod { deletion: Some(v1::Timestamp::default()), ..pod("Running", "running") };
        assert_eq!(stance(&ending), Stance::Left);
        assert_eq!(stance(&pod("Succeeded", "terminated")), Stance::Absent);
        let nomads = v1::Pod { source: "nomad".to_owned(), ..pod("Running", "running") };
        assert_eq!(stance(&nomads), Stance::Absent);
    }

    #[test]
    fn ports_are_known_with_what_they_are() {
        let Stance::Counted(wanted) = stance(&pod("Running", "running")) else { panic!("it runs") };
        let connect = Check::Connect(Every::default());
        assert_eq!(wanted.ports, [Port { number: 53, check: Check::None }, Port { number: 80, check: connect }]);
    }

    #[test]
    fn what_a_pod_was_told_is_known_again() {
        let mut shown = pod("Running", "running");
        assert_eq!(told(&shown), None);
        let condition = json!({"type": ACCOUNTED, "status": "False", "reason": "Unaccounted", "message": "no room"});
        shown.object = json!({"status": {"conditions": [condition]}}).to_string();
        assert_eq!(told(&shown), Some(Told::uncounted("no room".to_owned())));
    }
}
