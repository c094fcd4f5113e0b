//! What a pod is worth when its host is short of something.

use barepod_model::Reason;
use k8s_openapi::api::core::v1;

use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// The classes that every cluster has (`SystemPriorityClasses` in `pkg/apis/scheduling/v1/helpers.go`).
const SYSTEM: [(&str, i32); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
/// `TaintNodeMemoryPressure` in `core/v1`.
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// `priority`; where only a class is named, that of the class. An API server has written the number beside the name.
pub(crate) fn of(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> i32 {
    if let Some(priority) = spec.priority {
        return priority;
    }
    let Some(class) = spec.priority_class_name.as_deref().filter(|class| !class.is_empty()) else { return 0 };
    let known = SYSTEM.iter().find(|(name, _)| *name == class);
    if known.is_none() {
        let message = format!("what the class {class:?} is worth is not known on this host, so the priority is 0");
        let finding = Finding::new(Reason::UnsupportedField, &path.key("priorityClassName"), message);
        out.warn(finding.hint("write the number as spec.priority"));
    }
    known.map_or(0, |(_, priority)| *priority)
}

/// Whether the pod tolerates the taint of a node that is short of memory (`ToleratesTaint` in `core/v1/toleration.go`).
pub(crate) fn bears_memory_pressure(spec: &v1::PodSpec) -> bool {
    spec.tolerations.iter().flatten().any(|toleration| {
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let key = toleration.key.as_deref().unwrap_or_default();
        let holds = match toleration.operator.as_deref() {
            Some("Exists") => true,
            // The taint has no value.
            None | Some("" | "Equal") => toleration.value.as_deref().unwrap_or_default().is_empty() && !key.is_empty(),
            Some(_) => false,
        };
        matches!(effect, "" | "NoSchedule") && matches!(key, "" | MEMORY_PRESSURE) && holds
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(mut object: Value) -> v1::PodSpec {
        object["containers"] = json!([]);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_priority_is_a_number_or_that_of_a_class_every_cluster_has() {
        for (object, priority, warnings) in [
            (json!({}), 0, 0),
            (json!({"priority": -5, "priorityClassName": "cheap"}), -5, 0),
            (json!({"priorityClassName": "system-node-critical"}), 2_000_001_000, 0),
            (json!({"priorityClassName": "cheap"}), 0, 1),
        ] {
            let mut out = Findings::default();
            let found = of(&spec(object.clone()), &FieldPath::default(), &mut out);
            assert_eq!((found, out.warnings.len()), (priority, warnings), "{object}");
        }
    }

    #[test]
    fn pressure_on_memory_is_borne_by_whoever_tolerates_the_taint() {
        let bears = |toleration: Value| bears_memory_pressure(&spec(json!({"tolerations": [toleration]})));
        assert!(bears(json!({"operator": "Exists"})));
        assert!(bears(json!({"key": MEMORY_PRESSURE, "operator": "Exists", "effect": "NoSchedule"})));
        assert!(bears(json!({"key": MEMORY_PRESSURE})));
        assert!(!bears(json!({"key": MEMORY_PRESSURE, "operator": "Exists", "effect": "NoExecute"})));
        assert!(!bears(json!({"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"})));
        assert!(!bears(json!({"key": MEMORY_PRESSURE, "value": "much"})));
    }
}
