//! What the node is known by in the cluster: its certificate as a client, asked for by a bootstrap token and renewed before it
//! ends, and its certificate as a server.
//!
//! ```text
//!   bootstrap-kubeconfig ──request──▶ kubeconfig, client.pem ◀──request by the one before── due, or refused
//!                          serving.pem ◀──request by the client's──────────────────────────  due, or other addresses
//! ```
//!
//! Nothing here touches a pod: a node whose credentials have ended is none for the cluster any more, and its pods run on.

mod client;
mod connection;
mod life;
mod request;
mod serving;

use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_credentials::{Identity, NodeName, Store};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use client::AccessError;
pub use connection::ConnectionError;

use connection::Exchange;

/// A client with the credentials of a kubeconfig, as they are now.
///
/// # Errors
/// It cannot be read, or leads to no cluster.
pub async fn connect(kubeconfig: &Path) -> Result<Client, ConnectionError> {
    connection::connect(kubeconfig, None).await
}

/// How often files, clock and answers are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Where the node's credentials are.
#[derive(Debug, Clone)]
pub struct Files {
    /// Its kubeconfig; written where it is not there yet.
    pub kubeconfig: PathBuf,
    /// What it is let in by; need not be there.
    pub bootstrap_kubeconfig: PathBuf,
    /// Its certificates and keys.
    pub certificates: PathBuf,
}

/// The way to the API server, with the node's credentials.
pub struct Access {
    files: Files,
    node: NodeName,
    exchange: Exchange,
    client: Client,
    serving: watch::Sender<Option<Identity>>,
    wants_serving: bool,
}

impl Access {
    /// Gets the node's credentials: those that are there, or else new ones, by the bootstrap kubeconfig. Waits for the API
    /// server and for approval, as long as it takes; `None` if it is to stop.
    ///
    /// # Errors
    /// There is neither kubeconfig nor bootstrap kubeconfig, or one of them cannot be used.
    pub async fn gain(files: Files, node: NodeName, stop: &CancellationToken) -> Result<Option<Self>, AccessError> {
        let gained = tokio::select! {
            gained = client::gain(&files, &node) => gained?,
            () = stop.cancelled() => return Ok(None),
        };
        let exchange = Exchange::new(gained);
        let (client, serving) = (exchange.client(), watch::Sender::new(None));
        Ok(Some(Self { files, node, exchange, client, serving, wants_serving: false }))
    }

    /// With a serving certificate, which is asked for once the node is registered.
    #[must_use]
    pub fn with_serving_certificate(self, wanted: bool) -> Self {
        Self { wants_serving: wanted, ..self }
    }

    /// The serving certificate with its key, once it is issued, and whenever it is renewed.
    pub fn serving(&self) -> watch::Receiver<Option<Identity>> {
        self.serving.subscribe()
    }

    /// Asks with the node's credentials, whichever they are then.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What is known of the API server's answers, and of the client certificate.
    pub fn standing(&self) -> Standing {
        Standing(self.exchange.clone())
    }

    /// Keeps the client certificate.
    pub(crate) fn keep_client(&self) -> impl Future<Output = ()> + use<> {
        client::Keeper::new(self.files.clone(), self.node.clone(), self.exchange.clone()).run()
    }

    /// What keeps the serving certificate, if one is wanted.
    pub(crate) fn serving_keeper(&self) -> Option<serving::Keeper> {
        let store = Store::new(self.files.certificates.clone());
        let (client, node, current) = (self.client.clone(), self.node.clone(), self.serving.clone());
        self.wants_serving.then(|| serving::Keeper::new(client, store, node, current))
    }
}

/// How the node stands with its API server.
#[derive(Clone)]
pub struct Standing(Exchange);

impl Standing {
    /// When the client certificate ends; `None` where there is none, or none has been looked at yet.
    #[must_use]
    pub fn client_ends(&self) -> Option<Timestamp> {
        self.0.known_end()
    }

    /// How often the API server has answered: the method, the status of HTTP, the count.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, u16, u64)> {
        self.0.answers()
    }
}
