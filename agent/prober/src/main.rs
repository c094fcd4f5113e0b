//! `barepod-prober`: see the library.
#![forbid(unsafe_code)]

use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use barepod_prober::privileges::{self, Nobody};
use barepod_prober::serve;

const USAGE: &str = "usage: barepod-prober run --uid N --gid N, with barepodd's socket as standard input | --version";

/// At most so many names are looked up at once; each takes a thread, for libc can do it no other way.
const LOOKUPS: usize = 16;

/// How long such a thread waits for another name.
const IDLE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--version"] => {
            println!("barepod-prober {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["run", "--uid", uid, "--gid", gid] => match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => ended(run(Nobody { uid, gid })),
            _ => misused(),
        },
        _ => misused(),
    }
}

fn run(nobody: Nobody) -> Result<()> {
    privileges::give_up(nobody)?;
    let socket = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(LOOKUPS).thread_keep_alive(IDLE).build()?;
    let served = runtime.block_on(async { Ok(serve(tokio::net::UnixStream::from_std(socket)?).await?) });
    // A name that is still looked up keeps nobody.
    runtime.shutdown_background();
    served
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barepod-prober: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn misused() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
