//! A signal to a container's main process.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use barepod_api::refusal;
use barepod_api::v1;
use barepod_core::PodView;
use barepod_model::{ContainerKey, Reason};
use barepod_sys::{pidfd, proc};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use tonic::{Code, Status};

use super::logs::container;
use crate::hands::{Host, Process};

/// # Errors
/// There is no such signal, or the container does not run.
pub(super) fn send(
    host: &Arc<Host>,
    view: &PodView,
    request: &v1::SignalRequest,
) -> Result<v1::SignalResponse, Status> {
    let refuse = |code, reason: Reason, message| Err(refusal(code, reason.as_str(), message));
    let Ok(signal) = Signal::try_from(request.signal) else {
        let message = format!("there is no signal {}", request.signal);
        return refuse(Code::InvalidArgument, Reason::InvalidValue, message);
    };
    let key = ContainerKey { pod: view.uid.clone(), container: container(view, &request.container)? };
    let sent = host.process(&key).map_or(Err(Errno::ESRCH.into()), |process| deliver(process, signal));
    match sent {
        Ok(()) => Ok(v1::SignalResponse {}),
        Err(error) if is_gone(&error) => {
            let message = format!("container {} is not running: nobody was sent {signal}", key.container);
            refuse(Code::FailedPrecondition, Reason::NotReady, message)
        }
        Err(error) => {
            refuse(Code::Internal, Reason::Degraded, format!("{signal} to container {}: {error}", key.container))
        }
    }
}

/// By pid, or by its place in /proc.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ESRCH as i32) || error.kind() == io::ErrorKind::NotFound
}

/// To this process, and to none that has its pid later.
fn deliver(process: Process, signal: Signal) -> io::Result<()> {
    let handle = pidfd::open(process.pid)?;
    let stat = proc::stat(Path::new("/proc"), process.pid)?;
    if stat.start_ticks != process.start_ticks {
        return Err(Errno::ESRCH.into());
    }
    pidfd::send_signal(handle.as_fd(), signal as i32)
}
