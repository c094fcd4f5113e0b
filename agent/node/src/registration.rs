//! The node's place in the cluster: registered, kept true, and alive by its Lease.
//!
//! The figures are kubelet's: a Lease of 40 s renewed every 10 s, the status looked at every 10 s and told when it has
//! changed, or after five minutes. What the cluster has of the node is watched: of a thousand nodes, asking for it at each look
//! would be half of all that the API server is asked. A node that somebody has deleted is registered anew; its pods are not
//! touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barepod_api::v1;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::call::{CallError, call, within};
use crate::json::includes;
use crate::watching::watch_one;
use crate::{Daemon, Settings, chance, node};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// kubelet's `nodeLeaseDurationSeconds`.
const LEASE_SECONDS: i32 = 40;
/// A quarter of it, as kubelet has it, and `nodeStatusUpdateFrequency`.
const PERIOD: Duration = Duration::from_secs(10);
/// By so much longer at most, as with kubelet: nodes that an API server has made wait together do not go on together.
const SPREAD: f64 = 0.04;
/// `nodeStatusReportFrequency`.
const REPORT: Duration = Duration::from_secs(300);
/// How long the daemon may be silent: as long as the node itself may.
const PATIENCE: Duration = Duration::from_secs(LEASE_SECONDS.unsigned_abs() as u64);
/// After a failure it is tried sooner.
const AGAIN: Duration = Duration::from_secs(1);

/// The node as the cluster knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// What pods are reached by.
    pub(crate) addresses: Vec<std::net::IpAddr>,
}

/// The Node object: nothing is known of it yet, there is none, or as it was seen last.
type Seen = Option<Option<Arc<Node>>>;

/// What the status is looked at again for at once.
pub(crate) struct News {
    /// Where the kubelet port listens, if it does.
    pub(crate) port: watch::Receiver<Option<u16>>,
    /// That others have booked of this host, or given back: until it is told, a scheduler believes in what is gone.
    pub(crate) booked: watch::Receiver<()>,
}

pub(crate) struct Registration {
    client: Client,
    daemon: Daemon,
    settings: Settings,
    known: watch::Sender<Option<Known>>,
    seen: watch::Sender<Seen>,
    /// The API server answers again after it has not: what was seen before may be of long ago.
    back: Arc<Notify>,
    is_stale: bool,
    news: News,
    /// What was told last, and when it is told again though nothing is new.
    told: Option<(Value, Instant)>,
    /// Since when the daemon does not answer.
    silent_since: Option<Instant>,
}

impl Registration {
    pub(crate) fn new(client: Client, daemon: Daemon, settings: Settings, news: News) -> Self {
        let (known, seen) = (watch::Sender::new(None), watch::Sender::new(None));
        let back = Arc::default();
        Self { client, daemon, settings, known, seen, back, is_stale: false, news, told: None, silent_since: None }
    }

    /// The node, once it is registered.
    pub(crate) fn node(&self) -> watch::Receiver<Option<Known>> {
        self.known.subscribe()
    }

    pub(crate) async fn run(mut self) {
        let back = Arc::clone(&self.back);
        let lease = keep_lease(self.client.clone(), self.settings.name.clone(), self.known.subscribe(), &back);
        let seen = follow(Api::all(self.client.clone()), self.settings.name.clone(), self.seen.clone());
        let mut shutdown = watch_shutdown(self.daemon.clone());
        let status = async {
            loop {
                let pause = match self.look().await {
                    Ok(pause) => pause,
                    Err(error) => {
                        tracing::warn!(
                            node = self.settings.name,
                            "the node's status is not told: {error}; trying again"
                        );
                        AGAIN
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = changed(&mut shutdown) => {}
                    () = changed(&mut self.news.port) => {}
                    () = changed(&mut self.news.booked) => {}
                    () = self.back.notified() => self.is_stale = true,
                }
            }
        };
        tokio::join!(lease, seen, status);
    }

    /// When to look again.
    async fn look(&mut self) -> Result<Duration, CallError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let host = match tokio::time::timeout(PERIOD, self.daemon.host(v1::HostRequest {})).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return self.bear(&api, status.message()).await,
            Err(_) => return self.bear(&api, "barepodd does not answer").await,
        };
        self.silent_since = None;
        if self.is_stale {
            self.ask_anew(&api).await?;
        }
        match self.there().await? {
            Some(there) => self.keep(&api, there, &host).await?,
            None => self.register(&api, &host).await?,
        }
        Ok(PERIOD)
    }

    /// The object as it was seen last; waits until anything is known of it.
    async fn there(&self) -> Result<Option<Arc<Node>>, CallError> {
        let mut seen = self.seen.subscribe();
        let known = within(seen.wait_for(Option::is_some)).await?;
        // The sending end is held here.
        Ok(known.ok().and_then(|seen| seen.clone().flatten()))
    }

    /// Who was away was taken for dead, perhaps. Its watch may notice only later that it shows nothing any more.
    async fn ask_anew(&mut self, api: &Api<Node>) -> Result<(), CallError> {
        match call(api.get(&self.settings.name)).await {
            Ok(there) => drop(self.is_there(there)),
            Err(error) if error.is_not_found() => drop(self.seen.send_replace(Some(None))),
            Err(error) => return Err(error),
        }
        self.is_stale = false;
        Ok(())
    }

    /// An answer is as good as what the watch shows, and mostly sooner.
    fn is_there(&self, mut node: Node) -> Arc<Node> {
        node.managed_fields_mut().clear();
        let node = Arc::new(node);
        self.seen.send_replace(Some(Some(Arc::clone(&node))));
        node
    }

    /// A daemon that is being replaced is away for a moment, and its pods run on: only one that stays away makes the node
    /// unready, and with it, in the cluster's eyes, all its pods.
    async fn bear(&mut self, api: &Api<Node>, message: &str) -> Result<Duration, CallError> {
        let since = *self.silent_since.get_or_insert_with(|| {
            tracing::warn!(node = self.settings.name, "barepodd cannot be asked: {message}");
            Instant::now()
        });
        if since.elapsed() < PATIENCE {
            return Ok(AGAIN);
        }
        self.tell_not_ready(api, message).await?;
        Ok(PERIOD)
    }

    async fn register(&mut self, api: &Api<Node>, host: &v1::HostResponse) -> Result<(), CallError> {
        let object: Node =
            serde_json::from_value(node::object(&self.settings, host, *self.news.port.borrow_and_update()))
                .map_err(kube::Error::SerdeError)?;
        let there = match call(api.create(&PostParams::default(), &object)).await {
            Ok(there) => there,
            // It is there, whatever the watch says.
            Err(error) if error.is_conflict() => call(api.get(&self.settings.name)).await?,
            Err(error) => return Err(error),
        };
        tracing::info!(node = self.settings.name, uid = there.uid(), "registered");
        self.told = None;
        let there = self.is_there(there);
        self.keep(api, there, host).await
    }

    async fn keep(&mut self, api: &Api<Node>, there: Arc<Node>, host: &v1::HostResponse) -> Result<(), CallError> {
        let there = self.keep_metadata(api, there, host).await?;
        let known = Known {
            uid: there.uid().unwrap_or_default(),
            labels: there.labels().clone(),
            addresses: node::addresses(&self.settings, host),
        };
        self.known.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&known);
            *before = Some(known);
            is_new
        });
        let port = *self.news.port.borrow_and_update();
        let status = node::status(&self.settings, host, port, &conditions(&there), Timestamp::now());
        self.tell(api, status, &there).await
    }

    /// Labels and annotations that are the node's own; others' stay as they are.
    async fn keep_metadata(
        &self,
        api: &Api<Node>,
        there: Arc<Node>,
        host: &v1::HostResponse,
    ) -> Result<Arc<Node>, CallError> {
        let wanted = node::metadata(&self.settings, host);
        let is = json!({"name": there.name_any(), "labels": there.labels(), "annotations": there.annotations()});
        if includes(&is, &wanted) {
            return Ok(there);
        }
        let patch = Patch::Strategic(json!({"metadata": wanted}));
        Ok(self.is_there(call(api.patch(&self.settings.name, &PatchParams::default(), &patch)).await?))
    }

    /// What somebody else has made untrue is told again at once.
    async fn tell(&mut self, api: &Api<Node>, status: Value, there: &Node) -> Result<(), CallError> {
        let telling = node::telling(&status);
        let is_same = self.told.as_ref().is_some_and(|(told, _)| *told == telling);
        let is_told = is_same && self.told.as_ref().is_some_and(|(_, again)| Instant::now() < *again);
        let ready = |all: &[Value]| all.iter().find(|it| it["type"] == "Ready").map(|ready| ready["status"].clone());
        let holds = ready(&conditions(there)) == status["conditions"].as_array().and_then(|all| ready(all));
        if is_told && holds {
            return Ok(());
        }
        self.is_there(call(api.patch_status(&self.settings.name, &PatchParams::default(), &patch(status))).await?);
        self.told = Some((telling, Instant::now() + report(is_same)));
        Ok(())
    }

    async fn tell_not_ready(&mut self, api: &Api<Node>, message: &str) -> Result<(), CallError> {
        self.told = None;
        // Where there is none, there is nothing to be told of yet.
        let Some(there) = self.there().await? else { return Ok(()) };
        let status = node::not_ready(message, &conditions(&there), Timestamp::now());
        self.is_there(call(api.patch_status(&self.settings.name, &PatchParams::default(), &patch(status))).await?);
        Ok(())
    }
}

/// When a status is told again that does not change. After a change that is drawn, as kubelet does it (`calculateDelay`), so that
/// nodes that began together do not tell together.
fn report(is_same: bool) -> Duration {
    if is_same { REPORT } else { REPORT.mul_f64(0.5 + chance::part()) }
}

/// Keeps what is known of the Node object.
async fn follow(api: Api<Node>, name: String, seen: watch::Sender<Seen>) {
    let mut stream = std::pin::pin!(watch_one(api, &name));
    while let Some(item) = stream.next().await {
        match item {
            Ok(node) => {
                let lean = |mut node: Node| {
                    node.managed_fields_mut().clear();
                    Arc::new(node)
                };
                seen.send_replace(Some(node.map(lean)));
            }
            // What is known stands.
            Err(error) => tracing::warn!(node = name, "the node's object is not up to date: {error}; trying again"),
        }
    }
}

/// Whether the host goes down, as the daemon says: told to the cluster at once, for its scheduler should know.
fn watch_shutdown(mut daemon: Daemon) -> watch::Receiver<bool> {
    let (told, shown) = watch::channel(false);
    tokio::spawn(async move {
        while !told.is_closed() {
            let request = v1::ShutdownRequest { action: v1::shutdown_request::Action::Look.into() };
            if let Ok(answer) = daemon.shutdown(request).await {
                let mut states = answer.into_inner();
                while let Some(state) = states.message().await.unwrap_or_default() {
                    told.send_if_modified(|before| std::mem::replace(before, state.goes_down) != state.goes_down);
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    shown
}

/// Until it is another; for ever, if nobody will change it.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Lists are replaced, but for conditions, some of which are others'.
fn patch(mut status: Value) -> Patch<Value> {
    if let Some(addresses) = status.get_mut("addresses").and_then(Value::as_array_mut) {
        addresses.push(json!({"$patch": "replace"}));
    }
    Patch::Strategic(json!({"status": status}))
}

fn conditions(node: &Node) -> Vec<Value> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter_map(|condition| serde_json::to_value(condition).ok()).collect()
}

/// Renews the Lease while the node is registered, and says when that goes again after it has not. It belongs to the Node, and goes with it.
async fn keep_lease(client: Client, name: String, mut node: watch::Receiver<Option<Known>>, back: &Notify) {
    let api: Api<Lease> = Api::namespaced(client, LEASE_NAMESPACE);
    let mut has_failed = false;
    loop {
        let uid = match node.wait_for(Option::is_some).await {
            Ok(known) => known.as_ref().map(|known| known.uid.clone()).unwrap_or_default(),
            Err(_) => return,
        };
        let pause = match renew(&api, &name, &uid).await {
            Ok(()) => {
                if std::mem::take(&mut has_failed) {
                    back.notify_one();
                }
                PERIOD.mul_f64(1.0 + SPREAD * chance::part())
            }
            Err(error) => {
                has_failed = true;
                tracing::warn!(node = name, "the node's Lease is not renewed: {error}; trying again");
                AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(api: &Api<Lease>, name: &str, uid: &str) -> Result<(), CallError> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]);
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now});
    let object = json!({"metadata": {"name": name, "ownerReferences": owner}, "spec": spec});
    match call(api.patch(name, &PatchParams::default(), &Patch::Merge(&object))).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => {
            let lease: Lease = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            call(api.create(&PostParams::default(), &lease)).await.map(drop)
        }
        Err(error) => Err(error),
    }
}
