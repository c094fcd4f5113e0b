//! One question to an API server. No client library: the command line starts in milliseconds and asks three times at most.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::store::Identity;
use crate::trust::{Believed, tls};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What is asked for here is small.
const LONGEST: usize = 1 << 20;

/// Who asks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asker<'a> {
    /// Its token.
    pub(crate) token: Option<&'a str>,
    /// Its certificate.
    pub(crate) identity: Option<&'a Identity>,
    /// The name that must be in the server's certificate, if it is not the host's.
    pub(crate) server_name: Option<&'a str>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Nobody is there.
    #[error("{server} cannot be reached; is the address right, and may this host go there?")]
    Unreachable {
        /// Where.
        server: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// Somebody is there who speaks something else.
    #[error("{0} answers, but not in TLS; an API server does: is it another port?")]
    NotTls(Endpoint),
    /// It is not who it should be.
    #[error("{server} is not believed: its certificate is not one of this cluster's for this address")]
    Untrusted {
        /// Where.
        server: Endpoint,
        /// Why.
        source: rustls::Error,
    },
    /// It is silent.
    #[error("{0} does not answer within {LIMIT:?}; is the address right, and may this host go there?")]
    Late(Endpoint),
    /// The conversation broke off.
    #[error("the conversation with {server} broke off")]
    Broken {
        /// Where.
        server: Endpoint,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up here.
    #[error("cannot speak TLS with these certificates")]
    Tls(#[from] rustls::Error),
}

/// Asks for a path.
pub(crate) async fn get(
    server: &Endpoint,
    path: &str,
    believed: Believed<'_>,
    asker: Asker<'_>,
) -> Result<Response, HttpsError> {
    match tokio::time::timeout(LIMIT, ask(server, path, believed, asker)).await {
        Ok(result) => result,
        Err(_) => Err(HttpsError::Late(server.clone())),
    }
}

async fn ask(server: &Endpoint, path: &str, believed: Believed<'_>, asker: Asker<'_>) -> Result<Response, HttpsError> {
    let broken =
        |source: Box<dyn std::error::Error + Send + Sync>| HttpsError::Broken { server: server.clone(), source };
    let stream = connect(server, believed, asker).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
    let mut request = Request::get(format!("{}{path}", server.path()))
        .header(HOST, server.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("barepod/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = asker.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| broken(error.into()))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
        Ok(Response { status, body })
    };
    // The connection ends with the answer: nobody else needs it.
    tokio::select! {
        answer = answer => answer.map_err(broken),
        Err(error) = connection => Err(broken(error.into())),
    }
}

async fn connect(
    server: &Endpoint,
    believed: Believed<'_>,
    asker: Asker<'_>,
) -> Result<TlsStream<TcpStream>, HttpsError> {
    let unreachable = |source| HttpsError::Unreachable { server: server.clone(), source };
    let config = tls(believed, asker.identity)?;
    let name = asker.server_name.unwrap_or(server.host()).to_owned();
    let name = ServerName::try_from(name).map_err(|error| unreachable(io::Error::other(error)))?;
    let stream = TcpStream::connect((server.host(), server.port())).await.map_err(unreachable)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| no_handshake(server, error))
}

fn no_handshake(server: &Endpoint, error: io::Error) -> HttpsError {
    let server = server.clone();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => HttpsError::NotTls(server),
        Some(source @ rustls::Error::InvalidCertificate(_)) => HttpsError::Untrusted { server, source: source.clone() },
        // Who does not understand the first message hangs up.
        None if error.kind() == io::ErrorKind::UnexpectedEof => HttpsError::NotTls(server),
        Some(_) | None => HttpsError::Broken { server, source: error.into() },
    }
}
