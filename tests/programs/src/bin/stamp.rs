//! A service that says when it began, and then waits for its end: see `barepod_test_programs::stamp`.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

use barepod_test_programs::stamp::{SOCKET, Stamp, monotonic};

fn main() -> ExitCode {
    let first = monotonic();
    match first.map_err(Into::into).and_then(report) {
        Ok(()) => loop {
            nix::unistd::pause();
        },
        Err(error) => {
            eprintln!("stamp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(at: std::time::Duration) -> std::io::Result<()> {
    let socket = std::env::var_os(SOCKET).ok_or_else(|| std::io::Error::other(format!("{SOCKET} is not set")))?;
    let stamp = Stamp { pid: nix::unistd::getpid().as_raw(), at };
    UnixDatagram::unbound()?.send_to(&stamp.encode(), socket)?;
    Ok(())
}
