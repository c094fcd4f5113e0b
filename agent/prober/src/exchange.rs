//! One request and the head of its answer, over a connection that is closed afterwards.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{HeaderMap, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::dial::{DialError, dial, words};
use crate::target::Target;
use crate::tls::{self, Offer, TlsError};

/// Most header lines of an answer.
const MAX_HEADERS: usize = 512;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// No connection.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// No TLS.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The request cannot be written.
    #[error("{0}")]
    Request(String),
    /// The answer is no HTTP, or there is none.
    #[error("{}", http_words(.0))]
    Http(#[from] hyper::Error),
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    // Moves the connection's bytes; ends with it.
    _driver: AbortOnDropHandle<()>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Reads up to `limit` bytes of the body.
    ///
    /// # Errors
    /// The body broke off before that.
    pub(crate) async fn body(&mut self, limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut body = Vec::new();
        while body.len() < limit {
            let Some(frame) = self.response.body_mut().frame().await else { break };
            if let Ok(data) = frame?.into_data() {
                body.extend_from_slice(&data[..data.len().min(limit - body.len())]);
            }
        }
        Ok(body)
    }
}

/// Connects, asks, and reads the answer's head.
///
/// # Errors
/// What kept it from that.
pub(crate) async fn exchange(
    target: &Target,
    headers: &HeaderMap,
    offer: Offer,
    deadline: Option<Instant>,
) -> Result<Answer, ExchangeError> {
    let stream = dial(target.host(), target.port(), deadline).await?;
    if !target.is_tls() {
        return by_http1(stream, target, headers).await;
    }
    let stream = tls::handshake(stream, target.host(), offer).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => by_http2(stream, target, headers).await,
        Some(_) | None => by_http1(stream, target, headers).await,
    }
}

async fn by_http1<S>(stream: S, target: &Target, headers: &HeaderMap) -> Result<Answer, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // What Go's client lets pass, this one does too.
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).max_headers(MAX_HEADERS).ignore_invalid_headers_in_responses(true);
    builder.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let driver = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let mut request = request(target.path(), headers)?;
    let host = HeaderValue::from_str(target.host_header());
    let host = host.map_err(|_| ExchangeError::Request("invalid header field value for \"Host\"".to_owned()))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let response = sender.send_request(request).await?;
    Ok(Answer { response, _driver: driver })
}

async fn by_http2<S>(stream: S, target: &Target, headers: &HeaderMap) -> Result<Answer, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
    let driver = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let uri = format!("https://{}{}", target.host_header(), target.path());
    let mut request = request(&uri, headers)?;
    *request.version_mut() = Version::HTTP_2;
    let response = sender.send_request(request).await?;
    Ok(Answer { response, _driver: driver })
}

fn request(uri: &str, headers: &HeaderMap) -> Result<Request<Empty<Bytes>>, ExchangeError> {
    let uri: Uri = uri.parse().map_err(|error| ExchangeError::Request(format!("invalid URL {uri:?}: {error}")))?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    Ok(request)
}

fn http_words(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => words(error),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None => source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}
