//! Where the port listens. A port that somebody else has is tried again: the node lives without it, and tells the cluster which
//! port is its own only once it has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barepod_credentials::Identity;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::dealings::Dealings;
use crate::guests::Guests;
use crate::port::{Known, Port};
use crate::tls::{self, Shown};
use crate::{Daemon, Settings};

/// Between tries to listen.
const AGAIN: Duration = Duration::from_secs(5);
/// After a failure to take a connection: there are too many files open, most likely.
const BREATH: Duration = Duration::from_millis(100);

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
#[error("the kubelet port cannot be set up")]
pub struct PortError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The port, to be run.
pub struct KubeletPort {
    address: SocketAddr,
    port: Arc<Port>,
    config: Arc<ServerConfig>,
    shown: Shown,
    serving: watch::Receiver<Option<Identity>>,
    listening: watch::Sender<Option<u16>>,
}

impl KubeletPort {
    /// With the daemon that it speaks for, the node's client of the API server with what is known of its use, and the node's
    /// serving certificate: until there is one, one that it has signed itself is shown, as kubelet does.
    ///
    /// # Errors
    /// A certificate cannot be used.
    pub fn new(
        settings: &Settings,
        daemon: Daemon,
        client: kube::Client,
        dealings: Dealings,
        serving: watch::Receiver<Option<Identity>>,
    ) -> Result<Self, PortError> {
        let own =
            Identity::self_signed(&settings.node, &[settings.address]).map_err(|error| PortError(error.into()))?;
        let known = Known { dealings, serving: serving.clone() };
        let port = Port::new(settings, daemon, client, known).map_err(|error| PortError(error.into()))?;
        let shown = Shown::new(&own).map_err(|error| PortError(error.into()))?;
        let config = tls::config(shown.clone(), port.hints()).map_err(|error| PortError(error.into()))?;
        let address = SocketAddr::new(settings.address, settings.port);
        let (port, config, listening) = (Arc::new(port), Arc::new(config), watch::Sender::new(None));
        Ok(Self { address, port, config, shown, serving, listening })
    }

    /// Which port it is, as soon as somebody can be heard there.
    pub fn listening(&self) -> watch::Receiver<Option<u16>> {
        self.listening.subscribe()
    }

    /// Answers until `stop`, which ends what is under way as well.
    pub async fn run(self, stop: CancellationToken) {
        let Self { address, port, config, shown, serving, listening } = self;
        let guests = TaskTracker::new();
        let listen = async {
            let listener = bind(address).await;
            let bound = listener.local_addr().map_or(address.port(), |address| address.port());
            tracing::info!(address = %address.ip(), port = bound, "the kubelet port is open");
            listening.send_replace(Some(bound));
            accept(listener, TlsAcceptor::from(config), port, &guests, &stop).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen => {}
            () = show(shown, serving) => {}
        }
        guests.close();
        guests.wait().await;
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut said = None;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                if said != Some(error.kind()) {
                    said = Some(error.kind());
                    tracing::error!(
                        "cannot listen on {address}: {error}; is a kubelet here? `--port` names another one, and 0 none. \
                         Trying again; until then there is no `kubectl logs` of this node, and everything else goes on"
                    );
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    port: Arc<Port>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let guests = Guests::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection is not taken: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let visit = guests.admit();
        let served = connection::serve(stream, acceptor.clone(), Arc::clone(&port), visit);
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = served => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Shows each serving certificate as it comes.
async fn show(shown: Shown, mut serving: watch::Receiver<Option<Identity>>) {
    loop {
        let identity = serving.borrow_and_update().clone();
        if let Some(identity) = identity
            && let Err(error) = shown.put(&identity)
        {
            tracing::error!("{error}");
        }
        if serving.changed().await.is_err() {
            // Nobody will renew it any more.
            std::future::pending::<()>().await;
        }
    }
}
