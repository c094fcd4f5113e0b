//! What the node has to do with its API server, which `/metrics` tells under the names of Kubernetes' own clients.

use std::sync::Arc;

use jiff::Timestamp;

/// Says it whenever somebody asks.
pub type Dealings = Arc<dyn Fn() -> Dealt + Send + Sync>;

/// As it is now.
#[derive(Debug, Clone, Default)]
pub struct Dealt {
    /// When the node's client certificate ends; `None` where it has none.
    pub client_ends: Option<Timestamp>,
    /// How often the API server has answered: by the method, and the status of HTTP.
    pub answers: Vec<(String, u16, u64)>,
}
