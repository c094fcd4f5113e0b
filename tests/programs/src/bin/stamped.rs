//! Says that it began, and becomes another program: `stamped UID GID PROGRAM ARGUMENTS...`.
//!
//! As root it takes that user and group first, for supervisors that cannot run a service as somebody.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use barepod_test_programs::stamp::Stamp;
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

fn main() -> io::Result<()> {
    let first = Stamp::now();
    first?.send()?;
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|argument| argument.parse().ok());
    let (Some(uid), Some(gid)) = (number(), number()) else { return Err(usage()) };
    let program = arguments.next().ok_or_else(usage)?;
    if geteuid().is_root() {
        setgroups(&[])?;
        setgid(Gid::from_raw(gid))?;
        setuid(Uid::from_raw(uid))?;
    }
    Err(Command::new(program).args(arguments).exec())
}

fn usage() -> io::Error {
    io::Error::other("usage: stamped UID GID PROGRAM ARGUMENTS...")
}
