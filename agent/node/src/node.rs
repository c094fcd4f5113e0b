//! The Node object: what this host is to the cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use barepod_api::v1;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Settings;

/// Kubernetes' version whose node this is, in the form that version skew is judged by.
const VERSION: &str = concat!("v1.36.3-barepod.", env!("CARGO_PKG_VERSION"));
/// Without this the attach-detach controller passes the node over.
const ATTACH_DETACH: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// What a RuntimeClass finds barepod's nodes by.
const MARK: &str = "barepod.dev/node";
/// What a scheduler and an API server of the same version may ask of this node and not of every other
/// (`k8s.io/component-helpers/nodedeclaredfeatures`). Only what a test shows.
const FEATURES: [&str; 2] = ["InPlacePodLevelResourcesVerticalScaling", "RestartAllContainersOnContainerExits"];
/// The same, where there is a kubelet port: exec, attach and port-forward come as the client sends them.
const WEB_SOCKETS: &str = "ExtendWebSocketsToKubelet";
/// kubelet's `nodeStatusMaxImages`.
const MOST_IMAGES: usize = 50;

/// The object as it is registered.
pub(crate) fn object(settings: &Settings, host: &v1::HostResponse, port: Option<u16>) -> Value {
    let taint = |taint: &crate::Taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(settings, host),
        "spec": {"taints": settings.taints.iter().map(taint).collect::<Vec<_>>()},
        "status": status(settings, host, port, &[], Timestamp::now()),
    })
}

/// What of the object's metadata is the node's to say.
pub(crate) fn metadata(settings: &Settings, host: &v1::HostResponse) -> Value {
    let annotations = BTreeMap::from([(ATTACH_DETACH, "true")]);
    json!({"name": settings.name, "labels": labels(settings, host), "annotations": annotations})
}

fn labels(settings: &Settings, host: &v1::HostResponse) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = host.labels.clone().into_iter().collect();
    labels.extend(settings.labels.clone());
    labels.insert(MARK.to_owned(), "true".to_owned());
    labels.insert("kubernetes.io/hostname".to_owned(), settings.name.to_lowercase());
    for (new, old) in [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")]
    {
        if let Some(value) = labels.get(new).cloned() {
            labels.insert(old.to_owned(), value);
        }
    }
    labels
}

/// The addresses that pods are reached by, the main one first.
pub(crate) fn addresses(settings: &Settings, host: &v1::HostResponse) -> Vec<IpAddr> {
    match settings.addresses.is_empty() {
        true => host.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        false => settings.addresses.clone(),
    }
}

/// In the order of the alphabet.
fn features(settings: &Settings, port: Option<u16>) -> Vec<&'static str> {
    let web_sockets = port.filter(|_| settings.web_sockets).map(|_| WEB_SOCKETS);
    web_sockets.into_iter().chain(FEATURES).collect()
}

/// The node's status, with the kubelet port where it listens. Of `known` conditions those that have not changed keep the time
/// of their last transition.
pub(crate) fn status(
    settings: &Settings,
    host: &v1::HostResponse,
    port: Option<u16>,
    known: &[Value],
    now: Timestamp,
) -> Value {
    let internal = addresses(settings, host).into_iter().map(|address| ("InternalIP", address.to_string()));
    let addresses = internal.chain([("Hostname", host.name.clone())]);
    let addresses: Vec<_> = addresses.map(|(kind, address)| json!({"type": kind, "address": address})).collect();
    let images: Vec<_> = host.presets.iter().take(MOST_IMAGES).map(|preset| json!({"names": preset.images})).collect();
    json!({
        "addresses": addresses,
        "capacity": amounts(host.capacity.as_ref(), settings.max_pods_with(host)),
        "allocatable": amounts(host.allocatable.as_ref(), settings.max_pods_with(host)),
        "conditions": conditions(host, known, now),
        "declaredFeatures": features(settings, port),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port.unwrap_or(0)}},
        "images": images,
        "nodeInfo": {
            "architecture": host.architecture,
            "bootID": host.boot_id,
            "machineID": host.machine_id,
            "systemUUID": host.system_uuid,
            "kernelVersion": host.kernel,
            "osImage": host.os_image,
            "operatingSystem": "linux",
            "containerRuntimeVersion": concat!("barepod://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
        },
        "runtimeHandlers": [{"name": "barepod", "features": {"recursiveReadOnlyMounts": true}}],
    })
}

impl Settings {
    fn max_pods_with(&self, host: &v1::HostResponse) -> u32 {
        if host.max_pods == 0 { self.max_pods } else { host.max_pods.min(self.max_pods) }
    }
}

fn amounts(amounts: Option<&v1::Amounts>, pods: u32) -> Value {
    let amounts = amounts.copied().unwrap_or_default();
    let mut list = Map::new();
    list.insert("cpu".to_owned(), json!(format!("{}m", amounts.cpu_milli)));
    list.insert("memory".to_owned(), json!(format!("{}", amounts.memory)));
    list.insert("ephemeral-storage".to_owned(), json!(format!("{}", amounts.ephemeral_storage)));
    list.insert("hugepages-2Mi".to_owned(), json!(format!("{}", amounts.huge_2mi)));
    list.insert("hugepages-1Gi".to_owned(), json!(format!("{}", amounts.huge_1gi)));
    list.insert("pods".to_owned(), json!(pods.to_string()));
    Value::Object(list)
}

/// In kubelet's words, which dashboards know.
fn conditions(host: &v1::HostResponse, known: &[Value], now: Timestamp) -> Vec<Value> {
    let pressure = host.pressure.clone().unwrap_or_default();
    let all = [
        ("MemoryPressure", &pressure.memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        ("DiskPressure", &pressure.disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", &pressure.pid, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
    ];
    let pressures = all.into_iter().map(|(kind, why, bad, good)| {
        let (status, reason) = if why.is_empty() { ("False", good) } else { ("True", bad) };
        (kind, status, reason, if why.is_empty() { "there is enough".to_owned() } else { why.clone() })
    });
    let ready = match host.goes_down {
        true => ("Ready", "False", "KubeletNotReady", "node is shutting down".to_owned()),
        // Its daemon has just answered.
        false => ("Ready", "True", "KubeletReady", "barepodd answers".to_owned()),
    };
    pressures.chain([ready]).map(|condition| shown(condition, known, now)).collect()
}

fn shown((kind, status, reason, message): (&str, &str, &str, String), known: &[Value], now: Timestamp) -> Value {
    let before = known.iter().find(|condition| condition["type"] == kind && condition["status"] == status);
    let since = before.and_then(|condition| condition["lastTransitionTime"].as_str().map(str::to_owned));
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or(now),
    })
}

/// The node when its daemon does not answer: it says so itself, before the cluster finds it silent.
pub(crate) fn not_ready(message: &str, known: &[Value], now: Timestamp) -> Value {
    let ready = ("Ready", "False", "KubeletNotReady", message.to_owned());
    json!({"conditions": [shown(ready, known, now)]})
}

/// What of a status is worth telling at once: all but the times of heartbeats.
pub(crate) fn telling(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastHeartbeatTime");
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "Host-1".to_owned(),
            addresses: Vec::new(),
            labels: BTreeMap::from([("disk".to_owned(), "fast".to_owned())]),
            taints: vec!["barepod.dev/host:NoSchedule".parse().unwrap()],
            max_pods: 110,
            web_sockets: true,
        }
    }

    fn host() -> v1::HostResponse {
        v1::HostResponse {
            name: "host-1".to_owned(),
            addresses: vec!["10.1.2.3".to_owned(), "fd00::3".to_owned()],
            labels: [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            capacity: Some(v1::Amounts { cpu_milli: 4000, memory: 8 << 30, ..v1::Amounts::default() }),
            allocatable: Some(v1::Amounts { cpu_milli: 3500, memory: 7 << 30, ..v1::Amounts::default() }),
            ..v1::HostResponse::default()
        }
    }

    #[test]
    fn a_node_is_what_its_host_is() {
        let object = object(&settings(), &host(), Some(10250));
        let labels = &object["metadata"]["labels"];
        assert_eq!(
            (&labels["kubernetes.io/hostname"], &labels["beta.kubernetes.io/os"]),
            (&json!("host-1"), &json!("linux"))
        );
        assert_eq!((&labels["disk"], &labels["barepod.dev/node"]), (&json!("fast"), &json!("true")));
        assert_eq!(object["spec"]["taints"][0]["effect"], "NoSchedule");
        let status = &object["status"];
        assert_eq!(status["addresses"][0], json!({"type": "InternalIP", "address": "10.1.2.3"}));
        assert_eq!((&status["capacity"]["cpu"], &status["allocatable"]["cpu"]), (&json!("4000m"), &json!("3500m")));
        assert_eq!(status["allocatable"]["pods"], "110");
        assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
        assert_eq!(status["declaredFeatures"][0], WEB_SOCKETS);
        assert!(serde_json::from_value::<k8s_openapi::api::core::v1::Node>(object.clone()).is_ok());
    }

    #[test]
    fn web_sockets_are_declared_where_they_are_wanted_and_there_is_a_port() {
        let without = Settings { web_sockets: false, ..settings() };
        assert_eq!(features(&settings(), None), FEATURES);
        assert_eq!(features(&without, Some(10250)), FEATURES);
        assert!(features(&settings(), Some(10250)).is_sorted());
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_transition_while_it_holds() {
        let early = Timestamp::from_second(1_000_000_000).unwrap();
        let late = Timestamp::from_second(1_000_000_100).unwrap();
        let first = status(&settings(), &host(), None, &[], early);
        let known = first["conditions"].as_array().unwrap().clone();
        let mut short = host();
        short.pressure = Some(v1::Pressure { disk: "3 MiB are left".to_owned(), ..v1::Pressure::default() });
        let second = status(&settings(), &short, None, &known, late);
        let of = |status: &Value, kind: &str| {
            status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap().clone()
        };
        assert_eq!(of(&second, "Ready")["lastTransitionTime"], "2001-09-09T01:46:40Z");
        let disk = of(&second, "DiskPressure");
        assert_eq!((&disk["status"], &disk["message"]), (&json!("True"), &json!("3 MiB are left")));
        assert_eq!(disk["lastTransitionTime"], "2001-09-09T01:48:20Z");
        assert_ne!(telling(&first), telling(&second));
        assert_eq!(telling(&first), telling(&status(&settings(), &host(), None, &known, late)));
    }
}
