//! One pod: looks at what is, and does the next thing that brings both sides together.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barepod_api::v1::{self, end_request};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::Code;

use super::ephemeral::{self, Refusal};
use super::needs::Needs;
use super::state::{Evidence, State};
use super::{Context, desired, status};
use crate::call::{CallError, Pauses, call, sleep, within};
use crate::due::Due;
use crate::objects::Watch;
use crate::tokens::Owner;

/// Between tries of what was refused: a policy may change, a preset be installed.
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

/// So long what was said of an object's removal is taken for true.
const CONFIRM: Duration = Duration::from_secs(5);
/// So long nothing is told of a pod that only begins: mostly it is over before anybody has read it.
const BEGINNING: Duration = Duration::from_millis(500);
/// Who made a volume.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The provisioner of directories of barepod's nodes (`barepod-operator`).
const PROVISIONER: &str = "barepod.dev/local";

/// The claims of a pod, and what they are bound to.
#[derive(Debug, Default)]
struct Claims {
    objects: Vec<String>,
    provisioned: Vec<String>,
    /// A claim or its volume is not there yet.
    lacks_some: bool,
}

/// What is to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// News, or that an object changes.
    News,
    /// The same, or that so much time has passed.
    In(Duration),
    /// Nothing: it is over.
    Nothing,
}

impl Next {
    fn not_after(self, pause: Duration) -> Self {
        match self {
            Next::In(other) => Next::In(other.min(pause)),
            Next::News | Next::Nothing => Next::In(pause),
        }
    }
}

/// Why a step could not be done now.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Api(#[from] CallError),
    #[error("barepodd: {0}")]
    Daemon(String),
}

pub(crate) struct Worker {
    context: Arc<Context>,
    uid: String,
    news: watch::Receiver<State>,
    /// What it refers to, while it is here or is to be.
    watches: Vec<(crate::objects::Name, Watch)>,
    /// What the daemon has taken last, as a hash: the pod, and the objects that are watched.
    bound: Option<u64>,
    /// Why it does not take it.
    refused: Option<Refusal>,
    /// Ephemeral containers without which it has taken it, and why.
    left_out: BTreeMap<String, Refusal>,
    /// When these are offered again.
    offer: Option<Due>,
    /// When its tokens are asked for anew.
    renew: Option<Due>,
    /// The grace that the daemon has been told of with the deletion.
    ended: Option<Option<u64>>,
    /// When its object was removed, or was said to be gone: the watch will show it.
    removed: Option<Instant>,
    /// The resource version of the object after the last status that was told, and that status.
    told: Option<(Option<String>, u64)>,
    /// When it was first seen here.
    begun: Option<Instant>,
    pauses: Pauses,
    refusals: Pauses,
}

impl Worker {
    pub(crate) fn new(context: Arc<Context>, uid: &str, news: watch::Receiver<State>) -> Self {
        Self {
            context,
            uid: uid.to_owned(),
            news,
            watches: Vec::new(),
            bound: None,
            refused: None,
            left_out: BTreeMap::new(),
            offer: None,
            renew: None,
            ended: None,
            removed: None,
            told: None,
            begun: None,
            pauses: Pauses::default(),
            refusals: Pauses::up_to(LONGEST_REFUSAL),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let state = self.news.borrow_and_update().clone();
            let next = match self.step(&state).await {
                Ok(next) => {
                    self.pauses.reset();
                    next
                }
                Err(error) => {
                    tracing::warn!(uid = self.uid, "a pod is not up to date: {error}; trying again");
                    Next::In(self.pauses.pause())
                }
            };
            let pause = match next {
                Next::Nothing => return,
                Next::News => None,
                Next::In(pause) => Some(pause),
            };
            let Self { news, watches, .. } = &mut self;
            // Each branch is cancel-safe: what has changed stays seen as changed until it is looked at.
            tokio::select! {
                news = news.changed() => if news.is_err() { return },
                () = any_changed(watches) => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn step(&mut self, state: &State) -> Result<Next, StepError> {
        if !state.asked {
            return Ok(Next::News);
        }
        match (&state.api, &state.here) {
            (None, None) => Ok(Next::Nothing),
            (None, Some(here)) => self.without_object(state, here).await,
            (Some(pod), _) if pod.metadata.deletion_timestamp.is_some() => self.delete(pod, state).await,
            // It has ended, and what ended does not come back.
            (Some(pod), None) if status::is_terminal(pod) => Ok(Next::News),
            (Some(pod), here) => self.keep(pod, here.as_deref()).await,
        }
    }

    /// The API server has no object of it.
    async fn without_object(&mut self, state: &State, here: &v1::Pod) -> Result<Next, StepError> {
        self.watches.clear();
        if here.deletion.is_some() {
            return Ok(Next::News);
        }
        match state.evidence {
            Some(Evidence::Deleted) => self.end(end_request::Evidence::Deleted, None).await.map(drop)?,
            Some(Evidence::Replaced) => self.end(end_request::Evidence::Replaced, None).await.map(drop)?,
            None if state.listed => {
                self.bound = None;
                let request = v1::MissingRequest { uid: self.uid.clone(), ..v1::MissingRequest::default() };
                self.context.daemon.clone().missing(request).await.map_err(daemon_error)?;
            }
            None => {}
        }
        Ok(Next::News)
    }

    /// Whether there is anything of it.
    async fn end(&self, evidence: end_request::Evidence, grace: Option<u64>) -> Result<bool, StepError> {
        let uid = self.uid.clone();
        let evidence = evidence.into();
        let request = v1::EndRequest { uid, evidence, grace_seconds: grace, ..v1::EndRequest::default() };
        let answer = self.context.daemon.clone().end(request).await.map_err(daemon_error)?;
        Ok(answer.into_inner().present)
    }

    // ---- a pod that is deleted ----

    async fn delete(&mut self, pod: &Pod, state: &State) -> Result<Next, StepError> {
        self.watches.clear();
        // Meanwhile its own last status may come by, which is no reason to remove it again.
        let left = self.removed.map(|at| CONFIRM.saturating_sub(at.elapsed())).filter(|left| !left.is_zero());
        if let Some(left) = left {
            return Ok(Next::In(left));
        }
        let grace = grace(pod);
        if state.here.is_none() || self.ended != Some(grace) {
            // Asked even if nothing of it was shown: what was bound a moment ago may not have been.
            let present = self.end(end_request::Evidence::DeletionTimestamp, grace).await?;
            self.ended = Some(grace);
            if !present {
                let last = state.last.as_ref().or(state.here.as_ref()).map(|last| status::of(last, &self.addresses()));
                return self.finish(pod, last).await;
            }
        }
        if let Some(here) = &state.here {
            self.tell(pod, &status::of(here, &self.addresses())).await?;
        }
        Ok(Next::News)
    }

    /// Nothing of it is left: first its end is told, then its object goes.
    async fn finish(&mut self, pod: &Pod, last: Option<Value>) -> Result<Next, StepError> {
        if !status::is_terminal(pod) {
            match self.tell(pod, &status::ended(last, pod.metadata.generation)).await {
                // What is gone needs no status.
                Err(StepError::Api(error)) if error.is_not_found() || error.is_conflict() => {}
                told => told?,
            }
        }
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match call(self.api(pod).delete(&pod.name_any(), &parameters)).await {
            // The watch will say so. If it does not, it is asked for again.
            Ok(_) => {}
            // It is gone, or another has its name; or somebody says so.
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        self.removed = Some(Instant::now());
        Ok(Next::In(CONFIRM))
    }

    // ---- a pod that is wanted ----

    async fn keep(&mut self, pod: &Pod, here: Option<&v1::Pod>) -> Result<Next, StepError> {
        let is_over = here.is_some_and(|here| here.deletion.is_some());
        let next = if is_over { Next::News } else { self.bind(pod, here).await? };
        match (here, &self.refused) {
            (Some(here), _) => {
                self.pass_gates_on(pod, here).await?;
                let mut status = status::of(here, &self.addresses());
                let left = BEGINNING.saturating_sub(self.begun.get_or_insert_with(Instant::now).elapsed());
                if self.told.is_none() && status::is_beginning(&status) && !left.is_zero() {
                    return Ok(next.not_after(left));
                }
                ephemeral::complete(&mut status, pod, &self.left_out, self.refused.as_ref());
                self.tell(pod, &status).await?;
            }
            (None, Some(refusal)) => {
                let mut status = status::refused(pod, &refusal.0, &refusal.1, &self.addresses());
                ephemeral::complete(&mut status, pod, &self.left_out, Some(refusal));
                self.tell(pod, &status).await?;
            }
            (None, None) => {}
        }
        Ok(next)
    }

    /// Tells the daemon of it, if anything of it is new, or if the daemon has lost it.
    async fn bind(&mut self, pod: &Pod, here: Option<&v1::Pod>) -> Result<Next, StepError> {
        let needs = Needs::of(pod);
        self.watch(&needs);
        let objects = within(self.objects()).await?;
        let told = ephemeral::told(pod, here);
        let wanted = desired::pod(&told);
        let hash = hash_of(&(&wanted, &objects));
        let is_known = here.is_some_and(|here| here.reason != "Orphaned");
        let is_due = self.due().is_some_and(|left| left.is_zero());
        if self.bound == Some(hash) && is_known && !is_due {
            return Ok(self.until_due());
        }
        let claims = self.claims(pod, &needs).await?;
        let request = v1::BindRequest {
            pod: wanted,
            objects: [objects, claims.objects].concat(),
            tokens: self.tokens(pod, &needs).await?,
            provisioned_volumes: claims.provisioned,
            ..self.surroundings(pod, &needs).await?
        };
        let new = ephemeral::new(&told, here);
        match self.offer(&told, &new, request).await {
            Ok(left_out) => {
                self.refused = None;
                if left_out.is_empty() {
                    self.refusals.reset();
                }
                self.offer = (!left_out.is_empty()).then(|| Due::after(self.refusals.pause()));
                self.left_out = left_out;
            }
            Err(status) => return self.not_taken(pod, &status).await,
        }
        if claims.lacks_some {
            // A node may not watch claims.
            return Ok(Next::In(CONFIRM));
        }
        self.bound = Some(hash);
        Ok(self.until_due())
    }

    /// How long it is until the daemon must be told of it again, whatever is new.
    fn due(&self) -> Option<Duration> {
        self.renew.into_iter().chain(self.offer).map(Due::left).min()
    }

    fn until_due(&self) -> Next {
        self.due().map_or(Next::News, Next::In)
    }

    /// Tells the daemon of it, if need be without those of its new ephemeral containers that are refused: these.
    async fn offer(
        &self,
        told: &Pod,
        new: &[String],
        request: v1::BindRequest,
    ) -> Result<BTreeMap<String, Refusal>, tonic::Status> {
        let mut left_out = BTreeMap::new();
        match self.ask(request.clone()).await {
            Ok(()) => return Ok(left_out),
            Err(status) if new.is_empty() || !is_refusal(&status) => return Err(status),
            Err(_) => {}
        }
        let mut out: BTreeSet<_> = new.iter().cloned().collect();
        let without = |out: &BTreeSet<String>| v1::BindRequest {
            pod: desired::pod(&ephemeral::without(told, out)),
            ..request.clone()
        };
        self.ask(without(&out)).await?;
        for name in new {
            out.remove(name);
            match self.ask(without(&out)).await {
                Ok(()) => {}
                Err(status) if is_refusal(&status) => {
                    let refusal = refusal_of(&status);
                    self.say_refused(told, name, &refusal);
                    left_out.insert(name.clone(), refusal);
                    out.insert(name.clone());
                }
                Err(status) => return Err(status),
            }
        }
        Ok(left_out)
    }

    async fn ask(&self, request: v1::BindRequest) -> Result<(), tonic::Status> {
        let answer = self.context.daemon.clone().bind(request).await?.into_inner();
        for warning in &answer.warnings {
            tracing::debug!(uid = self.uid, field = warning.field, "{}", warning.message);
        }
        Ok(())
    }

    fn say_refused(&self, pod: &Pod, container: &str, refusal: &Refusal) {
        if self.left_out.get(container) != Some(refusal) {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let (reason, message) = refusal;
            tracing::warn!(namespace, pod = name, container, reason, "an ephemeral container is not taken: {message}");
        }
    }

    async fn not_taken(&mut self, pod: &Pod, status: &tonic::Status) -> Result<Next, StepError> {
        if !is_refusal(status) {
            return Err(StepError::Daemon(status.message().to_owned()));
        }
        let refused = refusal_of(status);
        if self.refused.as_ref() != Some(&refused) {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            tracing::warn!(namespace, pod = name, reason = refused.0, "a pod is not taken: {}", refused.1);
            self.context.events.tell_refused(pod, &refused).await;
        }
        self.refused = Some(refused);
        Ok(Next::In(self.refusals.pause()))
    }

    /// All objects that it refers to. Waits until each is known, be it that there is none.
    async fn objects(&mut self) -> Vec<String> {
        let mut objects = Vec::new();
        for (_, watch) in &mut self.watches {
            objects.extend(watch.get().await.map(|object| object.to_string()));
        }
        objects
    }

    /// What a request says of the node and of the services.
    async fn surroundings(&self, pod: &Pod, needs: &Needs) -> Result<v1::BindRequest, StepError> {
        let namespace = pod.namespace().unwrap_or_default();
        let variables = within(self.context.services.variables(&namespace, needs.service_links)).await?;
        let node = self.context.node.borrow().clone().unwrap_or_default();
        Ok(v1::BindRequest {
            service_variables: variables.into_iter().collect(),
            node_name: self.context.settings.name.clone(),
            node_labels: node.labels.into_iter().collect(),
            node_addresses: node.addresses.iter().map(ToString::to_string).collect(),
            ..v1::BindRequest::default()
        })
    }

    fn watch(&mut self, needs: &Needs) {
        self.watches.retain(|(name, _)| needs.objects.contains(name));
        for name in &needs.objects {
            if !self.watches.iter().any(|(known, _)| known == name) {
                self.watches.push((name.clone(), self.context.objects.watch(name)));
            }
        }
    }

    /// Claims, and the volumes they are bound to. What is not there yet is waited for by the daemon.
    async fn claims(&self, pod: &Pod, needs: &Needs) -> Result<Claims, StepError> {
        let client = &self.context.client;
        let claims: Api<PersistentVolumeClaim> = namespaced(client, pod);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let mut found = Claims::default();
        for name in &needs.claims {
            let Some(claim) = call(claims.get_opt(name)).await? else {
                found.lacks_some = true;
                continue;
            };
            found.objects.push(desired::claim(&claim).to_string());
            let volume = claim.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty());
            let volume = match volume {
                Some(name) => call(volumes.get_opt(&name)).await?,
                None => None,
            };
            let Some(volume) = volume else {
                found.lacks_some = true;
                continue;
            };
            if volume.annotations().get(PROVISIONED_BY).is_some_and(|by| by == PROVISIONER) {
                found.provisioned.push(volume.name_any());
            }
            found.objects.push(desired::volume(&volume).to_string());
        }
        Ok(found)
    }

    async fn tokens(&mut self, pod: &Pod, needs: &Needs) -> Result<Vec<v1::ServiceAccountToken>, StepError> {
        let owner = Owner {
            namespace: pod.namespace().unwrap_or_default(),
            service_account: needs.service_account.clone(),
            pod: pod.name_any(),
            uid: self.uid.clone(),
        };
        let mut tokens = Vec::new();
        self.renew = None;
        for wanted in &needs.tokens {
            let token = self.context.tokens.get(&self.context.client, &owner, wanted).await?;
            self.renew = self.renew.into_iter().chain([token.renew]).min_by_key(|due| due.left());
            tokens.push(v1::ServiceAccountToken {
                audience: wanted.audience.clone(),
                expiration_seconds: wanted.expiration_seconds,
                token: token.text.into_bytes(),
            });
        }
        Ok(tokens)
    }

    /// Conditions that others have set and this pod's readiness waits for.
    async fn pass_gates_on(&self, pod: &Pod, here: &v1::Pod) -> Result<(), StepError> {
        let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
        let object: Value = serde_json::from_str(&here.object).unwrap_or_default();
        for gate in gates {
            let kind = &gate.condition_type;
            let known = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let wanted = known.into_iter().find(|condition| condition.type_ == *kind);
            let is = object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == **kind);
            let is = is.and_then(|condition| condition["status"].as_str()).unwrap_or_default();
            if is == wanted.map_or("", |condition| condition.status.as_str()) {
                continue;
            }
            let request = v1::SetConditionRequest {
                namespace: here.namespace.clone(),
                name: here.name.clone(),
                r#type: kind.clone(),
                status: wanted.map(|condition| condition.status.clone()).unwrap_or_default(),
                reason: wanted.and_then(|condition| condition.reason.clone()).unwrap_or_default(),
                message: wanted.and_then(|condition| condition.message.clone()).unwrap_or_default(),
            };
            self.context.daemon.clone().set_condition(request).await.map_err(daemon_error)?;
        }
        Ok(())
    }

    // ---- status ----

    /// Makes the API server's status this one.
    async fn tell(&mut self, pod: &Pod, status: &Value) -> Result<(), StepError> {
        let hash = hash_of(&status.to_string());
        let version = pod.resource_version();
        if self.told.as_ref().is_some_and(|(told, last)| *last == hash && (told.is_none() || *told == version)) {
            return Ok(());
        }
        let Some(patch) = status::patch(pod.status.as_ref(), status) else {
            self.told = Some((version, hash));
            return Ok(());
        };
        tracing::debug!(uid = self.uid, "tells {patch}");
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.uid}, "status": patch}));
        match call(self.api(pod).patch_status(&pod.name_any(), &PatchParams::default(), &patch)).await {
            Ok(told) => {
                self.told = Some((told.resource_version(), hash));
                Ok(())
            }
            // Its object is gone, or is another pod's: the watch will say so, if that is true.
            Err(error) if error.is_final() => {
                tracing::error!(uid = self.uid, "the API server does not take a status: {error}");
                self.told = Some((version, hash));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.context.node.borrow().as_ref().map(|node| node.addresses.clone()).unwrap_or_default()
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        namespaced(&self.context.client, pod)
    }
}

fn namespaced<K>(client: &Client, pod: &Pod) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default())
}

/// The grace of a deletion. One that is the pod's own was filled in by the API server, or might have been: it is left to
/// the daemon, which knows what the preset needs.
fn grace(pod: &Pod) -> Option<u64> {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let given = pod.metadata.deletion_grace_period_seconds.filter(|given| Some(*given) != own)?;
    u64::try_from(given).ok()
}

fn daemon_error(status: tonic::Status) -> StepError {
    StepError::Daemon(status.message().to_owned())
}

/// The daemon understood, and will say the same again as long as nothing changes.
fn is_refusal(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition)
}

fn refusal_of(status: &tonic::Status) -> Refusal {
    (barepod_api::reason_of(status).unwrap_or("Refused").to_owned(), status.message().to_owned())
}

/// Returns when one of them has changed; never, if there is none.
async fn any_changed(watches: &mut [(crate::objects::Name, Watch)]) {
    if watches.is_empty() {
        return std::future::pending().await;
    }
    let changes = watches.iter_mut().map(|(_, watch)| Box::pin(watch.changed()));
    futures::future::select_all(changes).await;
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_that_the_api_server_filled_in_is_not_given() {
        let pod = |own: i64, given: Option<i64>| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "deletionGracePeriodSeconds": given},
                "spec": {"containers": [], "terminationGracePeriodSeconds": own},
            }))
            .unwrap()
        };
        assert_eq!(grace(&pod(30, Some(30))), None);
        assert_eq!(grace(&pod(30, Some(5))), Some(5));
        assert_eq!(grace(&pod(30, None)), None);
    }
}
