//! A host's bridge to a cluster: the real program, beside a scratch host's daemon, as a user without rights.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::{Host, HostError, signal};
use crate::nomad;
use crate::process::{Owned, tail};

/// Debian's nobody and nogroup.
const NOBODY: u32 = 65_534;

/// What a daemon's configuration must say for a bridge. A test's host is not short of what this machine is short of.
pub const CONFIG: &str = "\
bridgeUser: nobody
socketGroup: nogroup
resources: {evictionHard: {nodefs.available: 0%, nodefs.inodesFree: 0%, memory.available: 0%}}
";

/// A bridge that runs.
#[derive(Debug)]
pub struct Bridge {
    process: Option<Owned>,
    /// The program and all its arguments.
    command: Vec<OsString>,
    log: PathBuf,
}

impl Bridge {
    /// Makes a host the node of this name, with its credentials, and waits for nothing.
    ///
    /// # Errors
    /// The program is not built, or does not start.
    pub fn start(host: &Host, name: &str, address: IpAddr, kubeconfig: &Path) -> Result<Self, HostError> {
        Self::start_with(host, name, address, kubeconfig, &[])
    }

    /// The same with further arguments.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        host: &Host,
        name: &str,
        address: IpAddr,
        kubeconfig: &Path,
        more: &[&str],
    ) -> Result<Self, HostError> {
        let credentials = hand_over(host, kubeconfig, &format!("kubeconfig-{name}"))?;
        let absent = host.path("bootstrap-kubeconfig-that-is-not-there");
        let files = [&*credentials, &absent, &own_directory(host, &format!("pki-{name}"))?];
        Self::run(host, files, address, name, &[&["--node-name", name], more].concat())
    }

    /// The bridge of a host that has joined by `barepod kube join`, with further arguments: who it is it finds there.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of_joined(host: &Host, address: IpAddr, more: &[&str]) -> Result<Self, HostError> {
        own_directory(host, "var/lib/barepod-bridge")?;
        let kubernetes = host.path("etc/barepod/kubernetes");
        let (kubeconfig, bootstrap) = (kubernetes.join("kubeconfig"), kubernetes.join("bootstrap-kubeconfig"));
        Self::run(host, [&kubeconfig, &bootstrap, &host.path("var/lib/barepod-bridge/pki")], address, "joined", more)
    }

    /// The bridge of a host that `barepod nomad setup` has prepared, and that knows no Kubernetes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of_nomad(host: &Host) -> Result<Self, HostError> {
        let absent = host.path("kubeconfig-that-is-not-there");
        let settings = nomad::settings(host).display().to_string();
        let files = [&*absent, &absent, &own_directory(host, "pki-nomad")?];
        Self::run(host, files, Ipv4Addr::LOCALHOST.into(), "nomad", &["--nomad-config", &settings])
    }

    fn run(host: &Host, files: [&Path; 3], address: IpAddr, name: &str, more: &[&str]) -> Result<Self, HostError> {
        let [kubeconfig, bootstrap, certificates] = files.map(|path| path.display().to_string());
        let options = [
            ("--socket", host.path("run/barepod/barepod.sock").display().to_string()),
            ("--kubeconfig", kubeconfig),
            ("--bootstrap-kubeconfig", bootstrap),
            ("--cert-dir", certificates),
            ("--node-ip", address.to_string()),
            ("--log-format", "text".to_owned()),
        ];
        // Only root may enter the host's network, so it is entered first.
        let mut command = host.in_network(Path::new("setpriv"));
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
        if let Some(clock) = host.clock() {
            // As the user that it is then: libfaketime's semaphores are whose process it is loaded into.
            command.arg("env").args(clock.environment().iter().map(|(name, value)| format!("{name}={value}")));
        }
        command.arg(reachable(host, "barepod-bridge")?);
        command.args(options.iter().flat_map(|(option, value)| [*option, value])).args(more);
        let command = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_owned).collect();
        let log = host.path(&format!("bridge-{name}.log"));
        let mut bridge = Self { process: None, command, log };
        bridge.launch()?;
        Ok(bridge)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&mut self) -> Result<(), HostError> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env("BAREPOD_LOG", "info,barepod_node=debug,barepod_kubelet=debug,barepod_registrar=debug")
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(Owned::spawn(&mut command)?);
        Ok(())
    }

    /// SIGKILL, and its end.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> Result<(), HostError> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// A signal, such as `STOP`.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, name: &str) -> Result<(), HostError> {
        if let Some(process) = &self.process {
            signal(process.id(), name)?;
        }
        Ok(())
    }

    /// Its pid, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Owned::id)
    }

    /// All that it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        tail(&self.log(), 20)
    }
}

/// A copy of a file for the bridge alone, of this name on its host.
///
/// # Errors
/// It cannot be made.
pub fn hand_over(host: &Host, file: &Path, name: &str) -> Result<PathBuf, HostError> {
    let own = host.path(name);
    std::fs::copy(file, &own)?;
    std::fs::set_permissions(&own, Permissions::from_mode(0o600))?;
    chown(&own, Some(NOBODY), Some(NOBODY))?;
    Ok(own)
}

/// A program on the host, where every user reaches it: where it was built not every user may go.
///
/// # Errors
/// It is not built, or cannot be put there.
pub fn reachable(host: &Host, name: &str) -> Result<PathBuf, HostError> {
    Ok(put(&host.program(name)?, host.path(name))?)
}

/// The same for any program: in a directory of the host that every user reaches.
///
/// # Errors
/// It cannot be put there.
pub fn put(built: &Path, place: PathBuf) -> io::Result<PathBuf> {
    if !place.exists() && std::fs::hard_link(built, &place).is_err() {
        std::fs::copy(built, &place)?;
    }
    Ok(place)
}

/// Makes a program run as the bridge does.
pub fn as_bridge(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}

/// A directory on the host that only its bridge may enter.
fn own_directory(host: &Host, name: &str) -> Result<PathBuf, HostError> {
    let own = host.path(name);
    std::fs::create_dir_all(&own)?;
    std::fs::set_permissions(&own, Permissions::from_mode(0o700))?;
    chown(&own, Some(NOBODY), Some(NOBODY))?;
    Ok(own)
}
