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
    tls: watch::Sender<Arc<ServerConfig>>,
    authority: watch::Receiver<Option<String>>,
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
        let (port, tls, listening) = (Arc::new(port), watch::Sender::new(Arc::new(config)), watch::Sender::new(None));
        let mut authority = settings.client_authority.clone();
        authority.mark_unchanged();
        Ok(Self { address, port, tls, authority, shown, serving, listening })
    }

    /// Which port it is, as soon as somebody can be heard there.
    pub fn listening(&self) -> watch::Receiver<Option<u16>> {
        self.listening.subscribe()
    }

    /// Answers until `stop`, which ends what is under way as well.
    pub async fn run(self, stop: CancellationToken) {
        let Self { address, port, tls, authority, shown, serving, listening } = self;
        let guests = TaskTracker::new();
        let listen = async {
            let listener = bind(address).await;
            let bound = listener.local_addr().map_or(address.port(), |address| address.port());
            tracing::info!(address = %address.ip(), port = bound, "the kubelet port is open");
            listening.send_replace(Some(bound));
            accept(listener, tls.subscribe(), Arc::clone(&port), &guests, &stop).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen => {}
            () = show(shown.clone(), serving) => {}
            () = renew(&port, &shown, &tls, authority) => {}
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
    tls: watch::Receiver<Arc<ServerConfig>>,
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
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let served = connection::serve(stream, acceptor, Arc::clone(&port), visit);
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

/// Takes each new authority of clients as it comes, and tells clients to come of it. What cannot be used changes nothing.
async fn renew(
    port: &Port,
    shown: &Shown,
    tls: &watch::Sender<Arc<ServerConfig>>,
    mut authority: watch::Receiver<Option<String>>,
) {
    while authority.changed().await.is_ok() {
        let pem = authority.borrow_and_update().clone();
        let renewed = port.put_authority(pem.as_deref()).map_err(|error| PortError(error.into()));
        let config =
            renewed.and_then(|()| tls::config(shown.clone(), port.hints()).map_err(|error| PortError(error.into())));
        match config {
            Ok(config) => {
                tls.send_replace(Arc::new(config));
                tracing::info!("the authority of clients is another one");
            }
            Err(PortError(error)) => tracing::error!("{error}; the one before is asked"),
        }
    }
    std::future::pending::<()>().await;
}
