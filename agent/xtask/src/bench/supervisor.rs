//! The contestants: each keeps one service alive as its own manual says, without a shell in between.

mod conmon;
mod directory;
mod supervisord;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use barepod_test_programs::stamp::{self, Stamp};
use barepod_tests::process::Owned;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

pub(super) use conmon::Conmon;

/// A way to keep a service alive.
pub(super) trait Supervisor {
    /// For the table, with the version.
    fn name(&self) -> String;

    /// Starts to keep the service alive, with files of its own in an empty directory.
    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised>;
}

/// A program, and the one variable of its environment.
pub(super) struct Service {
    /// A static program by its path, and its arguments.
    pub(super) argv: Vec<String>,
    /// The value of `stamp::SOCKET`.
    pub(super) socket: PathBuf,
}

/// A service that is being kept alive. Both end when this is dropped: the supervisor first, or it would start the service
/// once more.
pub(super) struct Supervised {
    supervisor: Owned,
    service: Option<Pid>,
}

impl Supervised {
    /// The process whose memory and time are this service's cost.
    pub(super) fn supervisor(&self) -> u32 {
        self.supervisor.id()
    }

    /// The service's process, once it has begun.
    pub(super) fn service(&self) -> Option<Pid> {
        self.service
    }

    /// The service said that it began.
    pub(super) fn begun(&mut self, stamp: Stamp) {
        self.service = Some(Pid::from_raw(stamp.pid));
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // A drop must not panic; what is gone already needs no end.
        let _ = self.supervisor.kill();
        if let Some(service) = self.service {
            let _ = kill(service, Signal::SIGKILL);
            let _ = waitpid(service, None);
        }
    }
}

/// All that restart a service.
pub(super) fn all() -> Vec<Box<dyn Supervisor>> {
    let mut all = of_directories();
    all.push(Box::new(supervisord::Supervisord));
    all
}

/// All that are one small process for each service: conmon restarts nothing, but writes the log.
pub(super) fn one_each() -> Vec<Box<dyn Supervisor>> {
    let mut all = of_directories();
    all.push(Box::new(Conmon));
    all
}

fn of_directories() -> Vec<Box<dyn Supervisor>> {
    directory::all().into_iter().map(|peer| Box::new(peer) as Box<dyn Supervisor>).collect()
}

fn start(supervisor: &mut Command, service: &Service) -> anyhow::Result<Supervised> {
    let nothing = Stdio::null;
    supervisor.env(stamp::SOCKET, &service.socket).stdin(nothing()).stdout(nothing()).stderr(nothing());
    // A service outlives its killed supervisor and becomes ours to reap.
    set_child_subreaper(true)?;
    Ok(Supervised { supervisor: Owned::spawn(supervisor)?, service: None })
}

/// A name with the version of its package of Debian.
fn versioned(program: &str, package: &str) -> String {
    let output = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    match output {
        Ok(output) if output.status.success() => format!("{program} {}", String::from_utf8_lossy(&output.stdout)),
        Ok(_) | Err(_) => format!("{program} of unknown version"),
    }
}

/// Where services say that they have begun.
pub(super) struct Stamps {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Stamps {
    pub(super) fn bind(path: PathBuf, limit: Duration) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(limit))?;
        Ok(Self { socket, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next one, within the limit.
    pub(super) fn receive(&self) -> anyhow::Result<Stamp> {
        let mut bytes = [0; stamp::LENGTH + 1];
        let length = self.socket.recv(&mut bytes)?;
        Stamp::decode(&bytes[..length]).context("a datagram that is no stamp")
    }
}
