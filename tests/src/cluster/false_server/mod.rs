//! A false API server: it stands before the real one, passes on what it is asked, and lies where it is told to.
//!
//! It ends TLS with a certificate of the same authority. Whoever has a client certificate is passed on by request headers, as
//! an aggregator does it; a token is passed on as it is. The API server judges both as if they had come to it. It notes each
//! request, so that a test can say how many a pod's life takes.

mod asked;
mod body;
mod identity;
mod rule;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::settings::url;
use super::{ClusterError, ControlPlane};
use crate::steady_port;
use serve::Shared;

pub use asked::Asked;
pub use rule::{Answer, Rule, Times};

/// A false API server. It ends with its owner, and what is connected to it is cut off.
#[derive(Debug)]
pub struct FalseApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// All its tasks end with it.
    _runtime: Runtime,
}

impl FalseApiServer {
    /// One that tells the truth so far, before this control plane and at the same address.
    ///
    /// # Errors
    /// There is no port for it, or no certificate.
    pub fn start(plane: &ControlPlane) -> Result<Self, ClusterError> {
        let address = SocketAddr::new(plane.address().ip(), steady_port(plane.address().ip())?);
        let shared = Arc::new(Shared::new(plane)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("false-api-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        runtime.spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _runtime: runtime })
    }

    /// `https://ADDRESS:PORT`.
    pub fn server(&self) -> String {
        url(self.address.ip(), self.address.port())
    }

    /// A new kubeconfig of a node that asks here.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn kubeconfig_of_node(&self, plane: &ControlPlane, name: &str) -> Result<PathBuf, ClusterError> {
        plane.kubeconfig_of_node_at(name, &self.server())
    }

    /// From now on, requests of this kind get this answer. Of several rules for a request the newest holds.
    pub fn answer(
        &self,
        answer: Answer,
        times: Times,
        kind: impl Fn(&Asked) -> bool + Send + Sync + 'static,
    ) -> Arc<Rule> {
        self.shared.rules.add(Rule::new(answer, times, Box::new(kind)))
    }

    /// Cuts all connections as they are, watches and answers in the middle.
    pub fn cut_connections(&self) {
        self.shared.cut.notify_waiters();
    }

    /// All requests so far, in the order in which they came.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.log().clone()
    }

    /// How many requests there were so far, by verb and resource, such as `patch` and `pods/status`.
    pub fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for asked in self.shared.log().iter() {
            *counts.entry((asked.verb.clone(), asked.resource.clone())).or_insert(0) += 1;
        }
        counts
    }

    /// Counting begins anew.
    pub fn forget(&self) {
        self.shared.log().clear();
    }
}
