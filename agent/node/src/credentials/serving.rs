//! The node's serving certificate: what the kubelet port shows who asks it.
//!
//! No cluster issues one by itself: somebody has to approve that this node may be reached by these names and addresses. While it
//! waits, the node says so: in its log, by an event and by a condition.

use std::time::Duration;

use barepod_api::v1;
use barepod_credentials::{Certificate, Identity, NodeName, SigningRequest, Store, Usage};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use super::LOOK;
use super::life::Life;
use super::request::{NotIssued, Wanted, ask};
use crate::call::call;
use crate::registration::Known;
use crate::{Daemon, Settings, node};

/// The node's condition: whether its port has a certificate.
const CONDITION: &str = "ServingCertificateReady";
/// A request that was refused is not made again at once: somebody had a reason.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// The daemon answers at once, or not now.
const LIMIT: Duration = Duration::from_secs(5);

/// Keeps the serving certificate.
pub(crate) struct Keeper {
    client: Client,
    store: Store,
    node: NodeName,
    current: watch::Sender<Option<Identity>>,
    life: Life,
}

/// What the cluster is told of it.
#[derive(Clone)]
struct Teller {
    client: Client,
    node: NodeName,
}

impl Keeper {
    pub(super) fn new(client: Client, store: Store, node: NodeName, current: watch::Sender<Option<Identity>>) -> Self {
        Self { client, store, node, current, life: Life::draw() }
    }

    pub(crate) async fn run(mut self, daemon: Daemon, settings: Settings, mut known: watch::Receiver<Option<Known>>) {
        // Who approves compares with the Node.
        if known.wait_for(Option::is_some).await.is_err() {
            return;
        }
        loop {
            let pause = match wanted(daemon.clone(), &settings, &self.node).await {
                Some(wanted) => self.look(&wanted).await,
                None => LOOK,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn look(&mut self, wanted: &Wanted) -> Duration {
        let stored = match self.store.identity(Usage::Serving) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
        let now = Timestamp::now();
        let usable = stored.filter(|it| is_for(it.certificate(), wanted) && !it.certificate().is_expired(now));
        if let Some(identity) = &usable {
            self.publish(identity).await;
        }
        match &usable {
            Some(identity) if now < self.life.due(identity.certificate()) => LOOK,
            Some(_) | None => self.renew(wanted, usable.is_none()).await,
        }
    }

    async fn publish(&self, identity: &Identity) {
        let is_new = self.current.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(identity);
            *before = Some(identity.clone());
            is_new
        });
        if is_new {
            self.teller().is_there(identity.certificate()).await;
        }
    }

    fn teller(&self) -> Teller {
        Teller { client: self.client.clone(), node: self.node.clone() }
    }

    async fn renew(&mut self, wanted: &Wanted, is_without: bool) -> Duration {
        let teller = self.teller();
        let waits = {
            let teller = teller.clone();
            async move |request: &SigningRequest| teller.waits(request, is_without).await
        };
        match ask(&self.client, &self.store, wanted, waits).await {
            Ok(identity) => {
                tracing::info!(until = %identity.certificate().not_after, "the cluster has issued a serving certificate");
                self.life = Life::draw();
                self.publish(&identity).await;
                LOOK
            }
            Err(error @ NotIssued::Refused { .. }) => {
                tracing::warn!("there is no serving certificate: {error}");
                teller.condition("False", "Refused", &error.to_string()).await;
                AFTER_REFUSAL
            }
            Err(error) => {
                tracing::warn!("there is no serving certificate yet: {error}; trying again");
                LOOK
            }
        }
    }
}

/// For the names and addresses that the Node has.
async fn wanted(mut daemon: Daemon, settings: &Settings, name: &NodeName) -> Option<Wanted> {
    let host = tokio::time::timeout(LIMIT, daemon.host(v1::HostRequest {})).await.ok()?.ok()?.into_inner();
    let addresses = node::addresses(settings, &host);
    // A host's name that would do for no certificate is left out.
    let names: Vec<_> = host.name.parse::<NodeName>().iter().map(ToString::to_string).collect();
    let is_any = !addresses.is_empty() || !names.is_empty();
    is_any.then(|| Wanted { usage: Usage::Serving, node: name.clone(), names, addresses })
}

fn is_for(certificate: &Certificate, wanted: &Wanted) -> bool {
    certificate.names == wanted.names && certificate.addresses == wanted.addresses
}

impl Teller {
    /// Nobody has approved it so far.
    async fn waits(&self, request: &SigningRequest, is_without: bool) {
        let what = match is_without {
            true => "the kubelet port has no certificate yet",
            false => "the certificate of the kubelet port ends soon",
        };
        let message = format!("{what}: the request waits for somebody to approve it: {}", request.approval());
        tracing::warn!("{message}");
        if is_without {
            self.condition("False", "WaitsForApproval", &message).await;
        }
        self.event(&message).await;
    }

    async fn is_there(&self, certificate: &Certificate) {
        self.condition("True", "Issued", &format!("valid until {}", certificate.not_after)).await;
    }

    async fn condition(&self, status: &str, reason: &str, message: &str) {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({
            "type": CONDITION, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        let api: Api<Node> = Api::all(self.client.clone());
        if let Err(error) = call(api.patch_status(self.node.as_str(), &PatchParams::default(), &patch)).await {
            tracing::warn!("the node's condition {CONDITION} is not told: {error}");
        }
    }

    async fn event(&self, message: &str) {
        let reporter = Reporter { controller: "barepod".to_owned(), instance: Some(self.node.to_string()) };
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(self.node.to_string()),
            // As kubelet's events of a node, which `kubectl describe node` looks for.
            uid: Some(self.node.to_string()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: "ServingCertificateWaits".to_owned(),
            note: Some(message.to_owned()),
            action: "Request".to_owned(),
            secondary: None,
        };
        let publish = Recorder::new(self.client.clone(), reporter);
        if let Err(error) = call(publish.publish(&event, &about)).await {
            tracing::debug!("an event is lost: {error}");
        }
    }
}
