//! A pod as the daemon is told of it: what the API server has, without what is none of the daemon's business.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::json::without_nulls;

/// The pod as JSON. It changes when, and only when, something of it changes that matters on the host.
pub(crate) fn pod(pod: &Pod) -> String {
    let spec = pod.spec.as_ref().and_then(|spec| serde_json::to_value(spec).ok()).unwrap_or_default();
    let metadata = json!({
        "name": pod.name_any(),
        "namespace": pod.namespace(),
        "uid": pod.uid(),
        "generation": pod.metadata.generation,
        "creationTimestamp": pod.metadata.creation_timestamp,
        "labels": pod.labels(),
        "annotations": pod.annotations(),
    });
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string()
}

/// A claim, as far as it says where its data is.
pub(crate) fn claim(claim: &PersistentVolumeClaim) -> Value {
    let spec = claim.spec.as_ref();
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim.name_any(), "namespace": claim.namespace()},
        "spec": {
            "volumeName": spec.and_then(|spec| spec.volume_name.as_ref()),
            "accessModes": spec.and_then(|spec| spec.access_modes.as_ref()),
            "resources": spec.and_then(|spec| spec.resources.as_ref()),
            "volumeMode": spec.and_then(|spec| spec.volume_mode.as_ref()),
        },
    });
    without_nulls(&mut object["spec"]);
    object
}

/// A volume, likewise.
pub(crate) fn volume(volume: &PersistentVolume) -> Value {
    let spec = volume.spec.as_ref();
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume.name_any()},
        "spec": {
            "hostPath": spec.and_then(|spec| spec.host_path.as_ref()),
            "local": spec.and_then(|spec| spec.local.as_ref()),
            "capacity": spec.and_then(|spec| spec.capacity.as_ref()),
            "volumeMode": spec.and_then(|spec| spec.volume_mode.as_ref()),
        },
    });
    without_nulls(&mut object["spec"]);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_api_server_counts_changes_nothing() {
        let with = |version: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "p", "namespace": "n", "uid": "u", "resourceVersion": version, "generateName": "p-",
                    "generation": 3, "managedFields": [], "ownerReferences": [],
                },
                "spec": {"containers": [{"name": "c", "image": "postgres:15"}]},
                "status": {"phase": phase},
            }))
            .unwrap()
        };
        assert_eq!(pod(&with("1", "Pending")), pod(&with("2", "Running")));
        let told: Value = serde_json::from_str(&pod(&with("1", "Pending"))).unwrap();
        assert_eq!((&told["metadata"]["generation"], &told["metadata"]["uid"]), (&json!(3), &json!("u")));
        assert!(told["metadata"]["generateName"].is_null() && told["status"].is_null());
    }
}
