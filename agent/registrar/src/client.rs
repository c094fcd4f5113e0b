//! Nomad's HTTP API, as far as it is asked here. The token is read for each request and is never shown.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tls::{self, Stamp, TlsError};
use crate::{Settings, SettingsError};

const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take, beyond what it was asked to wait.
const LIMIT: Duration = Duration::from_secs(30);
/// Two hundred allocations, each with its job.
const LONGEST: usize = 64 << 20;
/// Of an error's text.
const MOST_WORDS: usize = 500;
const IDLE: Duration = Duration::from_secs(30);

type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why Nomad did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token.
    #[error("the token cannot be read from {}: {message}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Nobody is there, or nobody who is believed.
    #[error("the Nomad agent at {address} cannot be asked: {message}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        message: String,
    },
    /// It is silent.
    #[error("the Nomad agent at {0} does not answer")]
    Late(String),
    /// It refuses.
    #[error("Nomad refuses {request} with {status}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The code.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// It says something that is not understood.
    #[error("Nomad's answer to {request} is not understood: {message}")]
    Malformed {
        /// What was asked.
        request: String,
        /// Why.
        message: String,
    },
}

impl ClientError {
    /// There is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    /// The token is not known, or is not for this.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, .. })
    }

    /// Somebody else has changed the job meanwhile.
    #[must_use]
    pub fn is_outrun(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains("Enforcing job modify index"))
    }

    /// In words, with what helps where that is known.
    #[must_use]
    pub fn with_remedy(&self) -> String {
        match self.is_forbidden() {
            true => format!("{self}; is it the token of this host? `barepod nomad setup` gets another one"),
            false => self.to_string(),
        }
    }

    /// What was asked will not do. Credentials, connections and servers without a leader are something else; a job that is not
    /// valid is answered with 500 as those are, and with a list of faults.
    #[must_use]
    pub fn is_about_what_was_asked(&self) -> bool {
        match self {
            Self::Refused { status, message, .. } => {
                *status == StatusCode::BAD_REQUEST || (status.is_server_error() && message.contains("occurred:"))
            }
            _ => false,
        }
    }
}

/// Asks one agent.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    /// A token of somebody else's, instead of the file.
    token: Option<String>,
    held: Mutex<Option<(Stamp, Http)>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// How old it is, in Nomad's count.
    pub(crate) index: u64,
    pub(crate) value: T,
}

impl Client {
    /// # Errors
    /// The settings make no sense.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        settings.check()?;
        Ok(Self { settings, token: None, held: Mutex::default() })
    }

    /// The same, by somebody else's token.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_token(settings: Settings, token: Option<String>) -> Result<Self, ClientError> {
        Ok(Self { token, ..Self::new(settings)? })
    }

    /// How it was made.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// # Errors
    /// There is no answer, or another than was expected.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, None, Duration::ZERO).await.map(|answer| answer.value)
    }

    /// What is there once it is not as old as `index` any more, or after a while.
    pub(crate) async fn wait<T: DeserializeOwned>(
        &self,
        path: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Answer<T>, ClientError> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}index={index}&wait={}s", wait.as_secs());
        // Nomad adds up to a sixteenth, so that not all come at once.
        self.ask(Method::GET, &path, None, wait + wait / 8).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        self.ask(Method::PUT, path, Some(body), Duration::ZERO).await.map(|answer| answer.value)
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::DELETE, path, None, Duration::ZERO).await.map(|answer| answer.value)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer<T>, ClientError> {
        let asked = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let malformed = |message: String| ClientError::Malformed { request: asked.clone(), message };
        let address = self.settings.address.trim_end_matches('/');
        let uri = match &self.settings.region {
            Some(region) if path.contains('?') => format!("{address}{path}&region={region}"),
            Some(region) => format!("{address}{path}?region={region}"),
            None => format!("{address}{path}"),
        };
        let uri: Uri = uri.parse().map_err(|error: hyper::http::uri::InvalidUri| malformed(error.to_string()))?;
        let mut request = Request::builder().method(method).uri(uri).header(ACCEPT, "application/json");
        request = request.header(USER_AGENT, concat!("barepod/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = self.token()? {
            request = request.header("X-Nomad-Token", token);
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::from(body));
        let request = request.map_err(|error| malformed(error.to_string()))?;
        let answer = tokio::time::timeout(LIMIT + patience, self.converse(request)).await;
        let (status, index, body) = answer.map_err(|_| ClientError::Late(address.to_owned()))??;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            let message = text.trim().chars().take(MOST_WORDS).collect();
            return Err(ClientError::Refused { request: asked, status, message });
        }
        // Some answers have no body at all.
        let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
        let value = serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
        Ok(Answer { index, value })
    }

    async fn converse(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, u64, Bytes), ClientError> {
        let unreachable = |error: &dyn std::error::Error| ClientError::Unreachable {
            address: self.settings.address.clone(),
            message: chain(error),
        };
        let response = self.http()?.request(request).await.map_err(|error| unreachable(&error))?;
        let index = response.headers().get("X-Nomad-Index").and_then(|index| index.to_str().ok()?.parse().ok());
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?.to_bytes();
        Ok((status, index.unwrap_or_default(), body))
    }

    fn token(&self) -> Result<Option<HeaderValue>, ClientError> {
        let (path, token) = match (&self.token, &self.settings.token_file) {
            (Some(token), _) => (PathBuf::from("NOMAD_TOKEN"), token.clone()),
            (None, None) => return Ok(None),
            (None, Some(path)) => {
                let read = fs_err::read_to_string(path);
                let unreadable = |error: std::io::Error| ClientError::Token {
                    path: path.clone(),
                    message: format!("{error}; `barepod nomad setup` writes one"),
                };
                (path.clone(), read.map_err(unreadable)?)
            }
        };
        let no_token = |_| ClientError::Token { path, message: "it holds no token".to_owned() };
        let mut value = HeaderValue::from_str(token.trim()).map_err(no_token)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// With connections of its own for each set of certificates.
    fn http(&self) -> Result<Http, ClientError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tls::stamp(&self.settings);
        if let Some((_, http)) = held.as_ref().filter(|(stamp, _)| *stamp == now) {
            return Ok(http.clone());
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let https = tls::connector(&self.settings, connector)?;
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
        let http: Http = builder.build(https);
        *held = Some((now, http.clone()));
        Ok(http)
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
