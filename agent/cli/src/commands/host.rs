//! `barepod host`: what is about the host as a whole.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use barepod_api::v1::{ShutdownRequest, ShutdownResponse, shutdown_request::Action};
use tonic::{Code, Status};

use super::Client;
use crate::args::{Host, Shutdown};
use crate::output::print;
use crate::refusal::from_status;

/// A daemon that is replaced meanwhile is there again by then.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn run(socket: &Path, args: Host) -> Result<ExitCode> {
    match args {
        Host::Shutdown(args) => shutdown(socket, &args).await,
    }
}

/// Asks until it is done: the daemon may be killed and replaced meanwhile.
async fn shutdown(socket: &Path, args: &Shutdown) -> Result<ExitCode> {
    let action = if args.call_off { Action::CallOff } else { Action::Begin };
    let mut client = barepod_api::reach(socket);
    let mut since = Instant::now();
    loop {
        match once(&mut client, action, &mut since).await {
            Ok(()) => break,
            Err(status) if is_away(&status) && since.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Err(status) => return Err(from_status(status)),
        }
    }
    print(if args.call_off { "the host stays up\n" } else { "all pods have ended\n" })?;
    Ok(ExitCode::SUCCESS)
}

/// `heard` is when the daemon was last there.
async fn once(client: &mut Client, action: Action, heard: &mut Instant) -> Result<(), Status> {
    let mut states = client.shutdown(ShutdownRequest { action: action.into() }).await?.into_inner();
    let mut is_over = false;
    while let Some(ShutdownResponse { goes_down, remaining }) = states.message().await? {
        *heard = Instant::now();
        if goes_down && !remaining.is_empty() {
            print(&format!("waiting for {}\n", remaining.join(", ")))
                .map_err(|error| Status::internal(error.to_string()))?;
        }
        is_over = if action == Action::Begin { remaining.is_empty() } else { !goes_down };
        if action == Action::Begin && !goes_down {
            return Err(Status::aborted("somebody has called it off: the host stays up"));
        }
    }
    // A daemon that ends closes its streams in good order.
    is_over.then_some(()).ok_or_else(|| Status::unavailable("barepodd has ended"))
}

fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}
