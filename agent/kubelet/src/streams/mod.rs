//! Where a connection becomes something else: exec, attach, port-forward; and run, which is an exec that is read to its end.
//!
//! The answer is given as soon as it is certain that there is somebody to talk to; what is refused after that, by the daemon,
//! the policy or the kernel, is told on the stream of errors, as kubelet has it. A stream holds the place of its connection,
//! and a connection to the daemon of its own.

mod call;
mod command;
pub(crate) mod forward;
mod run;

use std::sync::Arc;

use barepod_api::v1;
use barepod_streams::remote_command::Options;
use barepod_streams::{Refusal, Upgrade};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::answer::{Answer, refused, text, whole};
use crate::guests::Visit;
use crate::handlers::pods;
use crate::port::Port;
use crate::query::Query;
use crate::route::Target;

use call::{Attach, Call, Exec};
pub(crate) use run::run;

/// A process in a container.
pub(crate) async fn exec(
    port: &Port,
    request: Request<Incoming>,
    target: Target,
    query: Query,
    visit: Arc<Visit>,
) -> Answer {
    let message = |name: &str, _: &str| format!("container not found ({name:?})");
    command(port, request, &target, &query, visit, message, |pod, options| {
        Exec(v1::ExecStart {
            namespace: pod.namespace,
            name: pod.name,
            container: target.container.clone(),
            command: query.all("command").map(str::to_owned).collect(),
            tty: options.tty,
            stdin: options.stdin,
            size: None,
        })
    })
    .await
}

/// What a container's own process reads and writes.
pub(crate) async fn attach(
    port: &Port,
    request: Request<Incoming>,
    target: Target,
    query: Query,
    visit: Arc<Visit>,
) -> Answer {
    let message = |name: &str, pod: &str| format!("container {name} not found in pod {pod}");
    command(port, request, &target, &query, visit, message, |pod, options| {
        Attach(v1::AttachStart {
            namespace: pod.namespace,
            name: pod.name,
            container: target.container.clone(),
            stdin: options.stdin,
            size: None,
        })
    })
    .await
}

/// `message` says of a container and its pod that it is not there to be asked.
async fn command<C: Call + 'static>(
    port: &Port,
    request: Request<Incoming>,
    target: &Target,
    query: &Query,
    visit: Arc<Visit>,
    message: fn(&str, &str) -> String,
    call: impl FnOnce(v1::Pod, Options) -> C,
) -> Answer {
    let agreed = async {
        let options = options(query)?;
        let pod = running(port, target, message).await?;
        let upgrade = Upgrade::remote_command(request.headers()).map_err(not_upgraded)?;
        Ok::<_, Declined>((options, pod, upgrade))
    };
    let (options, pod, upgrade) = match agreed.await {
        Ok(agreed) => agreed,
        Err(answer) => return *answer,
    };
    let (call, daemon, answer) = (call(pod, options), port.daemon_for_stream(), switching(&upgrade));
    become_stream(request, visit, move |io| command::serve(io, upgrade, options, daemon, call));
    answer
}

/// Connections to a pod's ports.
pub(crate) async fn port_forward(
    port: &Port,
    request: Request<Incoming>,
    target: Target,
    query: Query,
    visit: Arc<Visit>,
) -> Answer {
    let agreed = async {
        let upgrade = Upgrade::port_forward(request.headers()).map_err(not_upgraded)?;
        let ports = if upgrade.has_channels() { forward::ports(&query)? } else { Vec::new() };
        let pod = find(port, &target).await?;
        if target.uid.as_ref().is_some_and(|uid| *uid != pod.uid) {
            return Err(declined(StatusCode::NOT_FOUND, "pod not found"));
        }
        Ok((upgrade, ports, pod))
    };
    let (upgrade, ports, pod) = match agreed.await {
        Ok(agreed) => agreed,
        Err(answer) => return *answer,
    };
    let daemon = port.daemon();
    let answer = switching(&upgrade);
    become_stream(request, visit, move |io| forward::serve(io, upgrade, ports, daemon, pod));
    answer
}

/// An answer that no stream follows.
type Declined = Box<Answer>;

fn declined(status: StatusCode, message: impl Into<bytes::Bytes>) -> Declined {
    Box::new(text(status, message))
}

fn options(query: &Query) -> Result<Options, Declined> {
    let names = ["input", "output", "error", "tty"];
    let pairs = names.map(|name| (name, query.first(name).unwrap_or_default()));
    Options::of_query(pairs).map_err(|error| declined(StatusCode::BAD_REQUEST, error.to_string()))
}

async fn find(port: &Port, target: &Target) -> Result<v1::Pod, Declined> {
    match pods::find(port, &target.namespace, &target.pod).await {
        Ok(Some(pod)) => Ok(pod),
        Ok(None) => Err(declined(StatusCode::NOT_FOUND, "pod does not exist")),
        Err(status) => Err(Box::new(refused(&status))),
    }
}

/// The pod, of which this container runs; else `message` of the container's name and the pod's.
async fn running(port: &Port, target: &Target, message: fn(&str, &str) -> String) -> Result<v1::Pod, Declined> {
    let pod = find(port, target).await?;
    let is_meant = target.uid.as_ref().is_none_or(|uid| *uid == pod.uid);
    let container = pod.containers.iter().find(|container| container.name == target.container);
    if is_meant && container.is_some_and(|container| container.state == "running") {
        return Ok(pod);
    }
    // As kubelet names a pod where it asks its runtime.
    let name = format!("{}_{}", target.pod, target.namespace);
    Err(declined(StatusCode::INTERNAL_SERVER_ERROR, message(&target.container, &name)))
}

fn not_upgraded(refusal: Refusal) -> Declined {
    let mut answer = text(refusal.status, refusal.message);
    answer.headers_mut().extend(refusal.headers);
    Box::new(answer)
}

fn switching(upgrade: &Upgrade) -> Answer {
    upgrade.response().map(|()| whole(bytes::Bytes::new()).boxed_unsync())
}

/// Once the answer is on its way, the connection is the stream's.
fn become_stream<F>(
    mut request: Request<Incoming>,
    visit: Arc<Visit>,
    serve: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        match hyper::upgrade::on(&mut request).await {
            Ok(upgraded) => serve(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a client did not wait for its connection to become a stream"),
        }
        drop(visit);
    });
}
