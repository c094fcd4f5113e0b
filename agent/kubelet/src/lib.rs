//! The kubelet port: what an API server and those who measure ask of a node, over TLS.
//!
//! ```text
//!   connection ──▶ listener, guests ──▶ TLS ──▶ authentication ──▶ authorization ──▶ route ──▶ a handler
//!                  so many at most              certificate, or    SubjectAccess-              asks the daemon's
//!                                               TokenReview        Review                      socket
//! ```
//!
//! All of it runs in the bridge, a process without rights: whatever is asked here is asked again at the daemon's socket, which
//! lets the bridge do to a cluster's pods what a kubelet does. Nobody is anonymous, and nothing is answered before the cluster
//! has said that whoever asks may.
//!
//! What is where: [`route`] is the table of paths; [`authorization`] says what each path is to the cluster's authorizer;
//! a path's handler is a function in [`handlers`] or, where a connection becomes something else (exec, attach, port-forward), in
//! [`streams`]: it is given the whole request, for its upgrade, with the [`Target`](route::Target) and the
//! [`Query`](query::Query) that were read of it, and the [`Visit`](guests::Visit) that keeps its place.

mod answer;
mod asked;
mod authentication;
mod authorization;
mod cache;
mod connection;
mod dealings;
mod guests;
mod handlers;
mod listener;
mod measure;
mod port;
mod query;
mod route;
mod streams;
mod tls;
mod token;
mod user;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::watch;

pub use asked::{Asked, asked};
pub use dealings::{Dealings, Dealt};
pub use listener::{KubeletPort, PortError};

/// The daemon, as this crate uses it.
pub type Daemon = barepod_api::v1::barepod_client::BarepodClient<tonic::transport::Channel>;

/// The port, as the node's administrator wants it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name: what is asked of the cluster's authorizer is about this node.
    pub node: barepod_credentials::NodeName,
    /// The daemon's socket: each stream has its own connection.
    pub socket: PathBuf,
    /// Where it listens; kubelet's `--address`.
    pub address: IpAddr,
    /// The port; kubelet's is 10250.
    pub port: u16,
    /// Who signs the certificates of those who may ask, as PEM, and whoever does later; without it only tokens let anybody in.
    pub client_authority: watch::Receiver<Option<String>>,
    /// Whether the cluster is asked for a serving certificate, for `/configz`.
    pub rotates_server_certificates: bool,
    /// Pods at most, for `/configz`.
    pub max_pods: u32,
    /// The program's options, for `/flagz`: none of them is a secret.
    pub flags: BTreeMap<String, String>,
}
