//! Tasks begin: anew, or known again.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1::{BindRequest, Binder, ListRequest, MayRequest};
use nix::unistd::User;
use tonic::Status;

use crate::config::{Config, Manifest, OnStop, What};
use crate::daemon::{Daemon, Link, words};
use crate::env::Agents;
use crate::fault::{Hope, fault, refused};
use crate::logs;
use crate::manifest::{Built, PodId, Surroundings, build};
use crate::meter::Meter;
use crate::outcome::{Begun, begun};
use crate::stop;
use crate::table::{Kept, Table, Task};
use crate::thrift::Thrift;
use crate::wire::driver::{TaskConfig, TaskHandle};

/// How long a start is watched. What takes longer, as init containers may, goes on as a task that runs.
const WATCHED: Duration = Duration::from_secs(30);
/// How long the daemon is waited for that has not been asked yet.
const REACHED: Duration = Duration::from_secs(3);
/// The largest manifest.
const LARGEST: u64 = 4 << 20;

/// What is at hand for tasks.
#[derive(Debug, Clone)]
pub(crate) struct Hands {
    pub(crate) daemon: Daemon,
    pub(crate) table: Table,
    pub(crate) meter: Meter,
    pub(crate) thrift: Thrift,
    /// Logs are passed on to the client.
    pub(crate) passes_logs: bool,
}

/// # Errors
/// Why the task cannot be started, and whether another try may help.
pub(crate) async fn start(hands: &Hands, task: TaskConfig, agents: &Agents) -> Result<TaskHandle, Status> {
    if let Some(known) = hands.table.get(&task.id) {
        return Ok(known.handle(task));
    }
    let cpu = match hands.daemon.link(REACHED).await {
        Link::Up(facts) => facts.cpu,
        link => return Err(fault(words(&link), Hope::Again)),
    };
    let config = Config::decode(&task.msgpack_driver_config).map_err(|error| fault(error.to_string(), Hope::None))?;
    let kept = match &config.what {
        What::Adopted { namespace, name } => adopt(hands, namespace, name, config.on_stop).await?,
        What::Container(_) | What::Pod(_) => place(hands, &task, &config, agents, cpu).await?,
    };
    let begun = Arc::new(Task::new((&task).into(), kept));
    hands.table.put(&begun);
    tracing::info!(task = task.id, pod = begun.kept.pod.name, uid = begun.kept.pod.uid, "a task has begun");
    look_after(hands, &begun, None);
    hands.thrift.tell();
    Ok(begun.handle(task))
}

/// A pod that is there.
async fn adopt(hands: &Hands, namespace: &str, name: &str, on_stop: OnStop) -> Result<Kept, Status> {
    let found = hands.daemon.find(namespace, name).await.map_err(|status| refused(&status))?;
    let pod = found.ok_or_else(|| {
        let message = format!("there is no pod {namespace}/{name} to adopt: see `barepod get pods -A` on this host");
        fault(message, Hope::Again)
    })?;
    alone(hands, &pod.uid)?;
    if on_stop == OnStop::Stop {
        // Said now, and not when the job ends and the pod does not.
        let request = MayRequest { verb: "delete".to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        hands.daemon.client().may(request).await.map_err(|status| refused(&status))?;
    }
    let pod = PodId { namespace: pod.namespace, name: pod.name, uid: pod.uid };
    Ok(Kept { pod, adopted: true, on_stop })
}

/// A pod has one task.
fn alone(hands: &Hands, uid: &str) -> Result<(), Status> {
    match hands.table.holder(uid) {
        None => Ok(()),
        Some(other) => {
            let message = format!("the pod is that of the task {}, which has not ended yet", other.config.id);
            Err(fault(message, Hope::Again))
        }
    }
}

/// A pod of the task's own.
async fn place(hands: &Hands, task: &TaskConfig, config: &Config, agents: &Agents, cpu: u64) -> Result<Kept, Status> {
    let wrong = |message: String| fault(message, Hope::None);
    let text = match &config.what {
        What::Pod(Manifest::Text(text)) => Some(text.clone()),
        What::Pod(Manifest::File(path)) => Some(read(task, path).map_err(wrong)?),
        What::Container(_) | What::Adopted { .. } => None,
    };
    let user = user(&task.user).map_err(wrong)?;
    let around = Surroundings { text: text.as_deref(), agents, cpu, user };
    let Built { pod, objects, id } = build(task, config, &around).map_err(|error| wrong(error.to_string()))?;
    alone(hands, &id.uid)?;
    let request = BindRequest {
        pod: pod.to_string(),
        objects: objects.iter().map(ToString::to_string).collect(),
        node_name: task.node_name.clone(),
        binder: Binder::Nomad.into(),
        ..BindRequest::default()
    };
    let bound = hands.daemon.client().bind(request).await.map_err(|status| refused(&status))?.into_inner();
    for warning in bound.warnings {
        tracing::warn!(task = task.id, field = warning.field, "{}", warning.message);
    }
    let kept = Kept { pod: id, adopted: false, on_stop: config.on_stop };
    if let Err(why) = runs(&hands.daemon, &kept.pod.uid).await {
        // One that outlives its allocation may have run for long before it was changed.
        if config.on_stop == OnStop::Stop {
            stop::end(&hands.daemon, &kept.pod.uid, Duration::ZERO).await?;
        }
        return Err(fault(why, Hope::Again));
    }
    Ok(kept)
}

/// Waits until a pod's processes run.
async fn runs(daemon: &Daemon, uid: &str) -> Result<(), String> {
    let mut seen = daemon.seen();
    let stands = |seen: &crate::daemon::Seen| seen.pod(uid).map(|pod| begun(pod));
    let settled = seen.wait_for(|seen| !matches!(stands(seen), None | Some(Begun::Waits(_))));
    let settled = tokio::time::timeout(WATCHED, settled).await.is_ok();
    let now = stands(&daemon.seen().borrow());
    match now {
        Some(Begun::Fails(why)) => Err(why),
        Some(Begun::Waits(why)) if !settled && !why.is_empty() => Err(why),
        // What is over so soon has run: how it ended is for who waits.
        Some(Begun::Runs | Begun::Over(_) | Begun::Waits(_)) | None => Ok(()),
    }
}

/// A file of the task's own directory, and of no other, wherever its links lead.
fn read(task: &TaskConfig, path: &str) -> Result<String, String> {
    let directory = Path::new(&task.alloc_dir).join(&task.name);
    let wrong = |error: &dyn std::fmt::Display| format!("config.pod_file {path:?}: {error}");
    let mut file = File::open(directory.join(path)).map_err(|error| wrong(&error))?;
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|error| wrong(&error))?;
    let directory = std::fs::canonicalize(&directory).map_err(|error| wrong(&error))?;
    if !real.starts_with(&directory) {
        return Err(wrong(&"it leads out of the task's directory: write a path as local/pod.yaml"));
    }
    let mut text = String::new();
    (&mut file).take(LARGEST).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    Ok(text)
}

/// A user of this host, by name or by number.
fn user(name: &str) -> Result<Option<(u32, Option<u32>)>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some((number, None)));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some((user.uid.as_raw(), Some(user.gid.as_raw())))),
        Ok(None) => Err(format!("user: there is no user {name:?} on this host")),
        Err(error) => Err(format!("user {name:?}: {error}")),
    }
}

/// Takes a task in that a client knows of; nothing if it is known here as well.
///
/// # Errors
/// It is not this driver's, or its pod is gone.
pub(crate) async fn recover(hands: &Hands, handle: TaskHandle) -> Result<(), Status> {
    let task = Arc::new(Task::of_handle(handle)?);
    if hands.table.get(&task.config.id).is_some() {
        return Ok(());
    }
    // While nothing can be known, a pod is taken to be there.
    if let Link::Up(_) = hands.daemon.link(REACHED).await {
        let uid = task.kept.pod.uid.clone();
        let pods = hands.daemon.client().list(ListRequest { uid, ..ListRequest::default() }).await;
        if pods.is_ok_and(|pods| pods.into_inner().pods.is_empty()) {
            return Err(Status::not_found(format!("the pod {} of the task is gone", task.kept.pod.name)));
        }
    }
    if hands.table.put(&task) {
        tracing::info!(task = task.config.id, pod = task.kept.pod.name, "a task is known again");
        look_after(hands, &task, Some(logs::told(&task.config)));
    }
    Ok(())
}

/// Sees how the task ends, and passes its logs on, from there on if that is said.
fn look_after(hands: &Hands, task: &Arc<Task>, since: Option<logs::Since>) {
    let (daemon, its) = (hands.daemon.clone(), Arc::clone(task));
    let over = task.over.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = over.cancelled() => {}
            outcome = daemon.outcome(&its.kept.pod.uid) => its.end(outcome),
        }
    });
    if hands.passes_logs {
        let since = since.unwrap_or(if task.kept.adopted { logs::Since::now() } else { logs::Since::default() });
        logs::pass_on(&hands.daemon, task, &since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_from_the_tasks_own_directory_only() {
        let directory = tempfile::tempdir().unwrap();
        let alloc_dir = directory.path().display().to_string();
        let task = TaskConfig { alloc_dir, name: "db".to_owned(), ..TaskConfig::default() };
        let local = directory.path().join("db/local");
        std::fs::create_dir_all(&local).unwrap();
        std::fs::write(local.join("pod.yaml"), "kind: Pod").unwrap();
        std::fs::write(directory.path().join("other"), "secret").unwrap();
        std::os::unix::fs::symlink(directory.path().join("other"), local.join("link")).unwrap();

        assert_eq!(read(&task, "local/pod.yaml").unwrap(), "kind: Pod");
        for outside in ["local/link", "../other", "/etc/hostname"] {
            assert!(read(&task, outside).unwrap_err().contains("out of the task's directory"), "{outside}");
        }
        assert!(read(&task, "local/none").unwrap_err().contains("local/none"));
    }

    #[test]
    fn a_user_is_known_by_name_or_by_number() {
        assert_eq!(user(""), Ok(None));
        assert_eq!(user("70"), Ok(Some((70, None))));
        assert_eq!(user("root"), Ok(Some((0, Some(0)))));
        assert!(user("nobody-here").unwrap_err().contains("nobody-here"));
    }
}
