//! The pods that are here.

use std::time::Duration;

use barepod_api::v1;
use hyper::StatusCode;
use serde_json::value::RawValue;
use tonic::Status;

use crate::answer::{Answer, json, refused, text};
use crate::port::Port;
use crate::route::Target;

/// How long the daemon may take to say what is there.
const LIMIT: Duration = Duration::from_secs(10);
/// The source of pods that the cluster knows by their own names.
const KUBERNETES: &str = "kubernetes";

/// A v1/PodList.
#[derive(serde::Serialize)]
struct List {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Metadata,
    items: Vec<Box<RawValue>>,
}

#[derive(serde::Serialize)]
struct Metadata {}

/// All that are to be here.
pub(crate) async fn all(port: &Port) -> Answer {
    show(port, |_| true).await
}

/// Those of which something runs.
pub(crate) async fn running(port: &Port) -> Answer {
    show(port, |pod| pod.containers.iter().any(|container| container.state == "running")).await
}

async fn show(port: &Port, is_shown: impl Fn(&v1::Pod) -> bool) -> Answer {
    match list(port, v1::ListRequest::default()).await {
        Ok(pods) => {
            let shown = pods.into_iter().filter(is_shown);
            let items = shown.filter_map(|pod| RawValue::from_string(pod.object).ok()).collect();
            json(&List { kind: "PodList", api_version: "v1", metadata: Metadata {}, items })
        }
        Err(status) => refused(&status),
    }
}

/// The pod of this name that is meant: the living one, else the youngest of those that are ending. A mirror pod means the pod
/// of the host that it shows: the cluster has the node's name behind that one's.
///
/// # Errors
/// The daemon does not answer.
pub(crate) async fn find(port: &Port, namespace: &str, name: &str) -> Result<Option<v1::Pod>, Status> {
    let found = newest(named(port, namespace, name).await?);
    let own = name.strip_suffix(port.settings.node.as_str()).and_then(|name| name.strip_suffix('-'));
    match (found, own) {
        (None, Some(own)) => {
            let pods = named(port, namespace, own).await?;
            Ok(newest(pods.into_iter().filter(|pod| pod.source != KUBERNETES).collect()))
        }
        (found, _) => Ok(found),
    }
}

async fn named(port: &Port, namespace: &str, name: &str) -> Result<Vec<v1::Pod>, Status> {
    list(port, v1::ListRequest { namespace: namespace.to_owned(), name: name.to_owned(), uid: String::new() }).await
}

fn newest(pods: Vec<v1::Pod>) -> Option<v1::Pod> {
    let age = |pod: &v1::Pod| pod.created.map(|created| (created.seconds, created.nanos));
    pods.into_iter().max_by_key(|pod| (pod.deletion.is_none(), age(pod)))
}

/// Those that match.
///
/// # Errors
/// The daemon does not answer.
pub(crate) async fn list(port: &Port, filter: v1::ListRequest) -> Result<Vec<v1::Pod>, Status> {
    let mut daemon = port.daemon();
    match tokio::time::timeout(LIMIT, daemon.list(filter)).await {
        Ok(answer) => Ok(answer?.into_inner().pods),
        Err(_) => Err(Status::unavailable("barepodd does not answer")),
    }
}

/// A process is no container that could be frozen into a file and thawed elsewhere: said as kubelet says it where the
/// runtime cannot do it.
pub(crate) async fn checkpoint(port: &Port, target: &Target) -> Answer {
    let Target { namespace, pod: name, container, .. } = target;
    let pod = match find(port, namespace, name).await {
        Ok(Some(pod)) => pod,
        Ok(None) => return text(StatusCode::NOT_FOUND, "pod does not exist"),
        Err(status) => return refused(&status),
    };
    if !pod.containers.iter().any(|its| its.name == *container) {
        return text(StatusCode::NOT_FOUND, format!("container {container} does not exist"));
    }
    let why = "barepod does not checkpoint processes of the host";
    let message = format!("checkpointing of {namespace}/{name}/{container} failed ({why})");
    text(StatusCode::INTERNAL_SERVER_ERROR, message)
}
