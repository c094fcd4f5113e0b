//! A task in a pod of its own, with the ground as a hostPath volume.

use anyhow::{Result, bail};
use barepod_api::v1::{
    ApplyRequest, ApplyResponse, DeleteRequest, ListRequest, ManifestFile, PodResult, diagnostic, watch_response,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::Status;

use super::ground::{Ground, INSIDE};
use super::task::Task;
use crate::commands::{Client, apply};
use crate::refusal::from_status;

/// A database that is told to end.
const GRACE_SECONDS: u64 = 20;

/// The pods of a run, one after the other. Whoever leaves in the middle calls [`Pods::end`].
#[derive(Debug)]
pub(super) struct Pods {
    client: Client,
    namespace: String,
    /// What was asked for and not answered yet. It is not given up with whoever waits: the daemon may have done it.
    asked: Option<JoinHandle<Result<ApplyResponse, Status>>>,
    /// The one that is there.
    begun: Option<PodResult>,
}

impl Pods {
    pub(super) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace, asked: None, begun: None }
    }

    /// Runs a task to its end.
    pub(super) async fn run(&mut self, ground: &Ground, task: &Task) -> Result<()> {
        let text = manifest(&self.namespace, ground, task).to_string();
        let files = vec![ManifestFile { name: "the pod that measures".to_owned(), text }];
        let mut client = self.client.clone();
        let apply = async move {
            let answer = client.apply(ApplyRequest { files, dry_run: false }).await?;
            Ok(answer.into_inner())
        };
        let answer = self.asked.insert(tokio::spawn(apply)).await;
        self.asked = None;
        let answer = answer?.map_err(from_status)?;
        let is_error = |severity| severity == diagnostic::Severity::Error;
        if let Some(error) = answer.diagnostics.iter().find(|diagnostic| is_error(diagnostic.severity())) {
            bail!("{}", apply::render(error));
        }
        let Some(result) = answer.results.into_iter().next() else { bail!("the pod was not taken") };
        if !result.denied_reason.is_empty() {
            bail!("{}", denied(&result, ground));
        }
        let uid = result.uid.clone();
        self.begun = Some(result);
        let ended = self.until_ended(&uid).await;
        self.end().await?;
        ended
    }

    async fn until_ended(&mut self, uid: &str) -> Result<()> {
        let request = ListRequest { uid: uid.to_owned(), ..ListRequest::default() };
        let mut changes = self.client.watch(request).await.map_err(from_status)?.into_inner();
        while let Some(change) = changes.message().await.map_err(from_status)? {
            let Some(pod) = &change.pod else { continue };
            if change.kind() == watch_response::Kind::Gone {
                bail!("somebody deleted pod {} while it measured", pod.name);
            }
            match pod.phase.as_str() {
                "Succeeded" => return Ok(()),
                "Failed" => bail!("the pod failed: {}", why(pod)),
                _ => {}
            }
        }
        bail!("barepodd ended while a pod measured")
    }

    /// Deletes the pod that is there, if one is, and waits until it is gone. May be left in the middle, and called again.
    pub(super) async fn end(&mut self) -> Result<()> {
        if let Some(asked) = &mut self.asked {
            let answer = asked.await;
            self.asked = None;
            let results = answer.into_iter().flatten().flat_map(|answer| answer.results);
            self.begun = results.into_iter().find(|result| result.denied_reason.is_empty());
        }
        let Some(PodResult { namespace, name, uid, .. }) = self.begun.clone() else { return Ok(()) };
        let request = DeleteRequest { namespace, name, uid: uid.clone(), grace_seconds: None };
        if let Err(status) = self.client.delete(request).await
            && self.is_there(&uid).await?
        {
            return Err(from_status(status));
        }
        self.until_gone(uid).await?;
        self.begun = None;
        Ok(())
    }

    async fn is_there(&mut self, uid: &str) -> Result<bool> {
        let request = ListRequest { uid: uid.to_owned(), ..ListRequest::default() };
        Ok(!self.client.list(request).await.map_err(from_status)?.into_inner().pods.is_empty())
    }

    async fn until_gone(&mut self, uid: String) -> Result<()> {
        let request = ListRequest { uid, ..ListRequest::default() };
        let mut changes = self.client.watch(request).await.map_err(from_status)?.into_inner();
        let mut is_there = false;
        while let Some(change) = changes.message().await.map_err(from_status)? {
            match change.kind() {
                watch_response::Kind::Present => is_there = true,
                watch_response::Kind::Synced if is_there => {}
                watch_response::Kind::Synced | watch_response::Kind::Gone => return Ok(()),
            }
        }
        bail!("barepodd ended while a pod was ending; it goes on with that when it is back")
    }
}

fn why(pod: &barepod_api::v1::Pod) -> String {
    let container = pod.containers.first().map(|container| format!("{} {}", container.reason, container.message));
    let words = [pod.reason.clone(), pod.message.clone(), container.unwrap_or_default()];
    words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The denial, and the rule that would allow it.
fn denied(result: &PodResult, ground: &Ground) -> String {
    format!(
        "the pod that measures was denied: {} [{}]; for the time of the measurement, add to /etc/barepod/policy.yaml:\n\
         \x20 - name: bench\n\
         \x20   subjects: {{sources: [file], namespaces: [{}], users: [root]}}\n\
         \x20   verbs: [apply]\n\
         \x20   allow: {{presets: [host], commands: [/bin/sh], users: [preset], hostPaths: [{{pathPrefix: {}}}]}}",
        result.message,
        result.denied_reason,
        result.namespace,
        ground.measured().display(),
    )
}

/// Without a request for CPU it would have the least weight there is, and a bare process has that of a whole CPU.
fn manifest(namespace: &str, ground: &Ground, task: &Task) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": format!("bench-disk-{}", std::process::id()), "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [{
                "name": "task",
                "image": "host",
                "command": ["/bin/sh", "-c", task.0],
                "env": [{"name": "PLACE", "value": INSIDE}],
                "resources": {"requests": {"cpu": "1"}},
                "volumeMounts": [{"name": "ground", "mountPath": INSIDE}],
            }],
            "volumes": [{"name": "ground", "hostPath": {"path": ground.path(), "type": "Directory"}}],
        },
    })
}
