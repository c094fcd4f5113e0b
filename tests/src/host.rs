//! A host of its own for one test: a scratch root, a cgroup of its own, a daemon in it, and the command line against it.
//!
//! When it is dropped, everything in that cgroup is killed and removed, whatever the daemon did or did not do.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::Scratch;
use crate::clock::Clock;
use crate::network::NetworkHost;
use crate::process::{self, Owned, ProcessError, tail};
use crate::programs::{self, Built};
use crate::sockets;
use crate::wait::{WaitedInVain, wait_for};

/// How long anything that should happen soon may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(60);

/// How long a command may take: the longest grace of any test's pod, and more.
const COMMAND: Duration = Duration::from_secs(180);

/// What went wrong with a host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or directory.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A program is not built.
    #[error(transparent)]
    Program(#[from] programs::ProgramError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something did not come to pass.
    #[error("{0}\n--- the daemon's last words:\n{1}")]
    Vain(WaitedInVain, String),
    /// The command line refused.
    #[error("barepod {args} ended with {status}: {stderr}")]
    Refused {
        /// Its arguments.
        args: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The daemon is root, and must not hold such a thing.
    #[error("barepodd holds sockets that are not of this host alone: {0:?}")]
    Sockets(Vec<String>),
    /// An answer is no JSON.
    #[error("an answer is no JSON")]
    Json(#[from] serde_json::Error),
}

/// A scratch host.
#[derive(Debug)]
pub struct Host {
    // Before the scratch directory, so that the daemon ends before its files go.
    daemon: Option<Owned>,
    cgroup: String,
    built: Built,
    daemon_args: Vec<String>,
    programs: Programs,
    network: Option<NetworkHost>,
    clock: Option<Clock>,
    scratch: Scratch,
}

/// Which binaries a host runs, where they are not those of its build.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// The daemon.
    pub daemon: Option<PathBuf>,
    /// The shim.
    pub shim: Option<PathBuf>,
    /// The prober.
    pub prober: Option<PathBuf>,
}

/// The policy of a scratch host: tests of everything else use powers that no default grants.
pub const ALLOW_ALL: &str = r#"apiVersion: barepod.dev/v1alpha1
kind: Policy
rules:
  - name: everything
    subjects: {sources: [file, kubernetes, nomad], namespaces: ["*"], users: ["*"]}
    verbs: ["*"]
    allow:
      presets: ["*"]
      commands: ["*"]
      users: [root, "*"]
      groups: [root, "*"]
      volumes: [emptyDir, persistentVolumeClaim, projected]
      hostPaths: [{pathPrefix: /}]
      devices: [/dev/**]
      capabilities: ["*"]
      allowPrivilegeEscalation: true
      privileged: true
      hostPID: true
      hostIPC: true
      procMount: [Unmasked]
      mountPropagation: [Bidirectional]
      seccompProfiles: [Unconfined, localhost/*]
      appArmorProfiles: [Unconfined, localhost/*]
      sysctls: ["*"]
      probeHosts: ["*"]
      hostPorts: [1-65535]
"#;

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Host {
    /// A scratch host without a daemon, of the programs built with this test. `config` is appended to its barepod.yaml.
    pub fn new(config: &str) -> Result<Self, HostError> {
        Self::of(Built::here()?, config)
    }

    /// The same where a pod's view shows what lies there, but for what is hidden of it: a directory for temporary files is
    /// each pod's own.
    pub fn in_view(config: &str) -> Result<Self, HostError> {
        Self::of_in_view(Built::here()?, config)
    }

    /// The same of the programs of another build.
    pub fn of_in_view(built: Built, config: &str) -> Result<Self, HostError> {
        Self::at(built, Scratch::within(Path::new("/var/lib"))?, config)
    }

    /// One where temporary files go, of the programs of another build.
    pub fn of(built: Built, config: &str) -> Result<Self, HostError> {
        Self::at(built, Scratch::new()?, config)
    }

    fn at(built: Built, scratch: Scratch, config: &str) -> Result<Self, HostError> {
        let cgroup = format!("barepod-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = scratch.join("etc/barepod");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("barepod.yaml"), format!("cgroup: {cgroup}\n{config}"))?;
        std::fs::write(directory.join("policy.yaml"), ALLOW_ALL)?;
        Ok(Self {
            daemon: None,
            cgroup,
            built,
            daemon_args: Vec::new(),
            programs: Programs::default(),
            network: None,
            clock: None,
            scratch,
        })
    }

    /// A scratch host with a running daemon.
    pub fn started(config: &str) -> Result<Self, HostError> {
        let mut host = Self::new(config)?;
        host.start()?;
        Ok(host)
    }

    /// Another policy, or none: the built-in one. Replaced in one stroke, as an editor saves.
    pub fn set_policy(&self, text: Option<&str>) -> Result<(), HostError> {
        let path = self.path("etc/barepod/policy.yaml");
        match text {
            Some(text) => {
                let new = path.with_extension("new");
                std::fs::write(&new, text)?;
                Ok(std::fs::rename(new, path)?)
            }
            None => Ok(std::fs::remove_file(path)?),
        }
    }

    /// Further arguments for the daemon from its next start on.
    pub fn set_daemon_args(&mut self, args: &[&str]) {
        self.daemon_args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// A path on the scratch host.
    pub fn path(&self, below: &str) -> PathBuf {
        self.scratch.join(below)
    }

    /// Name of its group below each hierarchy's root.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) -> Result<(), HostError> {
        self.launch()?;
        self.until("the daemon to answer", SOON, |host| host.barepod(&["version"]).is_ok().then_some(()))
    }

    /// Starts the daemon and waits for nothing.
    pub fn launch(&mut self) -> Result<(), HostError> {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.path("barepodd.log"))?;
        let Programs { daemon, shim, prober } = self.programs.clone();
        let daemon = daemon.map_or_else(|| self.built.host("barepodd"), Ok)?;
        let mut command = self.in_network(&daemon);
        let shim = shim.map_or_else(|| self.built.musl("barepod-shim"), Ok)?;
        let prober = prober.map_or_else(|| self.built.host("barepod-prober"), Ok)?;
        command.arg("--root").arg(self.scratch.path()).arg("--shim").arg(shim).arg("--prober").arg(prober);
        command.args(&self.daemon_args);
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        command.args(["--log-format", "text"]).env("BAREPOD_LOG", "info").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemon = Some(Owned::spawn(&mut command)?);
        Ok(())
    }

    /// Other programs from the next start on: as after an upgrade.
    pub fn set_programs(&mut self, programs: Programs) {
        self.programs = programs;
    }

    /// The network that the daemon and its pods are in from the next start on, instead of the machine's.
    pub fn set_network(&mut self, network: &NetworkHost) {
        self.network = Some(network.clone());
    }

    /// Gives it a wall clock of its own, right at first: its daemon from the next start on, and the bridges that are started then.
    ///
    /// # Errors
    /// As [`Clock::kept_in`].
    pub fn own_clock(&mut self) -> Result<Clock, HostError> {
        let clock = Clock::kept_in(self.path("clock"))?;
        self.clock = Some(clock.clone());
        Ok(clock)
    }

    /// Its own wall clock.
    pub(crate) fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// A program, to be run where this host's network is.
    pub fn in_network(&self, program: &Path) -> Command {
        self.network.as_ref().map_or_else(|| Command::new(program), |network| network.command(program))
    }

    /// The daemon's pid.
    pub fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Owned::id)
    }

    /// The pids of the daemon's probers: one, none before the first question, and briefly more while one is replaced.
    pub fn probers(&self) -> Vec<u32> {
        let Some(daemon) = self.daemon_pid() else { return Vec::new() };
        let parent = format!("PPid:\t{daemon}");
        let is_one = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.starts_with("Name:\tbarepod-prober\n") && status.lines().any(|line| line == parent)
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
    }

    /// SIGKILL to the daemon.
    pub fn kill_daemon(&mut self) -> Result<(), HostError> {
        self.check_sockets()?;
        match self.daemon.take() {
            Some(mut daemon) => Ok(daemon.kill()?),
            None => Ok(()),
        }
    }

    /// SIGTERM to the daemon, and waits for its end.
    pub fn stop_daemon(&mut self) -> Result<(), HostError> {
        self.check_sockets()?;
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), "TERM")?;
            daemon.wait("barepodd", SOON)?;
        }
        Ok(())
    }

    /// Runs the command line.
    pub fn run(&self, args: &[&str]) -> Result<Output, HostError> {
        match process::output(&mut self.command(args)?, &format!("barepod {}", args.join(" ")), COMMAND) {
            Err(ProcessError::Late(vain)) => Err(HostError::Vain(vain, self.last_words())),
            other => Ok(other?),
        }
    }

    /// A program of the build that this host runs.
    pub fn program(&self, name: &str) -> Result<PathBuf, HostError> {
        Ok(self.built.host(name)?)
    }

    /// The command line, to be run.
    pub fn command(&self, args: &[&str]) -> Result<Command, HostError> {
        let mut command = Command::new(self.built.host("barepod")?);
        command.arg("--socket").arg(self.path("run/barepod/barepod.sock")).args(args);
        Ok(command)
    }

    /// Runs the command line, which must succeed; its standard output.
    pub fn barepod(&self, args: &[&str]) -> Result<String, HostError> {
        let output = self.run(args)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(HostError::Refused {
            args: args.join(" "),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a line of shell in a container; what it prints, without the end of its last line.
    pub fn asked(&self, pod: &str, container: &str, script: &str) -> Result<String, HostError> {
        let said = self.barepod(&["exec", pod, "-c", container, "--", "sh", "-c", script])?;
        Ok(said.trim_end_matches('\n').to_owned())
    }

    /// The host pids of a pod's running containers, in their order.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        let table = self.barepod(&["get", "pod", name, "-o", "wide"]).unwrap_or_default();
        let mut lines = table.lines();
        let column = lines.next().and_then(|headings| headings.find("PID"));
        let cell = lines.next().zip(column).and_then(|(line, column)| line.get(column..)?.split_whitespace().next());
        cell.into_iter().flat_map(|cell| cell.split(',')).filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Applies a manifest given as text.
    pub fn apply(&self, name: &str, manifest: &str) -> Result<String, HostError> {
        let path = self.path(&format!("{name}.yaml"));
        std::fs::write(&path, manifest)?;
        self.barepod(&["apply", "-f", &path.display().to_string()])
    }

    /// Applies a manifest given as an object.
    pub fn apply_object(&self, manifest: &Value) -> Result<String, HostError> {
        self.apply("applied", &manifest.to_string())
    }

    /// Where the manifest of a pod of the default namespace is, once it is applied.
    pub fn manifest(&self, name: &str) -> PathBuf {
        self.path(&format!("etc/barepod/manifests/default_{name}.yaml"))
    }

    /// A pod as its Kubernetes object.
    pub fn pod(&self, name: &str) -> Result<Value, HostError> {
        Ok(serde_json::from_str(&self.barepod(&["get", "pod", name, "-o", "json"])?)?)
    }

    /// The host pid of a pod's first container, while it runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        first_pid(&self.barepod(&["get", "pod", name, "-o", "wide"]).ok()?)
    }

    /// Waits until a pod's first container runs, and gives its host pid.
    pub fn running(&self, name: &str) -> Result<u32, HostError> {
        self.until(format!("pod {name} to run"), SOON, |host| host.pid(name))
    }

    /// Waits until a pod is shown with this reason, and gives its object.
    pub fn reason(&self, name: &str, reason: &str) -> Result<Value, HostError> {
        self.until(format!("pod {name} to be {reason}"), SOON, |host| {
            host.pod(name).ok().filter(|pod| pod["status"]["reason"] == reason)
        })
    }

    /// Waits until the status of a pod's first container is as wanted, and gives it.
    pub fn container(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, HostError> {
        self.until(format!("the container of {name} to be {what}"), SOON, |host| {
            let status = host.pod(name).ok()?["status"]["containerStatuses"][0].take();
            wanted(&status).then_some(status)
        })
    }

    /// The pids of a pod's shims.
    pub fn shims(&self, name: &str) -> Result<Vec<u32>, HostError> {
        let uid = self.pod(name)?["metadata"]["uid"].take();
        let group = self.group_of_pod(&self.unified(), uid.as_str().unwrap_or_default()).join("shim/cgroup.procs");
        let is_shim = |pid: &u32| {
            // Others that the shim's binary makes are there as well; it may have any name itself.
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| !["barepod-keeper", "barepod-pause"].contains(&name.trim_end()))
        };
        let pids = std::fs::read_to_string(group)?;
        Ok(pids.lines().filter_map(|pid| pid.parse().ok()).filter(is_shim).collect())
    }

    /// Waits until a pod is gone.
    pub fn gone(&self, name: &str) -> Result<(), HostError> {
        self.until(format!("pod {name} to be gone"), SOON, |host| {
            let names = host.barepod(&["get", "pods", "-o", "name"]).ok()?;
            (!names.lines().any(|line| line == format!("pod/{name}"))).then_some(())
        })
    }

    /// Waits until the daemon's log says something.
    pub fn said(&self, what: &str) -> Result<(), HostError> {
        self.until(format!("the daemon to say {what:?}"), SOON, |host| host.log().contains(what).then_some(()))
    }

    /// The daemon's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("barepodd.log")).unwrap_or_default()
    }

    /// Waits until a pod is ready, and gives its object.
    pub fn ready(&self, name: &str) -> Result<Value, HostError> {
        self.until(format!("pod {name} to be ready"), SOON, |host| host.pod(name).ok().filter(is_ready))
    }

    /// Waits for a condition of this host.
    pub fn until<T>(
        &self,
        what: impl Into<String>,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, HostError> {
        // Whatever a test waits for, meanwhile the daemon is looked at.
        let look = || match self.check_sockets() {
            Ok(()) => condition(self).map(Ok),
            Err(error) => Some(Err(error)),
        };
        wait_for(what, limit, look).map_err(|vain| HostError::Vain(vain, self.last_words()))?
    }

    /// The daemon holds no internet socket. Every wait and every end of a daemon asserts it, and so does every test.
    fn check_sockets(&self) -> Result<(), HostError> {
        let Some(pid) = self.daemon_pid() else { return Ok(()) };
        let foreign = sockets::foreign(pid)?;
        if foreign.is_empty() { Ok(()) } else { Err(HostError::Sockets(foreign)) }
    }

    /// The end of the daemon's log.
    pub fn last_words(&self) -> String {
        tail(&self.log(), 30)
    }

    /// This host's group in a v1 hierarchy, or in cgroup2 where there is no such hierarchy.
    pub fn cgroup_of(&self, controller: &str) -> PathBuf {
        let legacy = Path::new("/sys/fs/cgroup").join(controller).join(&self.cgroup);
        if legacy.exists() { legacy } else { self.unified() }
    }

    /// This host's group in cgroup2.
    pub fn unified(&self) -> PathBuf {
        let hybrid = Path::new("/sys/fs/cgroup/unified");
        let mount = if hybrid.exists() { hybrid } else { Path::new("/sys/fs/cgroup") };
        mount.join(&self.cgroup)
    }

    /// The group of a pod below this host's in a hierarchy: its name ends with the UID.
    pub fn group_of_pod(&self, below: &Path, uid: &str) -> PathBuf {
        let groups = std::fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = |group: &PathBuf| group.file_name().is_some_and(|name| name.to_string_lossy().ends_with(uid));
        groups.into_iter().find(ours).unwrap_or_else(|| below.join(uid))
    }

    fn clean(&mut self) -> io::Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
        }
        let unified = self.unified();
        if unified.exists() {
            std::fs::write(unified.join("cgroup.kill"), "1")?;
            let empty = || {
                let events = std::fs::read_to_string(unified.join("cgroup.events")).ok()?;
                events.contains("populated 0").then_some(())
            };
            wait_for("the test's cgroup to be empty", SOON, empty).map_err(io::Error::other)?;
        }
        for mount in std::fs::read_dir("/sys/fs/cgroup")?.flatten() {
            remove_groups(&mount.path().join(&self.cgroup));
        }
        remove_groups(&unified);
        unmount_below(self.scratch.path())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let sockets = self.check_sockets();
        if let Err(error) = self.clean() {
            eprintln!("the scratch host {} is not clean: {error}", self.scratch.path().display());
        }
        if let (Err(error), false) = (sockets, std::thread::panicking()) {
            panic!("{error}");
        }
    }
}

/// The first pid in what `barepod get pod NAME -o wide` prints.
pub fn first_pid(table: &str) -> Option<u32> {
    let mut lines = table.lines();
    let column = lines.next()?.find("PID")?;
    lines.next()?.get(column..)?.split_whitespace().next()?.split(',').next()?.parse().ok()
}

/// Whether a pod, as its Kubernetes object, is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// Groups are removed from the leaves up; what is in use stays, and shows in the next run's list of groups.
fn remove_groups(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        remove_groups(&entry.path());
    }
    std::fs::remove_dir(directory).ok();
}

fn unmount_below(directory: &Path) -> io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mounts")?;
    let mounts =
        table.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(directory));
    for mount in mounts.collect::<Vec<_>>().into_iter().rev() {
        Command::new("umount").arg(mount).status()?;
    }
    Ok(())
}

/// Sends a signal by name to a process of this test.
pub fn signal(pid: u32, name: &str) -> Result<(), ProcessError> {
    crate::process::run(Command::new("kill").args(["-s", name, &pid.to_string()])).map(drop)
}

/// Whether a process with this pid is there and no zombie.
pub fn alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
