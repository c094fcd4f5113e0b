//! This host as a node of a Kubernetes cluster, seen from the API server. A client of the daemon's socket and of the API
//! server, with exactly a node's rights in both.
//!
//! ```text
//!   API server ──pods bound here──▶ pods ──Bind, End──▶ barepodd
//!       ▲        ──what they need──▶ objects, tokens, services
//!       └──status, events──────────  pods, events ◀──Watch── barepodd
//!       └──Node, Lease─────────────  registration ◀──Host─── barepodd
//!       └──certificates────────────  credentials
//! ```
//!
//! Unknown is not deleted: what the API server does not say, for whatever reason, ends no pod. See [`pods`] for what does.

mod call;
mod chance;
mod credentials;
mod due;
mod events;
mod json;
mod node;
mod objects;
mod pods;
mod registration;
mod services;
mod settings;
mod tokens;
mod watching;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use credentials::{Access, AccessError, ConnectionError, Files, Standing, connect};
pub use settings::{FeatureGate, NoFeatureGate, Settings, Taint};

/// The daemon, as this crate uses it.
pub type Daemon = barepod_api::v1::barepod_client::BarepodClient<tonic::transport::Channel>;

/// As the daemon calls where a cluster's pods come from.
const SOURCE: &str = "kubernetes";

/// Keeps the node until `stop`, and tells the cluster where its kubelet port listens, and at once what is left of the host when
/// others have booked of it. Neither the API server nor the daemon need be there at any time: both are tried until they answer.
pub async fn run(
    access: Access,
    daemon: Daemon,
    settings: Settings,
    port: watch::Receiver<Option<u16>>,
    booked: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let client = access.client();
    tasks.spawn(until(stop.clone(), access.keep_client()));
    let news = registration::News { port, booked };
    let registration = registration::Registration::new(client.clone(), daemon.clone(), settings.clone(), news);
    let node = registration.node();
    if let Some(keeper) = access.serving_keeper() {
        tasks.spawn(until(stop.clone(), keeper.run(daemon.clone(), settings.clone(), node.clone())));
    }
    tasks.spawn(until(stop.clone(), registration.run()));
    let events = events::Events::new(client.clone(), settings.name.clone());
    tasks.spawn(until(stop.clone(), events.clone().forward(daemon.clone())));
    tasks.spawn(until(stop, pods::run(client, daemon, settings, node, events)));
    tasks.close();
    tasks.wait().await;
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
