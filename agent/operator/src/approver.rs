//! Approves serving certificates of nodes. Nobody else does: Kubernetes' own approver knows client certificates only.
//!
//! A node may have a certificate for the names and addresses that its Node object has, and for nothing else. Where something
//! does not fit, the request is left alone, for an administrator to judge, and an event says why. Nothing is ever denied.
//!
//! A Node's addresses are told by the node itself. A node that lies about them is given a certificate for its lies; who fears
//! that approves by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barepod_credentials::Requested;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

const SIGNER: &str = "kubernetes.io/kubelet-serving";
const COMPONENT: &str = "barepod-approver";
const GROUP: &str = "system:nodes";
const USER: &str = "system:node:";
/// What a serving certificate may be used for (`pkg/apis/certificates/helpers.go`), the last of which it must.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];
/// What does not fit may fit later: a node tells its addresses when they change.
const AGAIN: Duration = Duration::from_secs(30);
const AFTER_ERROR: Duration = Duration::from_secs(5);

struct Context {
    client: Client,
    recorder: Recorder,
    /// Why requests were left alone, by their UIDs: said once each.
    said: Mutex<BTreeMap<String, String>>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is decided on, or another's.
    Nothing,
    Approve,
    LeaveAlone(String),
}

/// Approves until it is dropped.
pub(crate) async fn run(client: Client) {
    let reporter = Reporter { controller: COMPONENT.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    let context = Arc::new(Context { client: client.clone(), recorder, said: Mutex::default() });
    let requests = Api::<CertificateSigningRequest>::all(client);
    let ours = watcher::Config::default().fields(&format!("spec.signerName={SIGNER}"));
    Controller::new(requests, ours)
        .run(reconcile, |_, _, _| Action::requeue(AFTER_ERROR), context)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::warn!("a request for a serving certificate waits: {error}");
            }
        })
        .await;
}

async fn reconcile(request: Arc<CertificateSigningRequest>, context: Arc<Context>) -> kube::Result<Action> {
    let node = match node_of(&request).filter(|_| is_open(&request)) {
        Some(name) => Api::<Node>::all(context.client.clone()).get_opt(name).await?,
        None => None,
    };
    match judge(&request, node.as_ref()) {
        Verdict::Nothing => Ok(Action::await_change()),
        Verdict::Approve => {
            context.approve(&request).await?;
            Ok(Action::await_change())
        }
        Verdict::LeaveAlone(why) => {
            context.leave_alone(&request, why).await;
            Ok(Action::requeue(AGAIN))
        }
    }
}

impl Context {
    async fn approve(&self, request: &CertificateSigningRequest) -> kube::Result<()> {
        let (name, now) = (request.name_any(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let condition = json!({
            "type": "Approved", "status": "True", "reason": "AddressesOfTheNode",
            "message": "its names and addresses are those of the Node that asks",
            "lastUpdateTime": now, "lastTransitionTime": now,
        });
        let patch = json!({
            "metadata": {"resourceVersion": request.resource_version()},
            "status": {"conditions": [condition]},
        });
        let requests = Api::<CertificateSigningRequest>::all(self.client.clone());
        requests.patch_subresource("approval", &name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        tracing::info!(request = name, user = request.spec.username, "approved");
        Ok(())
    }

    async fn leave_alone(&self, request: &CertificateSigningRequest, why: String) {
        let uid = request.uid().unwrap_or_default();
        let before = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, why.clone());
        if before.as_ref() == Some(&why) {
            return;
        }
        let name = request.name_any();
        let note = format!("not approved: {why}; `kubectl certificate approve {name}` does it all the same");
        tracing::info!(request = name, "{note}");
        let event = Event {
            type_: EventType::Warning,
            reason: "NotApproved".to_owned(),
            note: Some(note),
            action: "Approve".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &request.object_ref(&())).await {
            tracing::debug!("an event is lost: {error}");
        }
    }
}

fn is_open(request: &CertificateSigningRequest) -> bool {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    !conditions.into_iter().any(|condition| ["Approved", "Denied", "Failed"].contains(&condition.type_.as_str()))
}

/// The API server writes down who asks.
fn node_of(request: &CertificateSigningRequest) -> Option<&str> {
    request.spec.username.as_deref()?.strip_prefix(USER).filter(|name| !name.is_empty())
}

fn judge(request: &CertificateSigningRequest, node: Option<&Node>) -> Verdict {
    if request.spec.signer_name != SIGNER || !is_open(request) {
        return Verdict::Nothing;
    }
    match fits(request, node) {
        Ok(()) => Verdict::Approve,
        Err(why) => Verdict::LeaveAlone(why),
    }
}

/// All that must be so; the first that is not.
fn fits(request: &CertificateSigningRequest, node: Option<&Node>) -> Result<(), String> {
    let spec = &request.spec;
    let user = spec.username.as_deref().unwrap_or_default();
    let name = node_of(request).ok_or_else(|| format!("{user:?} is no node"))?;
    if !spec.groups.iter().flatten().any(|group| group == GROUP) {
        return Err(format!("{user} is not of the group {GROUP}"));
    }
    usages(spec.usages.as_deref().unwrap_or_default())?;
    let requested = Requested::read(&spec.request.0).map_err(|error| error.to_string())?;
    if requested.common_name != user || requested.organizations != [GROUP] {
        let Requested { common_name, organizations, .. } = &requested;
        return Err(format!("it is for {common_name:?} of {organizations:?}, and {user} asks"));
    }
    let node = node.ok_or_else(|| format!("there is no Node {name}"))?;
    addresses(&requested, node)
}

fn usages(usages: &[String]) -> Result<(), String> {
    let [.., server] = USAGES;
    if let Some(other) = usages.iter().find(|usage| !USAGES.contains(&usage.as_str())) {
        return Err(format!("a serving certificate is of no use for {other:?}"));
    }
    if usages.iter().any(|usage| usage == server) { Ok(()) } else { Err(format!("it is not for {server:?}")) }
}

fn addresses(requested: &Requested, node: &Node) -> Result<(), String> {
    if requested.has_other_names {
        return Err("it has names that are neither of DNS nor addresses".to_owned());
    }
    if requested.names.is_empty() && requested.addresses.is_empty() {
        return Err("it has neither names nor addresses".to_owned());
    }
    let known = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let (addresses, names): (Vec<_>, Vec<_>) = known.partition(|known| known.type_.ends_with("IP"));
    let addresses: Vec<IpAddr> = addresses.iter().filter_map(|known| known.address.parse().ok()).collect();
    let foreign_name = requested.names.iter().find(|name| !names.iter().any(|known| known.address == **name));
    let foreign_address = requested.addresses.iter().find(|address| !addresses.contains(address));
    match foreign_name.cloned().or(foreign_address.map(ToString::to_string)) {
        Some(foreign) => Err(format!("{foreign} is not among the addresses of Node {}", node.name_any())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use barepod_credentials::{SigningRequest, Usage};
    use k8s_openapi::ByteString;
    use serde_json::Value;

    use super::*;

    fn node() -> Node {
        let addresses = json!([
            {"type": "InternalIP", "address": "10.1.2.3"},
            {"type": "InternalIP", "address": "fd00::3"},
            {"type": "Hostname", "address": "host-1"},
        ]);
        serde_json::from_value(json!({"metadata": {"name": "host-1"}, "status": {"addresses": addresses}})).unwrap()
    }

    /// As host-1 asks rightly, with these names.
    fn request(names: &[&str], addresses: &[&str]) -> CertificateSigningRequest {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let made = SigningRequest::new(Usage::Serving, &"host-1".parse().unwrap(), &names, &addresses).unwrap();
        let mut request: CertificateSigningRequest = serde_json::from_value(json!({
            "metadata": {"name": "a", "uid": "u"},
            "spec": {
                "request": "", "signerName": SIGNER, "usages": ["digital signature", "server auth"],
                "username": "system:node:host-1", "groups": ["system:nodes", "system:authenticated"],
            },
        }))
        .unwrap();
        request.spec.request = ByteString(made.request().as_bytes().to_vec());
        request
    }

    fn right() -> CertificateSigningRequest {
        request(&["host-1"], &["10.1.2.3", "fd00::3"])
    }

    fn why(request: &CertificateSigningRequest, node: Option<&Node>) -> String {
        match judge(request, node) {
            Verdict::LeaveAlone(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_node_gets_a_certificate_for_what_its_object_has() {
        assert_eq!(judge(&right(), Some(&node())), Verdict::Approve);
        assert_eq!(judge(&request(&[], &["10.1.2.3"]), Some(&node())), Verdict::Approve);
    }

    #[test]
    fn what_is_not_the_nodes_is_left_alone() {
        let node = node();
        for (names, addresses, foreign) in [
            (&["host-1"][..], &["10.1.2.4"][..], "10.1.2.4"),
            (&["host-2"], &["10.1.2.3"], "host-2"),
            // A name is no address, and an address no name.
            (&["10.1.2.3"], &[], "10.1.2.3"),
        ] {
            let said = why(&request(names, addresses), Some(&node));
            assert!(said.starts_with(&format!("{foreign} is not among")), "{said}");
        }
        assert!(why(&request(&[], &[]), Some(&node)).contains("neither"));
        assert_eq!(why(&right(), None), "there is no Node host-1");
    }

    #[test]
    fn who_is_no_node_or_another_one_is_left_alone() {
        let node = node();
        let as_user = |user: &str| {
            let mut request = right();
            request.spec.username = Some(user.to_owned());
            why(&request, Some(&node))
        };
        assert!(as_user("kubernetes-admin").contains("is no node"));
        assert!(as_user("system:node:").contains("is no node"));
        assert!(as_user("system:node:host-2").contains("host-2 asks"));
        let mut request = right();
        request.spec.groups = Some(vec!["system:authenticated".to_owned()]);
        assert!(why(&request, Some(&node)).contains("group"));
    }

    #[test]
    fn a_certificate_for_more_than_serving_is_left_alone() {
        let with = |usages: Value| {
            let mut request = right();
            request.spec.usages = serde_json::from_value(usages).unwrap();
            judge(&request, Some(&node()))
        };
        assert_eq!(with(json!(["digital signature", "key encipherment", "server auth"])), Verdict::Approve);
        for wrong in
            [json!(["digital signature", "server auth", "client auth"]), json!(["digital signature"]), json!([])]
        {
            assert!(matches!(with(wrong.clone()), Verdict::LeaveAlone(_)), "{wrong}");
        }
    }

    #[test]
    fn what_is_decided_or_anothers_is_none_of_its_business() {
        let mut request = right();
        request.spec.signer_name = "kubernetes.io/kube-apiserver-client-kubelet".to_owned();
        assert_eq!(judge(&request, Some(&node())), Verdict::Nothing);
        for kind in ["Approved", "Denied"] {
            let mut request = right();
            let conditions = json!({"conditions": [{"type": kind, "status": "True"}]});
            request.status = serde_json::from_value(conditions).unwrap();
            assert_eq!(judge(&request, Some(&node())), Verdict::Nothing);
        }
    }
}
