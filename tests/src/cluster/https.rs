//! Asks by HTTPS as anybody, with any credentials or none: kubectl prompts for a name where it has none, and it asks the API
//! server alone.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::Pair;

/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pair: Option<Arc<Pair>>,
    token: Option<String>,
}

/// Status and body of an answer.
pub type Answer = (u16, String);

/// A connection that is open.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Credentials {
    /// Nobody's.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whoever has this token.
    pub fn token(token: &str) -> Self {
        Self { pair: None, token: Some(token.to_owned()) }
    }

    pub(super) fn certificate(pair: Pair) -> Self {
        Self { pair: Some(Arc::new(pair)), token: None }
    }

    /// The same with a token as well.
    #[must_use]
    pub fn and_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }
}

/// One question, and its answer.
pub(super) fn ask(
    address: SocketAddr,
    authority: &CertificateDer<'_>,
    who: &Credentials,
    (method, path): (&str, &str),
) -> io::Result<Answer> {
    let mut stream = connect(address, authority, who)?;
    let token = who.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // Of this version, an answer ends with its connection.
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json, */*\r\n{token}\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Without a last word of TLS, which an end of HTTP/1.0 need not have.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

/// A connection of somebody to a server whose certificate this authority has signed.
pub(super) fn connect(
    address: SocketAddr,
    authority: &CertificateDer<'_>,
    who: &Credentials,
) -> io::Result<Connection> {
    let config = config(authority, who).map_err(io::Error::other)?;
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::from(address.ip())).map_err(io::Error::other)?;
    let socket = TcpStream::connect_timeout(&address, SILENCE)?;
    socket.set_read_timeout(Some(SILENCE))?;
    Ok(StreamOwned::new(connection, socket))
}

fn config(
    authority: &CertificateDer<'_>,
    who: &Credentials,
) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    Ok(match &who.pair {
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes())?];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?)?
        }
        None => config.with_no_client_auth(),
    })
}
