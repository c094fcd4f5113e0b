//! The contestants: each keeps one service alive as its own manual says, without a shell in between.

mod barepod;
mod conmon;
mod directory;
mod supervisord;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::Context as _;
use barepod_test_programs::stamp::{self, Stamp};
use barepod_tests::host::Host;
use barepod_tests::process::Owned;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::Course;
use super::process;

pub(super) use barepod::{Barepod, manifest, name_of_ours};
pub(super) use conmon::Conmon;
pub(super) use supervisord::{Supervisord, configuration};

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
    /// Who it runs as where the supervisor can say so: uid and gid.
    pub(super) user: Option<(u32, u32)>,
    /// So many like it are there at once.
    pub(super) among: usize,
}

impl Service {
    /// One that may run as anybody.
    pub(super) fn new(argv: Vec<String>, socket: &Path) -> Self {
        Self { argv, socket: socket.to_owned(), user: None, among: 1 }
    }

    /// One of so many that are there at once.
    pub(super) fn among(self, services: usize) -> Self {
        Self { among: services, ..self }
    }
}

/// Who keeps it.
enum Keeper {
    /// A process, which ends first, or it would start the service once more.
    Process(Owned),
    /// A shim, which is the service's parent, under a daemon that ends with its host.
    Shim { _host: Rc<Host> },
}

/// A service that is being kept alive. Both end when this is dropped.
pub(super) struct Supervised {
    keeper: Keeper,
    service: Option<Pid>,
}

impl Supervised {
    /// The process whose memory and time are this service's cost.
    pub(super) fn supervisor(&self) -> anyhow::Result<u32> {
        match &self.keeper {
            Keeper::Process(process) => Ok(process.id()),
            Keeper::Shim { .. } => process::parent(self.service.context("the service has not begun")?),
        }
    }

    /// The processes that are this service's cost together. barepod's is complete when one stands by for the next attempt;
    /// `None` before.
    pub(super) fn supervisors(&self) -> anyhow::Result<Option<Vec<u32>>> {
        let first = self.supervisor()?;
        match &self.keeper {
            Keeper::Process(_) => Ok(Some(vec![first])),
            Keeper::Shim { .. } => match process::copies_of(first)?.as_slice() {
                [] => Ok(None),
                copies => Ok(Some([&[first], copies].concat())),
            },
        }
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
        let Keeper::Process(supervisor) = &mut self.keeper else { return };
        // A drop must not panic; what is gone already needs no end.
        let _ = supervisor.kill();
        if let Some(service) = self.service {
            let _ = kill(service, Signal::SIGKILL);
            let _ = waitpid(service, None);
        }
    }
}

/// All that restart a service, ours first.
pub(super) fn all(course: &Course) -> anyhow::Result<Vec<Box<dyn Supervisor>>> {
    with(course, Box::new(Supervisord))
}

/// All that are one small process for each service, ours first: conmon restarts nothing, but writes the log.
pub(super) fn one_each(course: &Course) -> anyhow::Result<Vec<Box<dyn Supervisor>>> {
    with(course, Box::new(Conmon))
}

fn with(course: &Course, last: Box<dyn Supervisor>) -> anyhow::Result<Vec<Box<dyn Supervisor>>> {
    let mut all: Vec<Box<dyn Supervisor>> = vec![Box::new(Barepod::start(&course.built)?)];
    all.extend(directory::all().into_iter().map(|peer| Box::new(peer) as Box<dyn Supervisor>));
    all.push(last);
    Ok(all)
}

fn start(supervisor: &mut Command, service: &Service) -> anyhow::Result<Supervised> {
    let nothing = Stdio::null;
    supervisor.env(stamp::SOCKET, &service.socket).stdin(nothing()).stdout(nothing()).stderr(nothing());
    // A service outlives its killed supervisor and becomes ours to reap.
    set_child_subreaper(true)?;
    Ok(Supervised { keeper: Keeper::Process(Owned::spawn(supervisor)?), service: None })
}

/// A name with the version of its package of Debian.
pub(super) fn versioned(program: &str, package: &str) -> String {
    let output = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    match output {
        Ok(output) if output.status.success() => format!("{program} {}", String::from_utf8_lossy(&output.stdout)),
        Ok(_) | Err(_) => format!("{program} of unknown version"),
    }
}
