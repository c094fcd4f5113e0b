//! A pod, and the host, as barepodd shows them.

use barepod_api::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

const SOURCE: &str = "kubernetes";

/// A pod of this object that has just been taken; `None` where it is none.
pub(crate) fn beginning(object: &str) -> Option<v1::Pod> {
    let written: Value = serde_json::from_str(object).ok()?;
    let text = |name: &str| Some(written["metadata"][name].as_str()?.to_owned());
    let mut pod = v1::Pod {
        uid: text("uid")?,
        namespace: text("namespace")?,
        name: text("name")?,
        source: SOURCE.to_owned(),
        ..v1::Pod::default()
    };
    show(&mut pod, written, "Pending", &json!({"waiting": {"reason": "ContainerCreating"}}));
    Some(pod)
}

/// All of it runs.
pub(crate) fn run(pod: &mut v1::Pod) {
    let state = json!({"running": {"startedAt": now()}});
    show(pod, object(pod), "Running", &state);
}

/// All of it has ended well.
pub(crate) fn stop(pod: &mut v1::Pod) {
    let since = object(pod)["status"]["startTime"].clone();
    let state = json!({"terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": since, "finishedAt": now(),
    }});
    show(pod, object(pod), "Succeeded", &state);
}

/// The pod's object is this one from now on; whether that is another.
pub(crate) fn renew(pod: &mut v1::Pod, written: &str) -> bool {
    let (mut known, written) = (object(pod), serde_json::from_str::<Value>(written).unwrap_or_default());
    let is_another = known["spec"] != written["spec"] || known["metadata"] != written["metadata"];
    if is_another {
        let status = known["status"].take();
        known = written;
        known["status"] = status;
        known["status"]["observedGeneration"] = known["metadata"]["generation"].clone();
        pod.object = known.to_string();
    }
    is_another
}

fn object(pod: &v1::Pod) -> Value {
    serde_json::from_str(&pod.object).unwrap_or_default()
}

/// With this phase, and all containers in this state.
fn show(pod: &mut v1::Pod, mut object: Value, phase: &str, state: &Value) {
    let is_ready = phase == "Running";
    let (generation, since) = (object["metadata"]["generation"].clone(), object["status"]["startTime"].clone());
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        let mut condition = json!({
            "type": kind, "status": status, "lastTransitionTime": now(), "observedGeneration": generation,
        });
        if !holds {
            condition["reason"] = json!(if phase == "Succeeded" { "PodCompleted" } else { "ContainersNotReady" });
        }
        condition
    };
    let container = |container: &Value| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "host", "ready": is_ready,
            "started": is_ready, "restartCount": 0, "state": state, "lastState": {},
            "containerID": format!("barepod://{}-{}", pod.uid, container["name"].as_str().unwrap_or_default()),
        })
    };
    let containers: Vec<_> = object["spec"]["containers"].as_array().into_iter().flatten().map(container).collect();
    object["status"] = json!({
        "phase": phase,
        "observedGeneration": generation,
        "qosClass": "BestEffort",
        "startTime": if since.is_null() { json!(now()) } else { since },
        "conditions": [
            condition("PodReadyToStartContainers", true),
            condition("Initialized", true),
            condition("ContainersReady", is_ready),
            condition("Ready", is_ready),
        ],
        "containerStatuses": containers,
    });
    pod.object = object.to_string();
    pod.phase = phase.to_owned();
    pod.ready = is_ready;
}

/// Seconds, as `metav1.Time` has them.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A host of some size, with the presets that barepod comes with.
pub(crate) fn host(name: &str) -> v1::HostResponse {
    let amounts =
        |cpu_milli, memory| v1::Amounts { cpu_milli, memory, ephemeral_storage: 400 << 30, ..v1::Amounts::default() };
    let preset = |image: &str| v1::Preset { images: vec![image.to_owned()], ..v1::Preset::default() };
    let labels = [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")];
    v1::HostResponse {
        name: name.to_owned(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        capacity: Some(amounts(32_000, 128 << 30)),
        allocatable: Some(amounts(31_500, 126 << 30)),
        presets: ["host", "postgres:15", "redis:7", "prometheus:2"].map(preset).into(),
        boot_id: "5d3c2f4e-0000-4000-8000-000000000001".to_owned(),
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        system_uuid: "0c9d2f4e-0000-4000-8000-000000000001".to_owned(),
        kernel: "6.1.0-40-amd64".to_owned(),
        os_image: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        architecture: "amd64".to_owned(),
        pressure: Some(v1::Pressure::default()),
        ..v1::HostResponse::default()
    }
}
