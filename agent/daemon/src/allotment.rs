//! Resources in a pod's status: what was given, what is in force, and why that is not what is asked for.

use barepod_core::{ContainerView, PodView};
use barepod_model::{HugePageSize, Resources};
use serde_json::{Map, Value, json};

/// `PodResizePending` and `PodResizeInProgress`, while they are true (`core/v1`, KEP-1287).
pub(crate) fn conditions(view: &PodView, generation: u64) -> Vec<Value> {
    let pending = view.pending_resize.as_ref().map(|pending| {
        json!({
            "type": "PodResizePending", "status": "True", "observedGeneration": generation,
            "reason": pending.reason.as_str(), "message": pending.message,
        })
    });
    let running = view.resizing.as_ref().map(|message| {
        let mut condition = json!({"type": "PodResizeInProgress", "status": "True", "observedGeneration": generation});
        if !message.is_empty() {
            condition["reason"] = json!("Error");
            condition["message"] = json!(message);
        }
        condition
    });
    pending.into_iter().chain(running).collect()
}

/// `allocatedResources` and `resources` of a container's status, where it asks for something.
pub(crate) fn of_container(view: &ContainerView, status: &mut Value) {
    if let Some(given) = view.allocated.as_ref().and_then(|given| written(given)["requests"].as_object().cloned()) {
        status["allocatedResources"] = Value::Object(given);
    }
    let held = view.in_force.or(view.allocated).map(|held| written(&held));
    if let Some(held) = held.filter(|held| held.as_object().is_some_and(|lists| !lists.is_empty())) {
        status["resources"] = held;
    }
}

/// The same of a pod that asks for something as a whole.
pub(crate) fn of_pod(view: &PodView, status: &mut Value) {
    if let Some(level) = &view.level {
        let lists = written(level);
        status["allocatedResources"] = lists["requests"].clone();
        status["resources"] = lists;
    }
}

/// `{limits: ..., requests: ...}` as Kubernetes writes it.
fn written(resources: &Resources) -> Value {
    let mut lists = Map::new();
    let huge = |size: HugePageSize| (size.resource(), resources.huge_pages.of(size).map(|pages| pages.to_string()));
    let text = |value: Option<barepod_model::Bytes>| value.map(|value| value.to_string());
    let limits = [
        ("cpu", resources.cpu_limit.map(|cpu| cpu.to_string())),
        ("memory", text(resources.memory_limit)),
        ("ephemeral-storage", text(resources.storage_limit)),
    ];
    let requests = [
        ("cpu", resources.cpu_request.map(|cpu| cpu.to_string())),
        ("memory", text(resources.memory_request)),
        ("ephemeral-storage", text(resources.storage_request)),
    ];
    for (name, list) in [("limits", limits), ("requests", requests)] {
        let entries = list.into_iter().chain(HugePageSize::ALL.map(huge));
        let entries: Map<_, _> =
            entries.filter_map(|(name, value)| value.map(|value| (name.to_owned(), json!(value)))).collect();
        if !entries.is_empty() {
            lists.insert(name.to_owned(), Value::Object(entries));
        }
    }
    Value::Object(lists)
}

#[cfg(test)]
mod tests {
    use barepod_model::{Bytes, MilliCpu};

    use super::*;

    #[test]
    fn resources_are_written_as_in_a_manifest() {
        let mut resources = Resources {
            cpu_request: Some(MilliCpu(1500)),
            memory_limit: Some(Bytes(1 << 30)),
            storage_limit: Some(Bytes(5 << 20)),
            ..Resources::default()
        };
        *resources.huge_pages.of_mut(HugePageSize::TwoMi) = Some(Bytes(4 << 20));
        let wanted = json!({
            "limits": {"memory": "1Gi", "ephemeral-storage": "5Mi", "hugepages-2Mi": "4Mi"},
            "requests": {"cpu": "1500m", "hugepages-2Mi": "4Mi"},
        });
        assert_eq!(written(&resources), wanted);
        assert_eq!(written(&Resources::default()), json!({}));
    }
}
