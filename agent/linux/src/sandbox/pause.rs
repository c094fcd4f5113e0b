//! The first process of a PID namespace that the containers of a pod share: found, made, ended.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use barepod_shim::{layout, pause, wire};
use barepod_sys::launch::Launch;
use barepod_sys::{pidfd, proc, signal, wait};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::Leaf;

/// A process that was killed with SIGKILL and nothing in the way.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the first process of the pod's PID namespace: {what} {}", path.display())]
pub struct PauseError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Two containers of a pod may ask at once.
static MAKING: Mutex<()> = Mutex::new(());

/// The one of the sandbox in `directory`, made by `program` in `group` if none lives.
///
/// # Errors
/// The step that failed.
pub fn ensure(program: &Path, directory: &Path, group: &Leaf) -> Result<wire::Process, PauseError> {
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(process) = find(directory) {
        return Ok(process);
    }
    start(program, directory, group)?;
    let lost = || at("it ended at once; see", &directory.join(LOG))(io::ErrorKind::NotFound.into());
    find(directory).ok_or_else(lost)
}

/// Ends it, and all that is left in its namespace; waits until it has gone. None there is success.
///
/// # Errors
/// As pidfd_send_signal(2); `TimedOut`.
pub fn end(directory: &Path) -> Result<(), PauseError> {
    let record = directory.join(layout::PAUSE_RECORD);
    let Some(process) = find(directory) else { return Ok(()) };
    let Ok(held) = pidfd::open(process.pid) else { return Ok(()) };
    if find(directory) != Some(process) {
        return Ok(());
    }
    let failed = |source| at("it cannot be ended,", &record)(source);
    pidfd::send_signal(held.as_fd(), signal::KILL).map_err(failed)?;
    let mut ended = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    match poll(&mut ended, patience) {
        Ok(0) => Err(failed(io::ErrorKind::TimedOut.into())),
        Ok(_) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// The one that lives.
fn find(directory: &Path) -> Option<wire::Process> {
    let process = pause::parse_record(&fs::read_to_string(directory.join(layout::PAUSE_RECORD)).ok()?)?;
    let stat = proc::stat(Path::new("/proc"), process.pid).ok()?;
    (stat.start_ticks == process.start_ticks && !matches!(stat.state, 'Z' | 'X')).then_some(process)
}

const LOG: &str = "pause.log";

fn start(program: &Path, directory: &Path, group: &Leaf) -> Result<(), PauseError> {
    let log = directory.join(LOG);
    let open = |path: &Path, file: io::Result<File>| file.map_err(at("cannot open", path));
    let leaf = open(&group.unified, File::open(&group.unified))?;
    let said = open(&log, File::options().append(true).create(true).open(&log))?;
    let null = open(Path::new("/dev/null"), File::open("/dev/null"))?;
    let mut arguments = vec!["pause".to_owned(), "--dir".to_owned(), directory.display().to_string()];
    for group in &group.legacy {
        arguments.extend(["--legacy-group".to_owned(), group.display().to_string()]);
    }
    let failed = |source| at("cannot run", program)(source);
    let descriptors = vec![null.as_fd(), said.as_fd(), said.as_fd()];
    let launch = Launch::new(program, &arguments, descriptors).map_err(failed)?.cgroup(leaf.as_fd());
    let child = launch.start().map_err(failed)?;
    wait::reap_when_ended(child.pid).map(drop).map_err(failed)
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PauseError {
    let path = path.to_owned();
    move |source| PauseError { what, path, source }
}
