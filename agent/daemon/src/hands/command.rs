//! A command run in a container for its own sake, by a probe or a hook: how it ended and what it said.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use barepod_model::ContainerKey;

use super::Host;
use super::exec::{ExecError, Executed, Stdio, exec};

/// Most of what a command said that is kept; kubelet's `maxProbeMessageLength` is 10 KiB.
const MAX_SAID: u64 = 1024;

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With exit code 0.
    Well,
    /// Otherwise, with what it said.
    Badly(String),
    /// It could not be run, for no fault of the container's.
    NotRun(String),
}

/// Runs it to its end.
pub(super) async fn run(host: &Arc<Host>, key: &ContainerKey, command: &[String]) -> Ended {
    let Some(container) = host.container(key) else { return Ended::NotRun("the container is gone".to_owned()) };
    let (stdio, said) = match capture() {
        Ok(pair) => pair,
        Err(error) => return Ended::NotRun(error.to_string()),
    };
    let ran = exec(host, key, &container, command.to_vec(), stdio, false).await;
    // A probe runs every second: what it could not be given has been said when the container began.
    let executed = ran.map(|ran| {
        ran.warnings.iter().for_each(|warning| tracing::debug!(container = %key, warning, "a command in a container"));
        ran.executed
    });
    match executed {
        Ok(Executed::Ended(0)) => Ended::Well,
        Ok(Executed::Ended(code)) => Ended::Badly(format!("exit code {code}: {}", words(said))),
        Ok(Executed::Failed(message)) => Ended::Badly(message),
        Err(error @ (ExecError::NotRunning(_) | ExecError::Confinement(_) | ExecError::Shim(_))) => {
            Ended::NotRun(error.to_string())
        }
    }
}

/// Nothing to read, and one file in memory for what it says: a command that talks without end fills no pipe of ours.
fn capture() -> io::Result<(Stdio, File)> {
    let null = File::open("/dev/null")?;
    let said = File::from(nix::sys::memfd::memfd_create(c"said", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?);
    let copy = || said.try_clone().map(OwnedFd::from);
    let stdio = Stdio { stdin: null.into(), stdout: copy()?, stderr: copy()? };
    Ok((stdio, said))
}

fn words(mut said: File) -> String {
    let mut text = Vec::new();
    // What cannot be read is not told; the exit code says enough.
    said.rewind().and_then(|()| said.take(MAX_SAID).read_to_end(&mut text)).ok();
    String::from_utf8_lossy(&text).trim().to_owned()
}
