//! A process that keeps open what a service must not lose when its shim dies: the controlling side of its terminal (the
//! service would get SIGHUP), or the writing end of its standard input (it would read the end).
//!
//! It is a copy of the shim without anything else open, and does nothing. A shim that takes over takes the open file from
//! it (pidfd_getfd) and makes a keeper of its own. It ends some time after the service, so that what a terminal showed last
//! can be read by a late shim, and at once when a shim has no more use for it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use barepod_sys::clone::{self, SingleThreaded};
use barepod_sys::poll::{Interest, Poll};
use barepod_sys::{descriptor, pass, pidfd, proc, process, signal};

use crate::wire;

/// How long it outlives the service.
const LINGER: Duration = Duration::from_secs(10);
const PROC: &str = "/proc";

/// Makes one for what is `kept`; it ends with the process that `main` refers to.
///
/// # Errors
/// As clone3(2).
pub fn begin(main: BorrowedFd<'_>, kept: BorrowedFd<'_>) -> io::Result<wire::Keeper> {
    let child = clone::spawn(SingleThreaded::check()?, [], None, || {
        let alone = descriptor::close_all_but([main, kept]).and_then(|()| process::set_name("barepod-keeper"));
        match alone.and_then(|()| wait_for_end(main)) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    })?;
    let start_ticks = proc::stat(Path::new(PROC), child.pid)?.start_ticks;
    let fd = kept.as_raw_fd().unsigned_abs();
    Ok(wire::Keeper { process: Some(wire::Process { pid: child.pid, start_ticks }), fd })
}

fn wait_for_end(main: BorrowedFd<'_>) -> io::Result<()> {
    let mut ended = Poll::<1>::default();
    ended.set(0, Some((main, Interest::Read)));
    while !ended.ready(0).any() {
        ended.wait(None)?;
    }
    Poll::<0>::default().wait(Some(LINGER))
}

/// What it keeps.
///
/// # Errors
/// As pidfd_open(2), pidfd_getfd(2): it may have been killed as well.
pub fn take(keeper: &wire::Keeper) -> io::Result<OwnedFd> {
    let held = hold(keeper)?;
    let number = RawFd::try_from(keeper.fd).map_err(io::Error::other)?;
    pass::take(held.as_fd(), number)
}

/// Ends it. One that is gone is no error.
pub fn end(keeper: &wire::Keeper) {
    if let Ok(held) = hold(keeper) {
        let _ = pidfd::send_signal(held.as_fd(), signal::KILL);
    }
}

/// The number may be another process's by now: its start time is compared after it is held.
fn hold(keeper: &wire::Keeper) -> io::Result<OwnedFd> {
    let process = keeper.process.unwrap_or_default();
    let held = pidfd::open(process.pid)?;
    match proc::stat(Path::new(PROC), process.pid)?.start_ticks == process.start_ticks {
        true => Ok(held),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}
