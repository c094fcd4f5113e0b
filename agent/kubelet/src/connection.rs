//! One connection: TLS, then requests by HTTP/1.1 or HTTP/2, with bounds on whatever a client may make large or slow.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::guests::Visit;
use crate::port::Port;

/// How long a request's head may take, and how long a connection may wait for the next request; as kubelet's idle time-out.
const HEAD: Duration = Duration::from_secs(90);
/// Bytes of a request's head: a command of `kubectl exec` is in it.
const HEAD_BYTES: usize = 128 << 10;
/// HTTP/2's requests of one connection at a time, and the bytes that are on their way for each and for all.
const STREAMS: u32 = 128;
const STREAM_BYTES: u32 = 64 << 10;
const CONNECTION_BYTES: u32 = 256 << 10;
/// Whether a client of HTTP/2 is there still.
const PING: Duration = Duration::from_secs(30);
/// The same for every connection, by TCP.
const KEEPALIVE_SECONDS: u32 = 15;

/// Whose connection it is.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// What it has shown of itself, which proves nothing yet.
    pub(crate) certificates: Arc<[CertificateDer<'static>]>,
    /// Its place here, which whoever takes the connection over holds on to.
    pub(crate) visit: Arc<Visit>,
}

/// Serves it until it ends, or has to go.
pub(crate) async fn serve(stream: TcpStream, acceptor: TlsAcceptor, port: Arc<Port>, visit: Arc<Visit>) {
    keep_alive(&stream);
    let served = async {
        match acceptor.accept(stream).await {
            Ok(stream) => speak(stream, port, Arc::clone(&visit)).await,
            Err(error) => tracing::debug!("a client does not speak TLS: {error}"),
        }
    };
    tokio::select! {
        () = served => {}
        () = visit.over() => {}
    }
}

/// Who goes without a word is noticed.
fn keep_alive(stream: &TcpStream) {
    let is_set = stream.set_nodelay(true).is_ok()
        && setsockopt(stream, sockopt::KeepAlive, &true).is_ok()
        && setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_SECONDS).is_ok()
        && setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_SECONDS).is_ok();
    if !is_set {
        tracing::debug!("a client has gone already");
    }
}

async fn speak(stream: TlsStream<TcpStream>, port: Arc<Port>, visit: Arc<Visit>) {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().cloned().map(CertificateDer::into_owned).collect();
    let peer = Peer { certificates, visit };
    let service = service_fn(move |request: Request<Incoming>| {
        let (port, peer) = (Arc::clone(&port), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(port.answer(request, peer).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .max_send_buf_size(STREAM_BYTES as usize)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!("a client's connection has ended: {error}");
    }
}
