//! The socket: who may use it, and what each call does.

mod access;
pub(crate) mod amounts;
mod attach;
mod cluster;
mod condition;
mod config;
mod convert;
mod exec;
mod follow;
mod gate;
mod listeners;
mod logs;
mod machine;
mod policy;
mod service;
mod shutdown;
mod signal;
mod stats;
mod stream;
mod volumes;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use barepod_api::flow;
use barepod_api::v1::barepod_server::BarepodServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

pub(crate) use access::Access;
pub(crate) use machine::Machine;
pub(crate) use service::Service;
pub(crate) use stats::Gauge;

/// Largest message taken from a client: a set of manifests.
const MAX_MESSAGE: usize = 16 << 20;

/// Binds the socket, taking the place of one that a dead daemon left.
///
/// # Errors
/// The directory is not writable, or the socket's group cannot be set.
pub(crate) fn bind(path: &Path, access: &Access) -> io::Result<UnixListener> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    give_to(path, access)?;
    // Who connects is checked once more by credentials: see `Access`.
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Lets the group connect that may.
///
/// # Errors
/// The socket is not there, or not the daemon's.
pub(crate) fn give_to(socket: &Path, access: &Access) -> io::Result<()> {
    let group = access.group().unwrap_or_else(nix::unistd::getegid);
    Ok(nix::unistd::chown(socket, None, Some(group))?)
}

/// Serves until `stop`, then lets running calls end.
///
/// # Errors
/// The transport failed.
pub(crate) async fn serve(
    listener: UnixListener,
    service: Service,
    access: Access,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = BarepodServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    Server::builder()
        .max_concurrent_streams(flow::STREAMS)
        .initial_stream_window_size(flow::STREAM_WINDOW)
        .initial_connection_window_size(flow::CONNECTION_WINDOW)
        .add_service(InterceptedService::new(service, access))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned())
        .await
}
