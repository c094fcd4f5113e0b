//! From a pod as it is wanted to the shim's order to start an attempt of one of its containers.

use std::path::Path;
use std::sync::Arc;

use barepod_core::{AttemptKey, StartFailure};
use barepod_linux::cgroup::Leaf;
use barepod_linux::sandbox::{self, Sandbox, pause};
use barepod_linux::view::{self, Placement, Witness};
use barepod_linux::{ids, volumes};
use barepod_model::{
    Attempt, Container, ContainerKey, ContainerKind, ContainerName, Launch, Pod, Reason, RestartPolicy, Root, Stdin,
};
use barepod_shim::wire;

use super::ledger::chain;
use super::{Host, confine, notify};
use crate::config::Config;

/// Attempts whose logs are kept, the newest included.
const KEPT_LOGS: u32 = 5;

/// Least time between two rotations: twice what fluentd and fluent-bit wait before they leave a rotated file.
const LEAST_ROTATION_NS: u64 = 10_000_000_000;

/// The order to start an attempt, as far as it can be worked out before it is given: groups, files, view.
#[derive(Debug)]
pub(super) struct Draft {
    key: AttemptKey,
    pod: Arc<Pod>,
    launch: Launch,
    placements: Vec<Placement>,
    start: wire::Start,
    witness: Witness,
    /// How often the kernel's list of mounts had changed by then.
    mounts: u64,
    /// What was in force.
    held: Arc<Config>,
    /// Whether a process may stand by for it.
    standby: bool,
}

impl Draft {
    /// Makes what an attempt needs on the host. The attempt before may still run.
    pub(super) fn make(host: &Host, pod: &Arc<Pod>, key: &AttemptKey) -> Result<Self, StartFailure> {
        let container = pod.containers.iter().find(|container| container.name == key.container);
        let Some(container) = container else {
            let message = format!("the pod has no container {}", key.container);
            return Err(failure(Reason::CreateContainerConfigError, message));
        };
        let (attempt, container_key) = (key.attempt, key.container_key());
        let mounts = host.mounts.generation();
        let held = host.settings.now();
        let mut placements = volumes::prepare_container(&host.dirs, pod, container, attempt, &held.cluster_dns)
            .map_err(|e| config(&e))?;
        if container.launch.notify.is_some() {
            placements.push(notify::placement(&host.dirs.shim(&container_key)).map_err(|e| create(&e))?);
        }
        let sandbox = sandbox::ensure(&host.dirs, pod).map_err(|e| create(&e))?;
        let (view, witness) = view_of(host, &container_key, &container.launch, &placements, &sandbox)?;
        let log = log(host, &held, pod, &container_key);
        let confinement = host
            .confining
            .of(container, held.seccomp_default, |message| host.warn(&container_key, Reason::Degraded, message))?;
        let leaf = host.groups.make_leaf(&container_key, attempt).map_err(|e| create(&e))?;
        let mut start = start(container, attempt, cgroup(&leaf), view, log, Kept { sandbox: &sandbox, confinement });
        start.oom_score_adj = host.oom_score_adj(pod, container);
        // Looked at again when the order comes.
        start.argv = arguments(&container.launch, &placements).map_err(|e| config(&e))?;
        let (key, pod, launch) = (key.clone(), Arc::clone(pod), container.launch.clone());
        let standby = may_stand_by(&pod, container);
        Ok(Self { key, pod, launch, placements, start, witness, mounts, held, standby })
    }

    /// Whether this start can be drafted while the attempt before runs: not if both would write to one layer, nor where
    /// there is no other.
    pub(super) fn is_possible(container: &Container) -> bool {
        let shares_no_layer = !matches!(container.launch.root, Root::Tree(_)) || container.launch.read_only_root;
        shares_no_layer && container.kind != ContainerKind::Ephemeral
    }

    /// Whether it is what this order means, and still right.
    pub(super) fn serves(&self, host: &Host, pod: &Arc<Pod>, key: &AttemptKey) -> bool {
        self.key == *key
            && Arc::ptr_eq(&self.pod, pod)
            && host.mounts.generation() == self.mounts
            && Arc::ptr_eq(&self.held, &host.settings.now())
            && self.witness.holds()
    }

    /// What its shim, which speaks this protocol, can do beforehand; `None` if nothing.
    pub(super) fn get_ready(&mut self, protocol: u32) -> Option<wire::GetReady> {
        let name = uuid::Uuid::new_v4().to_string();
        self.standby &= protocol >= wire::GO;
        self.start.ready.clone_from(&name);
        if self.standby {
            return Some(wire::GetReady { name, start: Some(self.start.clone()), ..wire::GetReady::default() });
        }
        (protocol >= wire::GET_READY).then(|| wire::GetReady {
            name,
            namespaces: self.start.namespaces,
            hostname: self.start.hostname.clone(),
            view: self.start.view.clone(),
            joined: self.start.joined.clone(),
            sysctls: self.start.sysctls.clone(),
            start: None,
        })
    }

    /// Whether a process stands by for it, if its shim could make one.
    pub(super) fn stands_by(&self) -> bool {
        self.standby
    }

    /// The order to the process that stands by; `None` if it would not do what is to be done now.
    pub(super) fn go(&self) -> Result<Option<wire::Go>, StartFailure> {
        volumes::take_ownership(&self.placements, &self.launch).map_err(|e| config(&e))?;
        let fits = arguments(&self.launch, &self.placements).map_err(|e| config(&e))? == self.start.argv;
        Ok(fits.then(|| wire::Go { attempt: self.start.attempt, ready: self.start.ready.clone() }))
    }

    /// Whether nothing has to be looked at in volumes, whose disks may be slow, before the order is given.
    pub(super) fn is_quick(&self) -> bool {
        self.launch.owned_dirs.is_empty() && self.launch.init.is_empty()
    }

    /// The order itself. What may have changed since, in the volumes or of the pod's first process, is looked at again.
    pub(super) fn finish(mut self, host: &Host) -> Result<wire::Start, StartFailure> {
        let container = self.pod.containers.iter().find(|container| container.name == self.key.container);
        if let Some(joined) = self.start.joined.as_mut().filter(|_| self.launch.namespaces.shared_pid) {
            let pod = &self.pod.uid;
            let first = pause::ensure(&host.shim_binary, &host.dirs.sandbox(pod), &host.groups.shim_leaf(pod));
            joined.pid = Some(first.map_err(|e| create(&e))?);
        } else if let (Some(joined), Some(target)) = (self.start.joined.as_mut(), container.and_then(target)) {
            joined.pid = Some(process_of(host, &self.pod, target)?);
        }
        if let Some(container) = container {
            host.limit(&self.pod, container).map_err(|e| create(&e))?;
        }
        volumes::take_ownership(&self.placements, &self.launch).map_err(|e| config(&e))?;
        let from_files = volumes::env_of_files(&host.dirs, &self.pod, &self.launch).map_err(|e| config(&e))?;
        self.start.env.extend(from_files);
        self.start.argv = arguments(&self.launch, &self.placements).map_err(|e| config(&e))?;
        Ok(self.start)
    }
}

/// The container in whose PID namespace this one is to live.
fn target(container: &Container) -> Option<&ContainerName> {
    container.ephemeral.as_ref()?.target.as_ref()
}

/// The main process of another container of the pod. One that does not run may yet be started.
fn process_of(host: &Host, pod: &Pod, container: &ContainerName) -> Result<wire::Process, StartFailure> {
    let key = ContainerKey { pod: pod.uid.clone(), container: container.clone() };
    let process = host.process(&key).ok_or_else(|| {
        let message = format!("its target, container {container}, does not run");
        failure(Reason::CreateContainerConfigError, message)
    })?;
    Ok(wire::Process { pid: process.pid, start_ticks: process.start_ticks })
}

/// Whether a process may wait for the container's next attempt: one that is likely to come, and only where it is nothing
/// to anybody else. A terminal, or an input, is its attempt's own; where processes are limited the container may have all
/// of them, and where they are shared others would see it.
fn may_stand_by(pod: &Pod, container: &Container) -> bool {
    let lasts = container.kind.lasts();
    let restarts = container.restart.policy.unwrap_or(pod.restart_policy) != RestartPolicy::Never;
    let launch = &container.launch;
    let is_closed = !launch.tty && launch.stdin == Stdin::Closed && !launch.namespaces.shared_pid;
    // files may say something else by then
    let is_known = launch.env_files.is_empty();
    lasts && restarts && is_closed && is_known && container.resources.pids_limit.is_none()
}

fn config(error: &dyn std::error::Error) -> StartFailure {
    failure(Reason::CreateContainerConfigError, chain(error))
}

fn create(error: &dyn std::error::Error) -> StartFailure {
    failure(Reason::CreateContainerError, chain(error))
}

pub(super) fn failure(reason: Reason, message: String) -> StartFailure {
    StartFailure { reason, message }
}

fn view_of(
    host: &Host,
    key: &ContainerKey,
    launch: &Launch,
    placements: &[Placement],
    sandbox: &Sandbox,
) -> Result<(wire::View, Witness), StartFailure> {
    let (hidden, secret) = (host.dirs.hidden(), host.dirs.secret());
    let (root, overlay) = (host.dirs.root(key), host.dirs.overlay(key));
    let request = view::Request {
        launch,
        placements,
        hidden: &hidden,
        secret: &secret,
        root: &root,
        overlay: &overlay,
        shared_memory: sandbox.shared_memory.as_deref(),
    };
    let (view, witness) = view::plan_witnessed(&request).map_err(|error| create(&error))?;
    // Copies of these are among the files made for it.
    let witness = ["/etc/hosts", "/etc/resolv.conf"].iter().fold(witness, |witness, file| witness.and(Path::new(file)));
    let profile = host.confining.file(launch);
    Ok((view, profile.iter().fold(witness, |witness, file| witness.and(file))))
}

/// The main program, behind the init steps that have not been done, in their order.
fn arguments(launch: &Launch, placements: &[Placement]) -> std::io::Result<Vec<String>> {
    let mut arguments = Vec::new();
    for step in &launch.init {
        if !volumes::is_present(&launch.root, placements, &step.creates)? {
            arguments.extend_from_slice(&step.argv_prefix);
        }
    }
    arguments.extend_from_slice(&launch.argv);
    Ok(arguments)
}

fn log(host: &Host, config: &Config, pod: &Pod, key: &ContainerKey) -> wire::Log {
    wire::Log {
        directory: host.dirs.log_of(pod, key).display().to_string(),
        max_bytes: config.log_max_size.0,
        max_files: config.log_max_files,
        when_refused: wire::log::WhenRefused::DropOldest.into(),
        min_rotate_ns: LEAST_ROTATION_NS,
    }
}

/// The link to an attempt's log, and what is too old gone. What does not succeed is no reason not to run.
pub(super) fn publish_log(host: &Host, pod: &Pod, key: &ContainerKey, attempt: Attempt) {
    if let Err(error) = link(host, pod, key, attempt) {
        host.warn(key, Reason::Degraded, &format!("log forwarders will not find its log: {error}"));
    }
    if let Some(old) = attempt.0.checked_sub(KEPT_LOGS) {
        forget(host, pod, key, Attempt(old));
    }
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

/// What holds and joins its processes.
struct Kept<'a> {
    sandbox: &'a Sandbox,
    confinement: wire::Confinement,
}

fn start(
    container: &Container,
    attempt: Attempt,
    cgroup: wire::Cgroup,
    view: wire::View,
    log: wire::Log,
    kept: Kept<'_>,
) -> wire::Start {
    let launch = &container.launch;
    let rlimit =
        |limit: &barepod_model::Rlimit| wire::Rlimit { resource: limit.resource, soft: limit.soft, hard: limit.hard };
    wire::Start {
        attempt: attempt.0,
        argv: Vec::new(),
        env: environment(launch).into_iter().chain(notify::environment(launch)).collect(),
        cwd: launch.cwd.display().to_string(),
        user: Some(user(launch)),
        cgroup: Some(cgroup),
        namespaces: Some(wire::Namespaces {
            mount: true,
            uts: false,
            ipc: false,
            pid: !launch.namespaces.host_pid && !launch.namespaces.shared_pid && target(container).is_none(),
            cgroup: true,
        }),
        hostname: launch.hostname.clone(),
        view: Some(view),
        capabilities: launch.capabilities.clone(),
        ambient_capabilities: launch.ambient_capabilities().to_vec(),
        no_new_privileges: launch.no_new_privileges,
        rlimits: launch.rlimits.iter().map(rlimit).collect(),
        oom_score_adj: 0,
        log: Some(log),
        tty: launch.tty,
        stdin: launch.stdin != Stdin::Closed,
        stdin_once: launch.stdin == Stdin::Once,
        umask: 0,
        ready: String::new(),
        joined: Some(joined(kept.sandbox)),
        notify: launch.notify.as_ref().map(notify::order),
        confinement: Some(kept.confinement),
        sysctls: confine::sysctls(launch),
    }
}

fn joined(sandbox: &Sandbox) -> wire::Joined {
    let text = |path: &Path| path.display().to_string();
    let ipc = sandbox.ipc.as_deref().map(text).unwrap_or_default();
    wire::Joined { ipc, uts: text(&sandbox.uts), pid: None }
}

/// The same for a shim that cannot join namespaces: the container gets its own.
pub(super) fn without_joined(start: &mut wire::Start) -> Result<(), StartFailure> {
    let Some(joined) = start.joined.take() else { return Ok(()) };
    if joined.pid.is_some() {
        let message =
            "its shim is of an older release and cannot share a PID namespace; restart the daemon to renew it";
        return Err(failure(Reason::CreateContainerError, message.to_owned()));
    }
    if let Some(namespaces) = &mut start.namespaces {
        namespaces.uts |= !joined.uts.is_empty();
        namespaces.ipc |= !joined.ipc.is_empty();
    }
    Ok(())
}
