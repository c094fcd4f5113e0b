//! Connecting to the daemon.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::flow::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::v1::barepod_client::BarepodClient;

/// The socket cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no socket: the daemon has never run here, or runs elsewhere.
    #[error("there is no barepodd at {}: is it running? Try `systemctl status barepod`", .0.display())]
    Absent(PathBuf),
    /// The socket is there but nobody listens.
    #[error("barepodd does not answer at {}: it is not running. Services run on without it; start it with `systemctl start barepod`", .0.display())]
    Dead(PathBuf),
    /// This user may not.
    #[error("no permission to use {}: run as root, or as a member of the group that owns the socket", .0.display())]
    Forbidden(PathBuf),
    /// Anything else.
    #[error("cannot connect to {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl ConnectError {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent(path),
            io::ErrorKind::ConnectionRefused => Self::Dead(path),
            io::ErrorKind::PermissionDenied => Self::Forbidden(path),
            _ => Self::Io { path, source },
        }
    }
}

/// Largest message taken: a describe of many pods, a manifest with a large ConfigMap.
const MAX_MESSAGE: usize = 64 << 20;

/// Connects to the daemon's socket.
///
/// # Errors
/// Why it cannot be reached, in words for a person.
pub async fn connect(socket: &Path) -> Result<BarepodClient<Channel>, ConnectError> {
    // tonic reports a failed connect as an opaque transport error, so the first connection is made here.
    let first = UnixStream::connect(socket).await.map_err(|e| ConnectError::new(socket, e))?;
    let mut first = Some(first);
    let path = socket.to_owned();
    let connector = service_fn(move |_: Uri| {
        let (ready, path) = (first.take(), path.clone());
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => UnixStream::connect(path).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The connector above knows where to.
    let channel = endpoint().connect_with_connector_lazy(connector);
    Ok(BarepodClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}

/// A client for the daemon's socket, whether it is there or not: each call connects anew where that is needed.
#[must_use]
pub fn reach(socket: &Path) -> BarepodClient<Channel> {
    anew(&endpoint(), socket)
}

fn anew(endpoint: &Endpoint, socket: &Path) -> BarepodClient<Channel> {
    let path = socket.to_owned();
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    let channel = endpoint.connect_with_connector_lazy(connector);
    BarepodClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}

/// A client for one stream: it has a connection of its own, which holds up nobody else's when its reader is slow, and little in
/// memory meanwhile.
#[derive(Debug)]
pub struct StreamClient {
    /// For one call.
    pub client: BarepodClient<Channel>,
    /// Hung up at the end: a call that is dropped does not end by itself while requests of it wait for a daemon that does not
    /// read them.
    _line: Line,
}

/// The same as [`reach`], for a program that acts for others than the user it runs as: what it may do is judged by whom it acts for.
#[must_use]
pub fn reach_for(socket: &Path, whom: ActsFor) -> BarepodClient<Channel> {
    anew(&named(endpoint(), whom), socket)
}

/// The same as [`reach_for_stream`], as [`reach_for`].
#[must_use]
pub fn reach_for_stream_for(socket: &Path, whom: ActsFor) -> StreamClient {
    stream(&named(for_stream(), whom), socket)
}

fn named(endpoint: Endpoint, whom: ActsFor) -> Endpoint {
    endpoint.user_agent(whom.as_str()).expect("a word of letters can be a header")
}

/// For whom a program at the socket acts, if not for its own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActsFor {
    /// Whoever submits jobs to a Nomad cluster.
    Nomad,
}

impl ActsFor {
    /// As it stands first in the header `user-agent`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nomad => "barepod-nomad-driver",
        }
    }

    /// Who a request says that it acts for, by that header.
    #[must_use]
    pub fn of(user_agent: &str) -> Option<Self> {
        let first = user_agent.split(' ').next()?;
        [Self::Nomad].into_iter().find(|whom| whom.as_str() == first)
    }
}

/// A client for one stream, which ends when the client is dropped. The socket may be there or not, as for [`reach`].
#[must_use]
pub fn reach_for_stream(socket: &Path) -> StreamClient {
    stream(&for_stream(), socket)
}

fn stream(endpoint: &Endpoint, socket: &Path) -> StreamClient {
    let line = Line::default();
    StreamClient { client: lazily(endpoint, socket, Arc::clone(&line.0)), _line: line }
}

fn for_stream() -> Endpoint {
    let endpoint = Endpoint::from_static(NOWHERE);
    endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(STREAM_WINDOW)
}

/// The connection, to be shut down.
#[derive(Debug, Default)]
struct Line(Held);

type Held = Arc<Mutex<Option<net::UnixStream>>>;

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(stream) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn lazily(endpoint: &Endpoint, socket: &Path, held: Held) -> BarepodClient<Channel> {
    let path = socket.to_owned();
    let connector = service_fn(move |_: Uri| {
        let (path, held) = (path.clone(), Arc::clone(&held));
        async move {
            let stream = UnixStream::connect(path).await?;
            let copy = net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
            *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    BarepodClient::new(endpoint.connect_with_connector_lazy(connector)).max_decoding_message_size(MAX_MESSAGE)
}

fn endpoint() -> Endpoint {
    let endpoint = Endpoint::from_static(NOWHERE);
    endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW)
}

/// Looked up by nobody.
const NOWHERE: &str = "http://barepod.invalid";
