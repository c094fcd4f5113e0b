//! From a pod as it is wanted to the shim's order to start an attempt of one of its containers.

use barepod_core::{AttemptKey, StartFailure};
use barepod_linux::cgroup::Leaf;
use barepod_linux::view::{self, Placement};
use barepod_linux::{ids, volumes};
use barepod_model::{Attempt, Container, ContainerKey, Launch, Pod, Reason};
use barepod_shim::wire;

use super::Host;
use super::ledger::chain;

/// Attempts whose logs are kept, the newest included.
const KEPT_LOGS: u32 = 5;

/// Least time between two rotations: twice what fluentd and fluent-bit wait before they leave a rotated file.
const LEAST_ROTATION_NS: u64 = 10_000_000_000;

/// Makes what an attempt needs on the host, and the order for its shim.
pub(super) fn plan(host: &Host, pod: &Pod, attempt: Attempt, key: &AttemptKey) -> Result<wire::Start, StartFailure> {
    let container = pod.containers.iter().find(|container| container.name == key.container);
    let Some(container) = container else {
        let message = format!("the pod has no container {}", key.container);
        return Err(failure(Reason::CreateContainerConfigError, message));
    };
    let key = key.container_key();
    let config = |error: &dyn std::error::Error| failure(Reason::CreateContainerConfigError, chain(error));
    let create = |error: &dyn std::error::Error| failure(Reason::CreateContainerError, chain(error));
    let placements = volumes::prepare_container(&host.dirs, pod, container).map_err(|e| config(&e))?;
    let view = view_of(host, &key, &container.launch, &placements)?;
    let log = log(host, pod, &key, attempt).map_err(|e| create(&e))?;
    let argv = arguments(&container.launch, &placements).map_err(|e| config(&e))?;
    let leaf = host.groups.make_leaf(&key, attempt).map_err(|e| create(&e))?;
    Ok(start(container, attempt, argv, cgroup(&leaf), view, log))
}

pub(super) fn failure(reason: Reason, message: String) -> StartFailure {
    StartFailure { reason, message }
}

fn view_of(
    host: &Host,
    key: &ContainerKey,
    launch: &Launch,
    placements: &[Placement],
) -> Result<wire::View, StartFailure> {
    let (hidden, secret) = (host.dirs.hidden(), host.dirs.secret());
    let (root, overlay) = (host.dirs.root(key), host.dirs.overlay(key));
    let request =
        view::Request { launch, placements, hidden: &hidden, secret: &secret, root: &root, overlay: &overlay };
    view::plan(&view::Host, &request).map_err(|error| failure(Reason::CreateContainerError, chain(&error)))
}

/// The main program, behind the init step where that has not been done.
fn arguments(launch: &Launch, placements: &[Placement]) -> std::io::Result<Vec<String>> {
    let main = launch.argv.iter().cloned();
    match &launch.init {
        Some(init) if !volumes::is_present(&launch.root, placements, &init.creates)? => {
            Ok(init.argv_prefix.iter().cloned().chain(main).collect())
        }
        Some(_) | None => Ok(main.collect()),
    }
}

/// The log's directory and its link, and what is too old gone.
fn log(host: &Host, pod: &Pod, key: &ContainerKey, attempt: Attempt) -> std::io::Result<wire::Log> {
    let directory = host.dirs.log_of(pod, key);
    fs_err::create_dir_all(&directory)?;
    link(host, pod, key, attempt)?;
    if let Some(old) = attempt.0.checked_sub(KEPT_LOGS) {
        forget(host, pod, key, Attempt(old));
    }
    Ok(wire::Log {
        directory: directory.display().to_string(),
        max_bytes: host.logs.max_size.0,
        max_files: host.logs.max_files,
        when_refused: wire::log::WhenRefused::DropOldest.into(),
        min_rotate_ns: LEAST_ROTATION_NS,
    })
}

/// `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`, where log forwarders look.
fn link(host: &Host, pod: &Pod, key: &ContainerKey, attempt: Attempt) -> std::io::Result<()> {
    let target = barepod_logs::files::current(&host.dirs.log_of(pod, key), attempt.0);
    let link = host.dirs.container_logs.join(ids::log_link(&pod.namespace, &pod.name, key, attempt));
    match std::os::unix::fs::symlink(target, link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes an old attempt's log. What cannot be removed is no reason not to start.
fn forget(host: &Host, pod: &Pod, key: &ContainerKey, attempt: Attempt) {
    let directory = host.dirs.log_of(pod, key);
    let link = host.dirs.container_logs.join(ids::log_link(&pod.namespace, &pod.name, key, attempt));
    let mut files = barepod_logs::files::rotated(&directory, attempt.0).unwrap_or_default();
    files.extend([barepod_logs::files::current(&directory, attempt.0), link]);
    for file in files {
        match fs_err::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an old log file stays");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

pub(super) fn cgroup(leaf: &Leaf) -> wire::Cgroup {
    let text = |path: &std::path::Path| path.display().to_string();
    wire::Cgroup {
        unified: text(&leaf.unified),
        legacy: leaf.legacy.iter().map(|path| text(path)).collect(),
        legacy_memory: leaf.legacy_memory.as_deref().map(text).unwrap_or_default(),
    }
}

pub(super) fn user(launch: &Launch) -> wire::User {
    wire::User { uid: launch.user.uid, gid: launch.user.gid, groups: launch.user.groups.clone() }
}

/// `NAME=value`, as exec takes them.
pub(super) fn environment(launch: &Launch) -> Vec<String> {
    launch.env.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn start(
    container: &Container,
    attempt: Attempt,
    argv: Vec<String>,
    cgroup: wire::Cgroup,
    view: wire::View,
    log: wire::Log,
) -> wire::Start {
    let launch = &container.launch;
    let rlimit =
        |limit: &barepod_model::Rlimit| wire::Rlimit { resource: limit.resource, soft: limit.soft, hard: limit.hard };
    wire::Start {
        attempt: attempt.0,
        argv,
        env: environment(launch),
        cwd: launch.cwd.display().to_string(),
        user: Some(user(launch)),
        cgroup: Some(cgroup),
        namespaces: Some(wire::Namespaces {
            mount: true,
            uts: true,
            ipc: !launch.namespaces.host_ipc,
            pid: !launch.namespaces.host_pid,
            cgroup: true,
        }),
        hostname: launch.hostname.clone(),
        view: Some(view),
        capabilities: launch.capabilities.clone(),
        no_new_privileges: launch.no_new_privileges,
        rlimits: launch.rlimits.iter().map(rlimit).collect(),
        oom_score_adj: launch.oom_score_adj,
        log: Some(log),
        tty: launch.tty,
        umask: 0,
    }
}
