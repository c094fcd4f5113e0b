//! A pod's status as it is here, and what has to be told of it.

use std::net::IpAddr;

use barepod_api::v1;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use serde_json::{Map, Value, json};

use crate::json::{includes, without_nulls};

/// Conditions that a node sets (`pkg/kubelet/types/pod_status.go`). All others are others', and stay as they are.
const OWN: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
];
/// The node sets it, and so do others (`PodConditionSharedByKubelet`): it is told, and never taken back.
const SHARED: &str = "DisruptionTarget";
/// Beside these: what services say of themselves.
const NOTIFY: &str = "notify.barepod.dev/";
/// Reasons that nothing on a host takes away: a pod that is not taken for one of them has failed, as with kubelet.
const FINAL: [&str; 2] = ["PodOSNotSupported", "SysctlForbidden"];
/// Fields that are told as they are here. What is not here any more is taken back.
const FIELDS: [&str; 11] = [
    "phase",
    "reason",
    "message",
    "startTime",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
    "observedGeneration",
    "allocatedResources",
    "resources",
    "qosClass",
];

fn is_own(condition: &Value) -> bool {
    let kind = condition["type"].as_str().unwrap_or_default();
    OWN.contains(&kind) || kind == SHARED || kind.starts_with(NOTIFY)
}

/// The status of a pod that is here.
pub(crate) fn of(pod: &v1::Pod, addresses: &[IpAddr]) -> Value {
    let object: Value = serde_json::from_str(&pod.object).unwrap_or_default();
    let mut status = object["status"].clone();
    without_nulls(&mut status);
    add_addresses(&mut status, addresses);
    status
}

/// The pod is on the host's network: its addresses are the host's.
fn add_addresses(status: &mut Value, addresses: &[IpAddr]) {
    let Some(main) = addresses.first() else { return };
    let list: Vec<_> = addresses.iter().map(|address| json!({"ip": address.to_string()})).collect();
    status["hostIP"] = json!(main.to_string());
    status["podIP"] = json!(main.to_string());
    status["hostIPs"] = json!(list);
    status["podIPs"] = json!(list);
}

/// The status of a pod that the daemon does not take, for this reason.
pub(crate) fn refused(pod: &Pod, reason: &str, message: &str, addresses: &[IpAddr]) -> Value {
    if FINAL.contains(&reason) {
        let generation = pod.metadata.generation;
        return json!({"phase": "Failed", "reason": reason, "message": message, "observedGeneration": generation});
    }
    let spec = pod.spec.as_ref();
    let waiting = |container: &Container| {
        json!({
            "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "",
            "ready": false, "started": false, "restartCount": 0, "lastState": {},
            "state": {"waiting": {"reason": reason, "message": message}},
        })
    };
    let containers: Vec<_> = spec.iter().flat_map(|spec| &spec.containers).map(waiting).collect();
    let init: Vec<_> = spec.iter().flat_map(|spec| spec.init_containers.iter().flatten()).map(waiting).collect();
    let generation = pod.metadata.generation;
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "False", "reason": reason, "message": message, "observedGeneration": generation,
        })
    };
    let conditions = ["Initialized", "ContainersReady", "Ready"].map(condition);
    let mut status = json!({
        "phase": "Pending", "reason": reason, "message": message, "observedGeneration": generation,
        "conditions": conditions,
        "containerStatuses": containers, "initContainerStatuses": init,
    });
    if init.is_empty()
        && let Some(status) = status.as_object_mut()
    {
        status.remove("initContainerStatuses");
    }
    add_addresses(&mut status, &addresses[..addresses.len().min(1)]);
    if let Some(status) = status.as_object_mut() {
        status.remove("podIP");
        status.remove("podIPs");
    }
    status
}

/// How it ended: nothing of it is left. `last` is its status when it went; a pod that never was here has failed.
pub(crate) fn ended(last: Option<Value>, generation: Option<i64>) -> Value {
    let mut status = last.unwrap_or_else(|| json!({"reason": "Deleted", "message": "deleted before it was started"}));
    let is_terminal = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !is_terminal {
        status["phase"] = json!(if has_succeeded(&status) { "Succeeded" } else { "Failed" });
    }
    if let Some(generation) = generation {
        status["observedGeneration"] = json!(generation);
    }
    // What has ended is not ready, whatever was the last word on it.
    let ready: Vec<_> = status["conditions"].as_array().into_iter().flatten().cloned().collect();
    let ready = ready.into_iter().map(|mut condition| {
        if matches!(condition["type"].as_str(), Some("Ready" | "ContainersReady")) && condition["status"] == "True" {
            condition["status"] = json!("False");
            condition["reason"] = json!(if status["phase"] == "Succeeded" { "PodCompleted" } else { "PodFailed" });
        }
        condition
    });
    status["conditions"] = ready.collect();
    status
}

fn has_succeeded(status: &Value) -> bool {
    let all = status["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    !all.is_empty() && all.iter().all(|container| container["state"]["terminated"]["exitCode"] == 0)
}

/// Nothing of a pod has run yet, and nothing has gone wrong with it.
pub(crate) fn is_beginning(status: &Value) -> bool {
    let all = ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|key| status[key].as_array());
    let is_made = |container: &Value| {
        let reason = container["state"]["waiting"]["reason"].as_str();
        matches!(reason, Some("ContainerCreating" | "PodInitializing")) && container["restartCount"] == 0
    };
    status["phase"] == "Pending" && all.flatten().all(is_made)
}

/// Whether the API server's object says that the pod has ended for good: it is never started again.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What to tell so that the API server's status becomes this one, as a strategic merge patch; `None` if it is so.
pub(crate) fn patch(is: Option<&PodStatus>, status: &Value) -> Option<Value> {
    let is = is.and_then(|status| serde_json::to_value(status).ok()).unwrap_or_else(|| json!({}));
    let mut patch = Map::new();
    for field in FIELDS {
        let (is, wanted) = (&is[field], &status[field]);
        // It is set once, and never changes.
        let is_settled = matches!(field, "qosClass" | "startTime") && !is.is_null();
        if is_settled || includes(is, wanted) && (is.is_null() || !wanted.is_null()) {
            continue;
        }
        patch.insert(field.to_owned(), wanted.clone());
    }
    for (one, list) in [("hostIP", "hostIPs"), ("podIP", "podIPs")] {
        if status[one].is_null() || (is[one] == status[one] && is[list] == status[list]) {
            continue;
        }
        patch.insert(one.to_owned(), status[one].clone());
        let mut addresses = status[list].as_array().cloned().unwrap_or_default();
        addresses.push(json!({"$patch": "replace"}));
        patch.insert(list.to_owned(), json!(addresses));
    }
    let conditions = conditions(&is["conditions"], &status["conditions"]);
    if !conditions.is_empty() {
        patch.insert("conditions".to_owned(), json!(conditions));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Those of its own that are different, new or gone. They are merged by their type, so that others' stay.
fn conditions(is: &Value, wanted: &Value) -> Vec<Value> {
    let list = |value: &Value| -> Vec<Value> {
        value.as_array().into_iter().flatten().filter(|condition| is_own(condition)).cloned().collect()
    };
    let (is, wanted) = (list(is), list(wanted));
    let find = |list: &[Value], kind: &Value| list.iter().find(|condition| condition["type"] == *kind).cloned();
    let mut patch = Vec::new();
    for condition in &wanted {
        let known = find(&is, &condition["type"]);
        if known.as_ref().is_some_and(|known| is_same(known, condition)) {
            continue;
        }
        let mut told = condition.clone();
        // What it says no longer must be taken back by name.
        for field in ["reason", "message"] {
            if told[field].is_null() && known.as_ref().is_some_and(|known| !known[field].is_null()) {
                told[field] = Value::Null;
            }
        }
        patch.push(told);
    }
    let gone = is.iter().filter(|condition| condition["type"] != SHARED);
    let gone = gone.filter(|condition| find(&wanted, &condition["type"]).is_none());
    patch.extend(gone.map(|condition| json!({"type": condition["type"], "$patch": "delete"})));
    patch
}

fn is_same(is: &Value, wanted: &Value) -> bool {
    let said = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    includes(is, wanted) && ["reason", "message"].iter().all(|field| said(is, field) == said(wanted, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: &Value) -> PodStatus {
        serde_json::from_value(status.clone()).unwrap()
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    }

    fn running() -> Value {
        json!({
            "phase": "Running",
            "observedGeneration": 1,
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [condition("Ready", "True"), condition("barepod.test/gate", "True")],
            "containerStatuses": [{
                "name": "c", "image": "host", "imageID": "host", "ready": true, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {},
            }],
            "hostIP": "10.0.0.1", "podIP": "10.0.0.1",
            "hostIPs": [{"ip": "10.0.0.1"}], "podIPs": [{"ip": "10.0.0.1"}],
        })
    }

    #[test]
    fn a_pod_begins_until_something_of_it_runs_or_fails() {
        let status = |phase: &str, state: Value, restarts: u32| json!({"phase": phase, "containerStatuses": [{"state": state, "restartCount": restarts}]});
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        assert!(is_beginning(&status("Pending", waiting("ContainerCreating"), 0)));
        for (phase, state, restarts) in [
            ("Running", waiting("ContainerCreating"), 0),
            ("Pending", waiting("CreateContainerError"), 0),
            ("Pending", waiting("ContainerCreating"), 1),
            ("Pending", json!({"running": {}}), 0),
        ] {
            assert!(!is_beginning(&status(phase, state.clone(), restarts)), "{phase} {state} {restarts}");
        }
    }

    #[test]
    fn nothing_is_told_twice() {
        assert_eq!(patch(Some(&api(&running())), &running()), None);
        let told = patch(None, &running()).unwrap();
        assert_eq!(told["phase"], "Running");
        assert_eq!(told["podIPs"], json!([{"ip": "10.0.0.1"}, {"$patch": "replace"}]));
    }

    #[test]
    fn others_conditions_are_left_alone_and_own_ones_put_right() {
        let mut known = running();
        known["conditions"] = json!([
            condition("Ready", "False"),
            condition("example.org/gate", "True"),
            condition("PodResizePending", "True"),
        ]);
        let told = patch(Some(&api(&known)), &running()).unwrap();
        let wanted = json!([condition("Ready", "True"), {"type": "PodResizePending", "$patch": "delete"}]);
        assert_eq!(told, json!({"conditions": wanted}));
    }

    #[test]
    fn what_is_said_no_longer_is_taken_back() {
        let mut known = running();
        known["reason"] = json!("OutOfcpu");
        known["message"] = json!("too much");
        assert_eq!(patch(Some(&api(&known)), &running()).unwrap(), json!({"reason": null, "message": null}));
    }

    #[test]
    fn a_pod_that_is_gone_has_ended() {
        let mut last = running();
        last["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 0}});
        let done = ended(Some(last.clone()), Some(2));
        assert_eq!((&done["phase"], &done["observedGeneration"]), (&json!("Succeeded"), &json!(2)));
        assert_eq!(
            (&done["conditions"][0]["status"], &done["conditions"][0]["reason"]),
            (&json!("False"), &json!("PodCompleted"))
        );
        last["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 137}});
        assert_eq!(ended(Some(last), None)["phase"], "Failed");
        assert_eq!(ended(None, None)["phase"], "Failed");
    }

    #[test]
    fn a_pod_that_is_not_taken_says_why() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "generation": 4}, "spec": {"containers": [{"name": "c", "image": "x"}]},
        }))
        .unwrap();
        let status = refused(&pod, "Forbidden", "no rule allows it", &["10.0.0.1".parse().unwrap()]);
        assert_eq!(status["phase"], "Pending");
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "Forbidden");
        assert!(status["podIP"].is_null() && status["hostIP"] == "10.0.0.1");
        assert_eq!(patch(Some(&api(&status)), &status), None);
    }

    #[test]
    fn a_pod_that_no_change_of_the_host_would_suit_has_failed() {
        for reason in FINAL {
            let status = refused(&Pod::default(), reason, "why", &[]);
            assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!(reason)));
        }
    }
}
