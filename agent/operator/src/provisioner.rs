//! PersistentVolumes for claims of StorageClasses whose provisioner is `barepod.dev/local`: a directory on the node that
//! the scheduler has chosen for the claim's pod.
//!
//! The directory is made by the node when the pod is started there, with the owner that its preset wants. It is never
//! removed: what is in it may be all that is left of a database. A claim whose class says otherwise is told so.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

/// As StorageClasses name it.
pub(crate) const PROVISIONER: &str = "barepod.dev/local";
/// The scheduler's choice (`pkg/scheduler/framework/plugins/volumebinding`).
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Where barepodd keeps claims.
const ROOT: &str = "/var/lib/barepod/volumes";
/// After an error.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a claim gets no volume now.
#[derive(Debug, thiserror::Error)]
enum ProvisionError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("a volume cannot be made: {0}")]
    Json(#[from] serde_json::Error),
}

struct Context {
    client: Client,
    recorder: Recorder,
}

/// Provisions until it is dropped.
pub(crate) async fn run(client: Client) {
    let reporter = Reporter { controller: PROVISIONER.to_owned(), instance: None };
    let context = Arc::new(Context { recorder: Recorder::new(client.clone(), reporter), client: client.clone() });
    let claims = Api::<PersistentVolumeClaim>::all(client);
    Controller::new(claims, watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(AGAIN), context)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::warn!("a claim waits for its volume: {error}");
            }
        })
        .await;
}

async fn reconcile(claim: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, ProvisionError> {
    let is_bound =
        claim.spec.as_ref().is_some_and(|spec| spec.volume_name.as_ref().is_some_and(|name| !name.is_empty()));
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).filter(|name| !name.is_empty());
    let (Some(class), false) = (class, is_bound || claim.meta().deletion_timestamp.is_some()) else {
        return Ok(Action::await_change());
    };
    let class = Api::<StorageClass>::all(context.client.clone()).get_opt(&class).await?;
    let Some(class) = class.filter(|class| class.provisioner == PROVISIONER) else {
        return Ok(Action::await_change());
    };
    // The scheduler says where, when there is a pod.
    let Some(node) = claim.annotations().get(SELECTED_NODE) else { return Ok(Action::await_change()) };
    let Some(node) = Api::<Node>::all(context.client.clone()).get_opt(node).await? else {
        return Ok(Action::requeue(AGAIN));
    };
    if let Some(why) = refusal(&claim) {
        context.tell(&claim, EventType::Warning, "ProvisioningFailed", why).await;
        return Ok(Action::await_change());
    }
    let volume: PersistentVolume = serde_json::from_value(volume(&claim, &class.name_any(), &node))?;
    let name = volume.name_any();
    match Api::<PersistentVolume>::all(context.client.clone()).create(&PostParams::default(), &volume).await {
        Ok(_) => {
            let note = format!("volume {name} on node {} holds the claim; its data is never removed", node.name_any());
            context.tell(&claim, EventType::Normal, "ProvisioningSucceeded", note).await;
        }
        // Made before, and not bound yet.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Action::await_change())
}

impl Context {
    async fn tell(&self, claim: &PersistentVolumeClaim, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Provisioning".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &claim.object_ref(&())).await {
            tracing::debug!("an event is lost: {error}");
        }
    }
}

/// Why a claim cannot be a directory of one host.
fn refusal(claim: &PersistentVolumeClaim) -> Option<String> {
    let spec = claim.spec.as_ref()?;
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("volumeMode Block: a claim is a directory here; write Filesystem".to_owned());
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Some("dataSource: nothing is copied into a claim; leave it out".to_owned());
    }
    let modes = spec.access_modes.iter().flatten();
    let other = modes.into_iter().find(|mode| !matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod"))?;
    Some(format!("access mode {other}: a directory is on one node; write ReadWriteOnce or ReadWriteOncePod"))
}

/// The volume of a claim on a node. Its name comes of the claim's UID: made twice, it is the same.
fn volume(claim: &PersistentVolumeClaim, class: &str, node: &Node) -> Value {
    let spec = claim.spec.clone().unwrap_or_default();
    let (namespace, uid) = (claim.namespace().unwrap_or_default(), claim.uid().unwrap_or_default());
    let name = format!("pvc-{uid}");
    let size = spec.resources.and_then(|resources| resources.requests?.get("storage").cloned());
    let host = node.labels().get(HOSTNAME).cloned().unwrap_or_else(|| node.name_any());
    let terms = json!([{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host]}]}]);
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": spec.access_modes,
            "volumeMode": "Filesystem",
            "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim.name_any(),
                "uid": uid,
            },
            "hostPath": {"path": format!("{ROOT}/{namespace}/{name}"), "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(modes: &[&str]) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "data-db-0", "namespace": "n", "uid": "u1"},
            "spec": {"accessModes": modes, "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "local"},
        }))
        .unwrap()
    }

    #[test]
    fn a_volume_is_a_directory_of_the_node_that_was_chosen() {
        let node = json!({"metadata": {"name": "h.example", "labels": {HOSTNAME: "h"}}});
        let node: Node = serde_json::from_value(node).unwrap();
        let volume = volume(&claim(&["ReadWriteOnce"]), "local", &node);
        assert_eq!(volume["metadata"]["name"], "pvc-u1");
        assert_eq!(volume["spec"]["hostPath"]["path"], "/var/lib/barepod/volumes/n/pvc-u1");
        assert_eq!(volume["spec"]["capacity"]["storage"], "10Gi");
        assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
        let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
        assert_eq!(terms[0]["matchExpressions"][0]["values"], json!(["h"]));
        assert!(serde_json::from_value::<PersistentVolume>(volume).is_ok());
    }

    #[test]
    fn what_no_directory_can_be_is_refused() {
        assert_eq!(refusal(&claim(&["ReadWriteOnce"])), None);
        assert!(refusal(&claim(&["ReadWriteMany"])).unwrap().contains("ReadWriteMany"));
    }
}
