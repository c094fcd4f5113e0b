//! A host's bridge to a cluster: the real program, beside a scratch host's daemon, as a user without rights.

use std::fs::{File, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::{Host, HostError, signal};
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
    program: PathBuf,
    arguments: Vec<String>,
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
        let socket = host.path("run/barepod/barepod.sock").display().to_string();
        let credentials = hand_over(host, kubeconfig, &format!("kubeconfig-{name}"))?;
        let options = [
            ("--socket", socket),
            ("--kubeconfig", credentials.display().to_string()),
            ("--node-name", name.to_owned()),
            ("--node-ip", address.to_string()),
            ("--log-format", "text".to_owned()),
        ];
        let arguments = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
        let arguments = arguments.chain(more.iter().map(|argument| (*argument).to_owned())).collect();
        let log = host.path(&format!("bridge-{name}.log"));
        let mut bridge = Self { process: None, program: reachable(host, "barepod-bridge")?, arguments, log };
        bridge.launch()?;
        Ok(bridge)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&mut self) -> Result<(), HostError> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("BAREPOD_LOG", "info,barepod_node=debug");
        as_bridge(&mut command).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
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

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        tail(&std::fs::read_to_string(&self.log).unwrap_or_default(), 20)
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
    let (built, place) = (host.program(name)?, host.path(name));
    if !place.exists() && std::fs::hard_link(&built, &place).is_err() {
        std::fs::copy(&built, &place)?;
    }
    Ok(place)
}

/// Makes a program run as the bridge does.
pub fn as_bridge(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}
