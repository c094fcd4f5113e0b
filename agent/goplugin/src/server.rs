//! From the start of the process to its end.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic_health::ServingStatus;

use crate::handshake::{Handshake, Refusal};
use crate::socket::{self, Socket};
use crate::standard::Standard;
use crate::wire::grpc_broker_server::GrpcBrokerServer;
use crate::wire::grpc_controller_server::GrpcControllerServer;
use crate::wire::grpc_stdio_server::GrpcStdioServer;

/// The service whose health go-plugin asks for.
const HEALTH: &str = "plugin";

/// How long calls may take to end when the host wants the plugin no longer; it kills after two seconds.
const DRAIN: Duration = Duration::from_millis(500);

/// Calls of one connection at a time. A host may have several that wait for each thing the plugin looks after.
const STREAMS: u32 = 1 << 20;

/// Why a plugin cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody is there whom it could serve.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// There is no socket.
    #[error("the plugin's socket cannot be made")]
    Socket(#[source] io::Error),
    /// The host cannot be told.
    #[error("the host does not read where the plugin listens")]
    Handshake(#[source] io::Error),
    /// The signals.
    #[error("SIGINT cannot be ignored")]
    Signal(#[source] io::Error),
    /// The transport.
    #[error("the plugin's socket failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until the host wants the plugin no longer. `add` adds the plugin's own services; the token it is given is cancelled at
/// the end, for streams that have none of their own.
///
/// Must be called once, early, and from within a tokio runtime. Nothing else may write to standard output.
///
/// # Errors
/// The process was not started by a host, or cannot listen.
pub async fn serve(
    handshake: Handshake,
    add: impl FnOnce(&mut RoutesBuilder, CancellationToken),
) -> Result<(), ServeError> {
    handshake.check(|name| std::env::var(name).ok())?;
    // Caught, and never looked at: the process has no other way to ignore it without unsafe code.
    let _interrupts = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    let stop = CancellationToken::new();
    let socket = Socket::bind(&socket::directory()).map_err(ServeError::Socket)?;
    say(&handshake.line(&socket.path)).map_err(ServeError::Handshake)?;
    let served = Server::builder()
        .max_concurrent_streams(STREAMS)
        .add_routes(routes(add, &stop).await)
        .serve_with_incoming_shutdown(UnixListenerStream::new(socket.listener), stop.clone().cancelled_owned());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = served => Ok(served?),
        () = drained => Ok(()),
    }
}

async fn routes(
    add: impl FnOnce(&mut RoutesBuilder, CancellationToken),
    stop: &CancellationToken,
) -> tonic::service::Routes {
    let standard = Standard { stop: stop.clone() };
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_service_status(HEALTH, ServingStatus::Serving).await;
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(GrpcControllerServer::new(standard.clone()))
        .add_service(GrpcStdioServer::new(standard.clone()))
        .add_service(GrpcBrokerServer::new(standard))
        .add_service(health_server);
    add(&mut routes, stop.clone());
    routes.routes()
}

/// The only thing that is ever written there.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}
