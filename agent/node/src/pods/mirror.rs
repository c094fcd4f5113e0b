//! Pods of other sources, shown to the cluster: mirror pods, as kubelet's static pods have them. A node may make no others,
//! and they may refer to nothing; so they say what runs and what it has of the host, and their deletion ends nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{Context, status};
use crate::call::{CallError, Pauses, call, sleep};

/// On every mirror pod (`pkg/kubelet/types/pod_update.go`).
const MIRROR: &str = "kubernetes.io/config.mirror";
const SOURCE: &str = "kubernetes.io/config.source";
const HASH: &str = "kubernetes.io/config.hash";

/// Between tries of what the API server refuses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Namespace and name, as the cluster has them.
type Name = (String, String);

/// What the keeper of mirrors is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A pod of this host, as it is.
    Here(Arc<v1::Pod>),
    /// One is gone.
    Gone(Arc<v1::Pod>),
    /// All that are there have been told, which are among these UIDs.
    AllHere(HashSet<String>),
    /// The cluster shows a mirror.
    Shown(Arc<Pod>),
    /// It shows one no longer.
    Hidden(Name),
    /// All that it shows have been told, which are these.
    AllShown(Vec<Name>),
}

/// Whether a pod of the cluster is a mirror: what it shows was here before it.
pub(crate) fn is_mirror(pod: &Pod) -> bool {
    pod.annotations().contains_key(MIRROR)
}

/// Keeps the mirrors.
pub(crate) struct Mirrors {
    context: Arc<Context>,
    told: mpsc::UnboundedReceiver<Told>,
    here: HashMap<Name, Arc<v1::Pod>>,
    shown: HashMap<Name, Arc<Pod>>,
    /// Those of which something has been told, and those that could not be kept.
    due: HashSet<Name>,
    /// Both sides have told all: what one of them lacks is not there.
    knows_here: bool,
    knows_shown: bool,
}

impl Mirrors {
    /// The keeper, and the way to it.
    pub(crate) fn new(context: Arc<Context>) -> (Self, mpsc::UnboundedSender<Told>) {
        let (tell, told) = mpsc::unbounded_channel();
        let (here, shown, due) = (HashMap::new(), HashMap::new(), HashSet::new());
        (Self { context, told, here, shown, due, knows_here: false, knows_shown: false }, tell)
    }

    pub(crate) async fn run(mut self) {
        let mut node = self.context.node.clone();
        // The node owns its mirrors: it must be there first.
        if node.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut pauses = Pauses::up_to(LONGEST_PAUSE);
        loop {
            let pause = match self.keep().await {
                true => {
                    pauses.reset();
                    None
                }
                false => Some(pauses.pause()),
            };
            // Each branch is cancel-safe: a message that is not taken stays in the channel.
            tokio::select! {
                told = self.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => return,
                },
                () = sleep(pause) => {}
            }
            while let Ok(told) = self.told.try_recv() {
                self.hear(told);
            }
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Here(pod) => {
                let name = self.name_of(&pod);
                self.due.insert(name.clone());
                self.here.insert(name, pod);
            }
            Told::Gone(pod) => {
                let name = self.name_of(&pod);
                self.here.remove(&name);
                self.due.insert(name);
            }
            Told::AllHere(uids) => {
                self.knows_here = true;
                self.look_at_all();
                self.here.retain(|_, pod| uids.contains(&pod.uid));
            }
            Told::Shown(pod) => {
                let name = (pod.namespace().unwrap_or_default(), pod.name_any());
                self.due.insert(name.clone());
                self.shown.insert(name, pod);
            }
            Told::Hidden(name) => {
                self.shown.remove(&name);
                self.due.insert(name);
            }
            Told::AllShown(names) => {
                self.knows_shown = true;
                self.look_at_all();
                self.shown.retain(|name, _| names.contains(name));
            }
        }
    }

    fn look_at_all(&mut self) {
        self.due.extend(self.here.keys().chain(self.shown.keys()).cloned());
    }

    /// As kubelet names a static pod's.
    fn name_of(&self, pod: &v1::Pod) -> Name {
        (pod.namespace.clone(), format!("{}-{}", pod.name, self.context.settings.name))
    }

    /// Whether all is as it should be. What cannot be kept, such as a mirror in a namespace that the cluster lacks, stays due
    /// and keeps no other from it.
    async fn keep(&mut self) -> bool {
        if !(self.knows_here && self.knows_shown) {
            return true;
        }
        for name in std::mem::take(&mut self.due) {
            let kept = match self.here.get(&name).cloned() {
                Some(pod) => self.show(&name, &pod).await,
                None if self.shown.contains_key(&name) => self.remove(&name).await,
                None => Ok(()),
            };
            if let Err(error) = kept {
                tracing::warn!(
                    namespace = name.0,
                    pod = name.1,
                    "a mirror pod is not up to date: {error}; trying again"
                );
                self.due.insert(name);
            }
        }
        self.due.is_empty()
    }

    async fn show(&mut self, name: &Name, pod: &v1::Pod) -> Result<(), CallError> {
        let Some(mirror) = self.mirror(name, pod) else { return Ok(()) };
        let hash = mirror["metadata"]["annotations"][HASH].as_str().unwrap_or_default();
        let known = self.shown.get(name).cloned();
        let is_right = known.as_ref().is_some_and(|known| {
            known.annotations().get(HASH).is_some_and(|is| is == hash) && known.metadata.deletion_timestamp.is_none()
        });
        let shown = match known {
            Some(known) if is_right => known,
            // Its specification cannot be changed, and what somebody has deleted is shown anew.
            Some(_) => {
                self.remove(name).await?;
                self.create(name, mirror).await?
            }
            None => self.create(name, mirror).await?,
        };
        self.tell(name, &shown, pod).await
    }

    async fn create(&mut self, name: &Name, mirror: Value) -> Result<Arc<Pod>, CallError> {
        let mirror: Pod = serde_json::from_value(mirror).map_err(kube::Error::SerdeError)?;
        let made = call(self.api(name).create(&PostParams::default(), &mirror)).await;
        let made = Arc::new(match made {
            // Made before, and not shown yet.
            Err(error) if error.is_conflict() => call(self.api(name).get(&name.1)).await?,
            other => other?,
        });
        self.shown.insert(name.clone(), Arc::clone(&made));
        Ok(made)
    }

    async fn remove(&mut self, name: &Name) -> Result<(), CallError> {
        let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        match call(self.api(name).delete(&name.1, &parameters)).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.shown.remove(name);
        Ok(())
    }

    async fn tell(&mut self, name: &Name, shown: &Arc<Pod>, pod: &v1::Pod) -> Result<(), CallError> {
        let addresses = self.context.node.borrow().as_ref().map(|node| node.addresses.clone()).unwrap_or_default();
        let mut status = status::of(pod, &addresses);
        // The cluster counts the generations of its objects by itself.
        status["observedGeneration"] = json!(shown.metadata.generation);
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["observedGeneration"] = json!(shown.metadata.generation);
        }
        let Some(patch) = status::patch(shown.status.as_ref(), &status) else { return Ok(()) };
        let patch = Patch::Strategic(json!({"metadata": {"uid": shown.uid()}, "status": patch}));
        let told = call(self.api(name).patch_status(&name.1, &PatchParams::default(), &patch)).await?;
        self.shown.insert(name.clone(), Arc::new(told));
        Ok(())
    }

    fn api(&self, name: &Name) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &name.0)
    }

    /// What is shown of a pod: nothing that refers to another object.
    fn mirror(&self, name: &Name, pod: &v1::Pod) -> Option<Value> {
        let node = self.context.node.borrow().clone()?;
        let object: Value = serde_json::from_str(&pod.object).ok()?;
        let owner = json!([{
            "apiVersion": "v1", "kind": "Node", "name": self.context.settings.name, "uid": node.uid, "controller": true,
        }]);
        let spec = shown_spec(&object["spec"], &self.context.settings.name);
        let labels: BTreeMap<String, String> =
            serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        (spec.to_string(), &labels, &pod.uid).hash(&mut hasher);
        let hash = format!("{:016x}", hasher.finish());
        Some(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name.1, "namespace": name.0, "labels": labels, "ownerReferences": owner,
                "annotations": {MIRROR: hash, HASH: hash, SOURCE: pod.source, "barepod.dev/uid": pod.uid},
            },
            "spec": spec,
        }))
    }
}

/// What of a container is its own, whatever it refers to.
const OF_CONTAINER: [&str; 6] = ["name", "image", "command", "args", "workingDir", "restartPolicy"];

fn shown_spec(spec: &Value, node: &str) -> Value {
    let containers =
        |field: &str| -> Vec<Value> { spec[field].as_array().into_iter().flatten().map(shown_container).collect() };
    let mut shown = Map::new();
    shown.insert("nodeName".to_owned(), json!(node));
    shown.insert("hostNetwork".to_owned(), json!(true));
    shown.insert("automountServiceAccountToken".to_owned(), json!(false));
    shown.insert("enableServiceLinks".to_owned(), json!(false));
    // As kubelet has it: a mirror says what runs, whatever is wrong with the node.
    shown.insert("tolerations".to_owned(), json!([{"operator": "Exists", "effect": "NoExecute"}]));
    shown.insert("containers".to_owned(), json!(containers("containers")));
    let init = containers("initContainers");
    if !init.is_empty() {
        shown.insert("initContainers".to_owned(), json!(init));
    }
    for field in ["restartPolicy", "terminationGracePeriodSeconds", "resources"] {
        if !spec[field].is_null() {
            shown.insert(field.to_owned(), spec[field].clone());
        }
    }
    Value::Object(shown)
}

fn shown_container(container: &Value) -> Value {
    let mut shown = Map::new();
    for field in OF_CONTAINER {
        if !container[field].is_null() {
            shown.insert(field.to_owned(), container[field].clone());
        }
    }
    if !container["resources"].is_null() {
        shown.insert("resources".to_owned(), container["resources"].clone());
    }
    // Ports are those of the host, and the scheduler is to know them.
    let ports: Vec<_> = container["ports"].as_array().into_iter().flatten().cloned().map(of_host).collect();
    if !ports.is_empty() {
        shown.insert("ports".to_owned(), json!(ports));
    }
    Value::Object(shown)
}

fn of_host(mut port: Value) -> Value {
    port["hostPort"] = port["containerPort"].clone();
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_refers_to_nothing_and_keeps_what_the_scheduler_counts() {
        let spec = json!({
            "serviceAccountName": "db",
            "containers": [{
                "name": "c", "image": "postgres:15", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "envFrom": [{"secretRef": {"name": "s"}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "ports": [{"containerPort": 5432}], "resources": {"requests": {"cpu": "1"}},
            }],
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        });
        let shown = shown_spec(&spec, "host-1");
        let container = json!({
            "name": "c", "image": "postgres:15", "ports": [{"containerPort": 5432, "hostPort": 5432}],
            "resources": {"requests": {"cpu": "1"}},
        });
        assert_eq!(shown["containers"], json!([container]));
        assert!(shown["volumes"].is_null() && shown["serviceAccountName"].is_null());
        assert_eq!(shown["nodeName"], "host-1");
    }
}
