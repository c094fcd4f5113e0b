//! The client of the API server: one that notices soon when nobody is at the other end any more, and whose credentials are
//! exchanged while it is in use.
//!
//! With new credentials come new connections, and a TLS configuration of their own: a session that is resumed, or a connection
//! that is kept, would go on under the old ones. What is under way on the old connections ends there; the API server looks at
//! credentials when a request begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use barepod_credentials::Identity;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use kube::client::{Body, ConfigExt as _};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::{Semaphore, watch};
use tower::{BoxError, Service, ServiceBuilder};

/// A connection that is not made by then is tried again: a network that was away may be back.
const CONNECT: Duration = Duration::from_secs(3);
/// A watch only listens: without this it would not notice that its server has gone without a word. Asked more often than this,
/// the kernels of a node and its server would send more to and fro than all requests of a quiet node.
const QUIET: Duration = Duration::from_secs(15);
/// From the first such question that is not answered to the next.
const INTERVAL: Duration = Duration::from_secs(2);
const PROBES: u32 = 3;
/// So many calls at a time, each on a connection of its own: two hundred pods at once are no reason for as many handshakes. Watches
/// are apart, for they do not end.
const CALLS: usize = 16;
/// A connection that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// Why a kubeconfig leads to no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// It cannot be read.
    #[error("cannot use {}", .path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// TLS or credentials in it cannot be used.
    #[error("{} leads to no cluster", .path.display())]
    Client {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A client with the credentials of a kubeconfig; of a certificate of the node's own, if it is given.
pub(crate) async fn connect(kubeconfig: &Path, identity: Option<&Identity>) -> Result<Client, ConnectionError> {
    let path = || kubeconfig.to_owned();
    let unusable = |source| ConnectionError::Kubeconfig { path: path(), source: Box::new(source) };
    let file = Kubeconfig::read_from(kubeconfig).map_err(unusable)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(unusable)?;
    if let Some(identity) = identity {
        config.auth_info = auth(identity);
    }
    with(&config).map_err(|source| ConnectionError::Client { path: path(), source: Box::new(source) })
}

fn auth(identity: &Identity) -> AuthInfo {
    AuthInfo {
        client_certificate_data: Some(BASE64_STANDARD.encode(identity.chain())),
        client_key_data: Some(BASE64_STANDARD.encode(identity.key()).into()),
        ..AuthInfo::default()
    }
}

fn with(config: &Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(QUIET));
    connector.set_keepalive_interval(Some(INTERVAL));
    connector.set_keepalive_retries(Some(PROBES));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let mut client = legacy::Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(CALLS).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
    let client = client.build::<_, Body>(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// What stands between a client and its connections.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Inner>);

struct Inner {
    present: RwLock<Present>,
    /// The API server has refused the present credentials.
    refused: watch::Sender<bool>,
    calls: Semaphore,
    /// How often the API server has answered, by method and status.
    answers: Mutex<BTreeMap<(String, u16), u64>>,
    /// When the client certificate ends, where it is one.
    ends: Mutex<Option<Timestamp>>,
}

#[derive(Clone)]
struct Present {
    client: Client,
    /// How often credentials were exchanged before these.
    generation: u64,
}

impl Exchange {
    pub(crate) fn new(client: Client) -> Self {
        let present = RwLock::new(Present { client, generation: 0 });
        let (refused, calls) = (watch::Sender::new(false), Semaphore::new(CALLS));
        Self(Arc::new(Inner { present, refused, calls, answers: Mutex::default(), ends: Mutex::default() }))
    }

    /// A client that asks with the credentials that are the present ones then.
    pub(crate) fn client(&self) -> Client {
        let namespace = self.present().client.default_namespace().to_owned();
        Client::new(self.clone(), namespace)
    }

    /// From now on these.
    pub(crate) fn put(&self, client: Client) {
        let mut present = self.0.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Present { client, generation: present.generation + 1 };
        self.0.refused.send_replace(false);
    }

    /// Whether the API server refuses the present credentials.
    pub(crate) fn refused(&self) -> watch::Receiver<bool> {
        self.0.refused.subscribe()
    }

    /// The certificate that is used ends then.
    pub(crate) fn ends(&self, at: Timestamp) {
        *self.0.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// When the client certificate ends, where it is known.
    pub(crate) fn known_end(&self) -> Option<Timestamp> {
        *self.0.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the API server has answered: the method, the status, the count.
    pub(crate) fn answers(&self) -> Vec<(String, u16, u64)> {
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().map(|((method, code), count)| (method.clone(), *code, *count)).collect()
    }

    fn count(&self, method: &Method, status: StatusCode) {
        let mut answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((method.to_string(), status.as_u16())).or_default() += 1;
    }

    fn present(&self) -> Present {
        self.0.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An answer to credentials that have been exchanged since says nothing of these.
    fn heard(&self, generation: u64, status: StatusCode) {
        let present = self.0.present.read().unwrap_or_else(PoisonError::into_inner);
        if present.generation == generation {
            let is_refused = status == StatusCode::UNAUTHORIZED;
            self.0.refused.send_if_modified(|before| std::mem::replace(before, is_refused) != is_refused);
        }
    }
}

impl Service<Request<Body>> for Exchange {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let exchange = self.clone();
        Box::pin(async move {
            let _turn = match is_watch(&request) {
                true => None,
                false => Some(exchange.0.calls.acquire().await?),
            };
            let Present { client, generation } = exchange.present();
            let method = request.method().clone();
            let response = client.send(request).await?;
            exchange.count(&method, response.status());
            exchange.heard(generation, response.status());
            Ok(response)
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn only_so_many_calls_are_under_way_at_once_and_watches_beside_them() {
        let under_way: Arc<AtomicUsize> = Arc::default();
        let seen = Arc::clone(&under_way);
        let service = tower::service_fn(move |_: Request<Body>| {
            under_way.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<Response<Body>, BoxError>>()
        });
        let client = Exchange::new(Client::new(service, "default")).client();
        let ask = |uri: &'static str, times: usize| {
            for _ in 0..times {
                let client = client.clone();
                tokio::spawn(async move { client.send(Request::get(uri).body(Body::empty()).unwrap()).await });
            }
        };
        let until = async |count: usize| {
            while seen.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        ask("/api/v1/pods", 3 * CALLS);
        until(CALLS).await;
        ask("/api/v1/pods?timeoutSeconds=290&watch=true", 5);
        until(CALLS + 5).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.load(Ordering::SeqCst), CALLS + 5);
    }

    /// A server that answers each request so.
    fn answering(code: u16, word: &'static str) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let response = Response::builder().status(code).body(Body::from(word.as_bytes().to_vec()));
            response.map_err(BoxError::from)
        });
        Client::new(service, "default")
    }

    async fn ask(client: &Client) -> Option<String> {
        client.request_text(Request::get("/").body(Vec::new()).unwrap()).await.ok()
    }

    #[tokio::test]
    async fn a_client_asks_with_the_credentials_that_were_put_last() {
        let exchange = Exchange::new(answering(200, "one"));
        let client = exchange.client();
        assert_eq!(ask(&client).await.as_deref(), Some("one"));
        exchange.put(answering(200, "two"));
        assert_eq!(ask(&client).await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn credentials_are_refused_until_others_are_put_or_the_server_thinks_better() {
        let exchange = Exchange::new(answering(401, "{}"));
        let (client, refused) = (exchange.client(), exchange.refused());
        assert!(!*refused.borrow());
        assert_eq!(ask(&client).await, None);
        assert!(*refused.borrow());
        exchange.put(answering(403, "{}"));
        assert!(!*refused.borrow());
        assert_eq!(ask(&client).await, None);
        assert!(!*refused.borrow());
    }
}
