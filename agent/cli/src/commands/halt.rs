//! `barepod stop` and `barepod start`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use barepod_api::v1::{ListRequest, Pod, StartRequest, StopRequest, watch_response};

use super::{Client, apply};
use crate::args::Halt;
use crate::output::print;
use crate::refusal::from_status;
use crate::target::{self, Target};

pub(super) async fn stop(mut client: Client, namespace: String, args: Halt) -> Result<ExitCode> {
    let mut stopping = Vec::new();
    for Target { namespace, name } in target::meant(&mut client, &namespace, &args.chosen).await? {
        let request = StopRequest { namespace, name: name.clone() };
        let answer = client.stop(request).await.map_err(from_status)?.into_inner();
        stopping.push((name, answer.uid, answer.verb));
    }
    for (name, uid, verb) in stopping {
        if !args.no_wait {
            within(&name, "has not stopped", args.timeout, until_stopped(&mut client, uid)).await?;
        }
        print(&format!("pod/{name} {}\n", if verb == "unchanged" { "is stopped already" } else { &verb }))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn start(mut client: Client, namespace: String, args: Halt) -> Result<ExitCode> {
    let mut starting = Vec::new();
    for Target { namespace, name } in target::meant(&mut client, &namespace, &args.chosen).await? {
        let request = StartRequest { namespace, name: name.clone() };
        let answer = client.start(request).await.map_err(from_status)?.into_inner();
        print(&format!("pod/{name} {}\n", if answer.verb == "unchanged" { "is not stopped" } else { &answer.verb }))?;
        starting.push((name, answer.uid));
    }
    for (name, uid) in starting.into_iter().filter(|_| !args.no_wait) {
        within(&name, "is not ready", args.timeout, apply::until_ready(&mut client, &uid)).await?;
        print(&format!("pod/{name} ready\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn within(name: &str, what: &str, seconds: u64, wait: impl Future<Output = Result<()>>) -> Result<()> {
    match tokio::time::timeout(Duration::from_secs(seconds), wait).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("pod/{name} {what} after {seconds} s; see `barepod describe {name}`"),
    }
}

async fn until_stopped(client: &mut Client, uid: String) -> Result<()> {
    let request = ListRequest { uid, ..ListRequest::default() };
    let mut changes = client.watch(request).await.map_err(from_status)?.into_inner();
    while let Some(change) = changes.message().await.map_err(from_status)? {
        if change.kind() == watch_response::Kind::Gone || change.pod.as_ref().is_some_and(has_stopped) {
            return Ok(());
        }
        if let Some(pod) = change.pod.filter(|pod| pod.stopped.is_none()) {
            bail!("pod/{} was started while it was waited for", pod.name);
        }
    }
    bail!("barepodd ended while the pod was stopping; it goes on with that when it is back")
}

fn has_stopped(pod: &Pod) -> bool {
    let rests = |reason: &str| reason != "ContainerCreating" && reason != "Recovering";
    pod.stopped.is_some() && pod.containers.iter().all(|it| it.state != "running" && rests(&it.reason))
}
