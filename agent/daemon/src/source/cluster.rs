//! The sources `kubernetes` and `nomad`: pods that a cluster or a Nomad client has bound to this host. The bridge and the task
//! driver tell of them; what they may ask for is checked here once more, as of every source.
//!
//! Nothing is kept: each `Bind` brings all that its pod refers to, and what is accepted is in the ledger.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Accepted, Denied, Event, Evidence, Input, PodView, Severity};
use barepod_manifest::{Cluster, HostFacts, Objects};
use barepod_model::{Pod, PodUid, Reason, Source};
use barepod_policy::Subject;
use barepod_reader::{Diagnostics, ReadPod, Reader};

use crate::board::{Board, is_named};
use crate::journal::Journal;
use crate::supervisor::{Handle, Request};

/// A pod as whoever has bound it has it, with all that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// The pod, as JSON.
    pub(crate) pod: String,
    /// ConfigMaps and the like, as JSON.
    pub(crate) objects: Vec<String>,
    /// What only a cluster has; `None` of a Nomad client.
    pub(crate) cluster: Option<Cluster>,
    /// The host as the cluster knows it.
    pub(crate) node: Node,
}

/// A host as a cluster knows it.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Why a pod is not taken.
#[derive(Debug)]
pub(crate) enum BindError {
    /// What is wrong with it, or cannot be done here.
    Invalid(Diagnostics),
    Denied(Denied),
}

impl From<Denied> for BindError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// The way to the source.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSource {
    pub(crate) reader: Arc<Reader>,
    pub(crate) supervisor: Handle,
    pub(crate) board: Arc<Board>,
    pub(crate) journal: Arc<Journal>,
}

impl ClusterSource {
    /// Accepts a pod, or what is new of it. Warnings come with the answer.
    pub(crate) async fn bind(&self, bound: Bound) -> Result<(Accepted, Diagnostics), BindError> {
        // Which pods there are must be known before it is asked whether this one is.
        self.supervisor.pulse().await;
        let (reader, board) = (Arc::clone(&self.reader), Arc::clone(&self.board));
        // Accounts and software of the host are looked at.
        let read = tokio::task::spawn_blocking(move || read(&reader, &board, bound)).await;
        let (ReadPod { pod, host }, warnings) = read.map_err(|error| {
            let message = format!("the pod could not be read: {error}");
            Denied { reason: Reason::NotReady, message }
        })??;
        self.end_predecessors(&pod).await?;
        if self.board.get(&pod.uid).is_some_and(|view| view.deletion.is_some()) {
            let message = format!("pod {}/{} is ending: nothing of it is changed any more", pod.namespace, pod.name);
            return Err(Denied { reason: Reason::PodTerminating, message }.into());
        }
        let uid = pod.uid.clone();
        // Asked for by nobody of this host.
        let subject = Subject { source: pod.source, user: None };
        let accepted = self.supervisor.ask(Request::Apply(Box::new(pod), subject)).await?;
        self.tell_of_host(&uid, host);
        Ok((accepted, warnings))
    }

    /// Pods that had the name before: whoever binds has one pod of a name. A younger one is no predecessor: what is bound then
    /// comes from an older copy of the cluster's store.
    async fn end_predecessors(&self, pod: &Pod) -> Result<(), Denied> {
        let is_other = |view: &Arc<PodView>| {
            is_named(view, pod.namespace.as_str(), pod.name.as_str())
                && view.uid != pod.uid
                && view.deletion.is_none()
                && is_of(pod.source, view)
        };
        for view in self.board.list().into_iter().filter(is_other) {
            if view.pod.as_deref().and_then(created) > created(pod) {
                let message = format!(
                    "a younger pod of this name runs here (UID {}), which the cluster no longer knows: is it an older copy \
                     of the cluster? Delete this pod if the younger one is right, or end that one with `barepod delete`",
                    view.uid
                );
                return Err(Denied { reason: Reason::NameTaken, message });
            }
            let request = Request::Delete { pod: view.uid.clone(), grace: None, evidence: Evidence::Replaced };
            self.supervisor.ask(request).await?;
        }
        Ok(())
    }

    fn tell_of_host(&self, uid: &PodUid, messages: Vec<String>) {
        if let Some(view) = self.board.get(uid) {
            for message in messages {
                let (severity, reason) = (Severity::Warning, Reason::HostCheckFailed);
                let event = Event { pod: uid.clone(), container: None, severity, reason, message };
                self.journal.add(event, Some(&view));
            }
        }
    }

    /// Ends a pod of this source for good reason; whether there is anything of it.
    pub(crate) async fn end(
        &self,
        (uid, source): (PodUid, Source),
        evidence: Evidence,
        grace: Grace,
    ) -> Result<bool, Denied> {
        self.supervisor.pulse().await;
        let Some(view) = self.board.get(&uid) else { return Ok(false) };
        not_foreign(source, &view)?;
        let grace = view.pod.as_deref().map_or(grace.given, |pod| grace.of(pod));
        self.supervisor.ask(Request::Delete { pod: uid, grace, evidence }).await?;
        Ok(true)
    }

    /// Whoever has bound a pod does not mention it, which proves nothing.
    pub(crate) async fn missing(&self, uid: PodUid, source: Source) -> Result<(), Denied> {
        self.supervisor.pulse().await;
        if let Some(view) = self.board.get(&uid) {
            not_foreign(source, &view)?;
            self.supervisor.tell(Input::Missing { pod: uid }).await;
        }
        Ok(())
    }
}

/// What a pod is given to end in its own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Grace {
    /// So long, whatever anybody else says.
    pub(crate) given: Option<Duration>,
    /// At least so long; zero if that is the pod's and its presets' to say.
    pub(crate) least: Duration,
}

impl Grace {
    /// The grace to be given with the deletion; `None` if it is the pod's own.
    fn of(self, pod: &Pod) -> Option<Duration> {
        let longest = pod.containers.iter().map(|container| container.stop.min_grace).fold(pod.grace, Duration::max);
        self.given.or_else(|| (self.least > pod.grace).then(|| longest.max(self.least)))
    }
}

/// A pod that cannot be read any more is nobody's.
fn is_of(source: Source, view: &PodView) -> bool {
    view.pod.as_ref().is_some_and(|pod| pod.source == source)
}

/// When the cluster made a pod: text that sorts by time.
fn created(pod: &Pod) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(&pod.manifest.0).ok()?;
    object["metadata"]["creationTimestamp"].as_str().map(str::to_owned)
}

fn not_foreign(source: Source, view: &PodView) -> Result<(), Denied> {
    if is_of(source, view) {
        return Ok(());
    }
    let message = format!("pod {} was not bound by {source}: only its own source ends it", view.uid);
    Err(Denied { reason: Reason::NotOwner, message })
}

fn read(reader: &Reader, board: &Board, bound: Bound) -> Result<(ReadPod, Diagnostics), BindError> {
    let Bound { pod, objects, cluster, node } = bound;
    let mut diagnostics = Diagnostics::default();
    let Some(found) = reader.read("pod", &pod, &mut diagnostics) else {
        return Err(BindError::Invalid(diagnostics));
    };
    let parsed = found.pods.into_iter().next().ok_or_else(|| no_pod("it is no v1/Pod"))?;
    let uid = uid_of(&pod)?;
    let mut known = Objects::default();
    // What is wrong with an object is as if it were missing, and said so.
    for object in objects {
        let found = reader.read("object", &object, &mut Diagnostics::default());
        found.into_iter().flat_map(|found| found.objects).for_each(|object| drop(known.insert(object)));
    }
    let facts = HostFacts { name: node.name, labels: node.labels, ..reader.facts() };
    let facts = match node.addresses.is_empty() {
        true => facts,
        false => HostFacts { addresses: node.addresses, ..facts },
    };
    let lives = board.get(&uid).is_some_and(|view| view.deletion.is_none());
    match reader.assemble_bound(parsed, uid, (&known, cluster.as_ref()), &facts, lives, &mut diagnostics) {
        Some(pod) => Ok((pod, diagnostics)),
        None => Err(BindError::Invalid(diagnostics)),
    }
}

fn uid_of(pod: &str) -> Result<PodUid, Denied> {
    let object: serde_json::Value = serde_json::from_str(pod).map_err(|error| no_pod(&error.to_string()))?;
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    PodUid::new(uid).map_err(|error| no_pod(&format!("metadata.uid: {error}")))
}

fn no_pod(message: &str) -> Denied {
    Denied { reason: Reason::InvalidValue, message: format!("what was bound cannot be read: {message}") }
}
