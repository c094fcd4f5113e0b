//! Tasks end: because Nomad stops them, or because nothing of them is wanted any more.

use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1::{Binder, DeleteRequest, EndRequest, MissingRequest, SignalRequest, end_request};
use nix::sys::signal::Signal;
use tonic::{Code, Status};

use crate::config::OnStop;
use crate::daemon::Daemon;
use crate::outcome::Outcome;
use crate::start::Hands;
use crate::table::Task;

/// Stops a task, or lets go of it. Answered when it has ended. What its preset needs to end well it gets, whatever the client's
/// limit is; while the daemon is away the task runs on.
///
/// # Errors
/// The daemon refuses, or there is no such signal.
pub(crate) async fn stop(hands: &Hands, id: &str, timeout: Duration, with: &str) -> Result<(), Status> {
    // One that is not known, or has ended, is stopped already.
    let Some(task) = hands.table.get(id).filter(|task| task.ended().is_none()) else { return Ok(()) };
    if task.kept.on_stop == OnStop::Detach {
        return detach(&hands.daemon, &task).await;
    }
    if !with.is_empty() && !task.kept.adopted {
        signal(&hands.daemon, &task, with).await?;
        if tokio::time::timeout(timeout, task.wait()).await.is_ok() {
            return Ok(());
        }
    }
    match task.kept.adopted {
        true => delete(&hands.daemon, &task).await?,
        false => end(&hands.daemon, &task.kept.pod.uid, timeout).await?,
    }
    task.wait().await;
    Ok(())
}

/// The pod runs on, and the task is over. It is shown as an orphan if nobody takes it over.
async fn detach(daemon: &Daemon, task: &Task) -> Result<(), Status> {
    tracing::info!(task = task.config.id, pod = task.kept.pod.name, "the task lets go of its pod, which runs on");
    task.end(Outcome::default());
    task.over.cancel();
    if !task.kept.adopted {
        let uid = task.kept.pod.uid.clone();
        daemon.client().missing(MissingRequest { uid, binder: Binder::Nomad.into() }).await.ok();
    }
    Ok(())
}

/// An adopted pod whose job says that it ends with its task.
async fn delete(daemon: &Daemon, task: &Task) -> Result<(), Status> {
    let pod = &task.kept.pod;
    let request = DeleteRequest {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        grace_seconds: None,
    };
    let ask = |mut client: barepod_api::v1::barepod_client::BarepodClient<_>| {
        let request = request.clone();
        async move { client.delete(request).await }
    };
    match daemon.insist(ask).await {
        Err(status) if status.code() != Code::NotFound => Err(status),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Ends a pod of a task's own, with at least this grace; nothing if it has gone.
///
/// # Errors
/// The daemon refuses.
pub(crate) async fn end(daemon: &Daemon, uid: &str, grace: Duration) -> Result<(), Status> {
    let request = EndRequest {
        uid: uid.to_owned(),
        evidence: end_request::Evidence::TaskStopped.into(),
        grace_seconds: None,
        binder: Binder::Nomad.into(),
        least_grace_seconds: grace.as_secs(),
    };
    let ask = |mut client: barepod_api::v1::barepod_client::BarepodClient<_>| {
        let request = request.clone();
        async move { client.end(request).await }
    };
    daemon.insist(ask).await.map(drop)
}

/// Forgets a task, and ends what is left of its pod: in the background, for a daemon that is away must not hold up the client.
pub(crate) async fn destroy(hands: &Hands, id: &str) {
    let Some(task) = hands.table.take(id) else { return };
    if task.ended().is_some() {
        task.drained().await;
    }
    task.over.cancel();
    if task.kept.on_stop == OnStop::Stop && !task.kept.adopted {
        let (daemon, uid) = (hands.daemon.clone(), task.kept.pod.uid.clone());
        tokio::spawn(async move {
            if let Err(status) = end(&daemon, &uid, Duration::ZERO).await {
                tracing::warn!(uid, "what is left of a task's pod is not ended: {}", status.message());
            }
        });
    }
    task.end(Outcome::unknown("the task was destroyed"));
    hands.thrift.tell();
}

/// # Errors
/// There is no such signal, or the daemon refuses.
pub(crate) async fn signal(daemon: &Daemon, task: &Arc<Task>, name: &str) -> Result<(), Status> {
    let number = number(name).ok_or_else(|| Status::invalid_argument(format!("there is no signal {name:?}")))?;
    let pod = &task.kept.pod;
    let container = container(daemon, task)?;
    let request =
        SignalRequest { namespace: pod.namespace.clone(), name: pod.name.clone(), container, signal: number as i32 };
    daemon.client().signal(request).await.map(drop)
}

/// The container that stands for the task: its pod's first regular one.
///
/// # Errors
/// The pod is not shown.
pub(crate) fn container(daemon: &Daemon, task: &Task) -> Result<String, Status> {
    let seen = daemon.seen();
    let seen = seen.borrow();
    let pod = seen.pod(&task.kept.pod.uid);
    let regular =
        pod.and_then(|shown| shown.pod.containers.iter().find(|container| !container.init && !container.ephemeral));
    let name = regular.map(|container| container.name.clone());
    name.ok_or_else(|| Status::unavailable("the task's pod is not shown by barepodd now; try again"))
}

/// By its name, with or without SIG.
fn number(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_its_name() {
        assert_eq!(number("SIGHUP"), Some(Signal::SIGHUP));
        assert_eq!(number("usr1"), Some(Signal::SIGUSR1));
        assert_eq!(number("SIGNOTHING"), None);
    }
}
