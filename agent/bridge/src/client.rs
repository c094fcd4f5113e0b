//! The client of the API server: one that notices soon when nobody is at the other end any more.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::ServiceBuilder;

/// A connection that is not made by then is tried again: a network that was away may be back.
const CONNECT: Duration = Duration::from_secs(3);
/// A watch only listens: without this it would not notice that its server has gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// A client with the credentials of a kubeconfig.
///
/// # Errors
/// The file cannot be read, or leads to no cluster.
pub(crate) async fn of(kubeconfig: &Path) -> anyhow::Result<Client> {
    let path = kubeconfig.display();
    let file = Kubeconfig::read_from(kubeconfig).with_context(|| format!("cannot read {path}"))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("{path} leads to no cluster"))?;
    with(&config).with_context(|| format!("{path} leads to no cluster"))
}

fn with(config: &Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    connector.set_keepalive_retries(Some(PROBES));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(tower::BoxError::from)
        .service(client);
    Ok(Client::new(service, config.default_namespace.clone()))
}
