//! The end of a main process that is no child of this shim, because an earlier one made it.
//!
//! Linux 6.15 keeps the exit for whoever holds a pidfd. Before that, it can be read from `/proc` while the process is a
//! zombie, which is a race with its new parent. When both fail it is unknown, and said so.

use std::os::fd::BorrowedFd;
use std::path::Path;

use barepod_sys::standby::NEVER_TOLD;
use barepod_sys::wait::Exit;
use barepod_sys::{pidfd, proc};

use crate::attempt::Attempt;
use crate::wire::Event;

const PROC: &str = "/proc";

/// Its pidfd says that it has ended.
pub fn look(attempt: &mut Attempt, events: &mut Vec<Event>) {
    let (pid, start_ticks) = (attempt.seen.pid, attempt.seen.start_ticks);
    let exit = attempt.stranger().and_then(|pidfd| exit_of(pidfd, pid, start_ticks));
    // the shim before this one died before it could let its process go
    let never_began = exit == Some(Exit::Code(NEVER_TOLD)) && !attempt.is_recorded_as_started();
    attempt.ended(exit.filter(|_| !never_began), events);
}

/// The pidfd's word is asked for again at the end: a process may be reaped between the two questions.
fn exit_of(pidfd: BorrowedFd<'_>, pid: u32, start_ticks: u64) -> Option<Exit> {
    let kept = || pidfd::exit_of_stranger(pidfd).ok().flatten();
    kept().or_else(|| zombie(pid, start_ticks)).or_else(kept)
}

fn zombie(pid: u32, start_ticks: u64) -> Option<Exit> {
    proc::stat(Path::new(PROC), pid).ok().filter(|stat| stat.start_ticks == start_ticks)?.exit
}
