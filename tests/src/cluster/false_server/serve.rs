//! Connections: each client's is paired with one to the API server, and what is asked on the one is asked on the other.
//!
//! Both speak HTTP/1.1, so that a watch has a connection of its own that can be cut. What would become another protocol
//! (exec, port-forward) is not passed on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::body::{self, Any};
use super::identity::Identity;
use super::rule::Rules;
use super::{Answer, Asked, tls};
use crate::cluster::{ClusterError, ControlPlane};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What all connections share.
pub(super) struct Shared {
    api_server: SocketAddr,
    acceptor: TlsAcceptor,
    /// For who has shown a certificate: by one's own, one may speak for others.
    for_others: TlsConnector,
    /// For who has not.
    for_nobody: TlsConnector,
    pub(super) rules: Rules,
    /// Every connection ends when this is said.
    pub(super) cut: Notify,
    log: Mutex<Vec<Asked>>,
}

impl Shared {
    pub(super) fn new(plane: &ControlPlane) -> Result<Self, ClusterError> {
        Ok(Self {
            api_server: plane.address(),
            acceptor: tls::acceptor(plane)?,
            for_others: tls::connector(plane, Some(&plane.pki.front_proxy_client))?,
            for_nobody: tls::connector(plane, None)?,
            rules: Rules::default(),
            cut: Notify::new(),
            log: Mutex::default(),
        })
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("api_server", &self.api_server)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Takes every connection, for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // One that has gone before it was taken is no reason to end.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

/// One connection. How it ends concerns the other side only.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let ended = async {
        let stream = shared.acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let client = Arc::new(Client {
            identity: certificate.and_then(|certificate| Identity::of(certificate)),
            upstream: tokio::sync::Mutex::default(),
            shared: Arc::clone(&shared),
        });
        let service = service_fn(move |request| Arc::clone(&client).answer(request));
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
        Ok::<_, Error>(())
    };
    tokio::select! {
        _ = ended => {}
        () = shared.cut.notified() => {}
    }
}

/// Who is connected.
struct Client {
    identity: Option<Identity>,
    /// The connection to the API server, once there was something to ask.
    upstream: tokio::sync::Mutex<Option<SendRequest<Incoming>>>,
    shared: Arc<Shared>,
}

impl Client {
    /// An error ends the connection without an answer.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Any>, Error> {
        let user = self.identity.as_ref().map(|identity| identity.user.clone());
        let asked = Asked::new(request.method(), request.uri(), user);
        let answer = self.shared.rules.answer(&asked);
        self.shared.log().push(asked);
        let Some(answer) = answer else { return Ok(body::passed_on(self.pass_on(request).await?)) };
        match answer {
            Answer::Status(code) => Ok(body::status(code, None)),
            Answer::RetryAfter(seconds) => Ok(body::status(429, Some(seconds))),
            Answer::WatchError(code) => Ok(body::watch_error(code)),
            Answer::EmptyList => body::shortened(self.pass_on(as_json(request)).await?, |_| 0).await,
            Answer::HalfList => body::shortened(self.pass_on(as_json(request)).await?, |count| count / 2).await,
            Answer::CutAfter(bytes) => Ok(body::cut(self.pass_on(request).await?, bytes)),
            Answer::Cut => Err(CUT.into()),
            Answer::CutAnswer => self.pass_on(request).await.and(Err(CUT.into())),
            Answer::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(body::passed_on(self.pass_on(request).await?))
            }
            Answer::Silence => std::future::pending().await,
        }
    }

    async fn pass_on(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Error> {
        Identity::put(self.identity.as_ref(), request.headers_mut());
        // What is to be changed or cut must be readable.
        request.headers_mut().remove(ACCEPT_ENCODING);
        let mut upstream = self.upstream.lock().await;
        let is_open = match upstream.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let sender = if is_open { upstream.take() } else { None };
        let mut sender = match sender {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(request).await?;
        *upstream = Some(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, Error> {
        let address = self.shared.api_server;
        let connector = if self.identity.is_some() { &self.shared.for_others } else { &self.shared.for_nobody };
        let stream = TcpStream::connect(address).await?;
        let stream = connector.connect(ServerName::from(address.ip()), stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender and the last answer's body.
        tokio::spawn(connection);
        Ok(sender)
    }
}

const CUT: &str = "the connection is cut as was ordered";

fn as_json(mut request: Request<Incoming>) -> Request<Incoming> {
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}
