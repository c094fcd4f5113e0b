//! Carrying probes out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use barepod_core::{AttemptKey, Input, ProbeOutcome, ProbeTicket};
use barepod_model::{Probe, ProbeHandler, ProbeKind};

use super::Host;
use super::exec::{ExecError, Executed, Stdio, exec};
use crate::supervisor::Handle;

/// Most of what a failed probe said that is kept; kubelet's `maxProbeMessageLength` is 10 KiB.
const MAX_SAID: u64 = 1024;

pub(super) async fn probe(
    host: Arc<Host>,
    supervisor: Handle,
    key: AttemptKey,
    kind: ProbeKind,
    ticket: ProbeTicket,
    probe: Probe,
) {
    let asked = ask(&host, &key, &probe);
    let outcome = match tokio::time::timeout(probe.timeout, asked).await {
        Ok(outcome) => outcome,
        Err(_) => ProbeOutcome::Failure(format!("no answer within {:?}", probe.timeout)),
    };
    supervisor.tell(Input::Probed { key, kind, ticket, outcome }).await;
}

async fn ask(host: &Arc<Host>, key: &AttemptKey, probe: &Probe) -> ProbeOutcome {
    let ProbeHandler::Exec { command } = &probe.handler;
    let container_key = key.container_key();
    let Some(container) = host.container(&container_key) else {
        return ProbeOutcome::Unavailable("the container is gone".to_owned());
    };
    let (stdio, said) = match capture() {
        Ok(pair) => pair,
        Err(error) => return ProbeOutcome::Unavailable(error.to_string()),
    };
    match exec(host, &container_key, &container, command.clone(), stdio, false).await {
        Ok(Executed::Ended(0)) => ProbeOutcome::Success,
        Ok(Executed::Ended(code)) => ProbeOutcome::Failure(format!("exit code {code}: {}", words(said))),
        Ok(Executed::Failed(message)) => ProbeOutcome::Failure(message),
        Err(error @ (ExecError::NotRunning(_) | ExecError::Shim(_))) => ProbeOutcome::Unavailable(error.to_string()),
    }
}

/// Nothing to read, and one file in memory for what it says: a probe that talks without end fills no pipe of ours.
fn capture() -> io::Result<(Stdio, File)> {
    let null = File::open("/dev/null")?;
    let said = File::from(nix::sys::memfd::memfd_create(c"probe", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?);
    let copy = || said.try_clone().map(OwnedFd::from);
    let stdio = Stdio { stdin: null.into(), stdout: copy()?, stderr: copy()? };
    Ok((stdio, said))
}

fn words(mut said: File) -> String {
    use std::io::Seek;
    let mut text = Vec::new();
    // What cannot be read is not told; the exit code says enough.
    said.rewind().and_then(|()| said.take(MAX_SAID).read_to_end(&mut text)).ok();
    String::from_utf8_lossy(&text).trim().to_owned()
}
