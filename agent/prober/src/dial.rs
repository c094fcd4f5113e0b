//! Connections: a name or address to a stream.
//!
//! Errors read as Go's do, since people search for the words that kubelet's events have. kubelet sets SO_LINGER to one
//! second on the sockets of its probes; here nothing lingers, for close(2) would then hold up every other probe of this
//! thread until a peer has acknowledged.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

/// An address of several gets at least this long.
const LEAST: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name has no address.
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The last address tried did not take the connection.
    Connect {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// This host has no socket, port or memory left for one. The service is not to blame.
    Unable(io::Error),
}

impl DialError {
    /// Whether the service is not to blame.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Unable(_))
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup { host, source } => write!(f, "dial tcp: lookup {host}: {}", words(source)),
            Self::Connect { address, source } if source.kind() == io::ErrorKind::TimedOut => {
                write!(f, "dial tcp {address}: i/o timeout")
            }
            Self::Connect { address, source } => write!(f, "dial tcp {address}: connect: {}", words(source)),
            Self::Unable(source) => write!(f, "this host cannot connect: {}", words(source)),
        }
    }
}

impl std::error::Error for DialError {}

/// Connects to the first address of `host` that takes it, until `deadline`: each address has its share of the time.
///
/// # Errors
/// What the last address said.
pub(crate) async fn dial(host: &str, port: u16, deadline: Option<Instant>) -> Result<TcpStream, DialError> {
    let addresses = lookup(host, port, deadline).await?;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut last = nothing_there(host);
    for address in addresses {
        match connect(address, share(deadline, left)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
        left -= 1;
    }
    Err(last)
}

async fn lookup(host: &str, port: u16, deadline: Option<Instant>) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let lookup = async { tokio::net::lookup_host((host, port)).await.map(Iterator::collect) };
    within(deadline, lookup).await.map_err(|source| DialError::Lookup { host: host.to_owned(), source })
}

fn nothing_there(host: &str) -> DialError {
    let source = io::Error::new(io::ErrorKind::NotFound, "no such host");
    DialError::Lookup { host: host.to_owned(), source }
}

/// When an attempt on one of `left` addresses has to end.
fn share(deadline: Option<Instant>, left: u32) -> Option<Instant> {
    let deadline = deadline?;
    let now = Instant::now();
    let share = deadline.saturating_duration_since(now) / left.max(1);
    Some(deadline.min(now + share.max(LEAST)))
}

async fn connect(address: SocketAddr, deadline: Option<Instant>) -> Result<TcpStream, DialError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(DialError::Unable)?;
    // A hook may wait long for its answer; a peer that is gone shall not keep it.
    socket.set_keepalive(true).map_err(DialError::Unable)?;
    within(deadline, socket.connect(address)).await.map_err(|source| match Errno::from_raw(code(&source)) {
        Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN => DialError::Unable(source),
        _ => DialError::Connect { address, source },
    })
}

async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match deadline {
        None => work.await,
        Some(deadline) => {
            tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
    }
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

/// An error as Go words it: the kernel's text in lower case, and `EOF`.
pub(crate) fn words(error: &io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        (Some(code), _) => {
            let text = Errno::from_raw(code).desc();
            let mut letters = text.chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
        (None, io::ErrorKind::UnexpectedEof) => "EOF".to_owned(),
        (None, io::ErrorKind::TimedOut) => "i/o timeout".to_owned(),
        (None, _) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A port of the loopback on which nothing listens.
    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_refusal_reads_as_gos() {
        let address = closed().await;

        let error = dial("127.0.0.1", address.port(), None).await.unwrap_err();

        assert_eq!(error.to_string(), format!("dial tcp {address}: connect: connection refused"));
        assert!(!error.is_ours());
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_named() {
        let error = dial("no-such-host.invalid", 80, None).await.unwrap_err().to_string();

        assert!(error.starts_with("dial tcp: lookup no-such-host.invalid: "), "{error}");
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();

        let stream = dial("localhost", listener.local_addr().unwrap().port(), None).await.unwrap();

        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn several_addresses_share_the_time_that_is_left() {
        let deadline = Instant::now() + Duration::from_secs(12);

        assert_eq!(share(Some(deadline), 3), Some(Instant::now() + Duration::from_secs(4)));
        assert_eq!(share(Some(deadline), 100), Some(Instant::now() + LEAST));
        assert_eq!(share(Some(deadline), 1), Some(deadline));
        assert_eq!(share(None, 3), None);
    }

    #[test]
    fn what_this_host_lacks_is_not_the_services_fault() {
        assert!(DialError::Unable(io::Error::from_raw_os_error(libc::EMFILE)).is_ours());
    }
}
