//! The jobs that count this node's pods, as Nomad has them.

use serde_json::Value;

use crate::job::prefix;
use crate::node::Node;
use crate::{Client, ClientError};

/// Where they are listed: `meta` says whose each is.
pub(crate) fn listed(client: &Client, node: &Node) -> String {
    format!("/v1/jobs?namespace={}&prefix={}&meta=true", client.settings().namespace, prefix(node))
}

/// Purges one. False where it has gone already.
pub(crate) async fn purge(client: &Client, id: &str) -> Result<bool, ClientError> {
    let path = format!("/v1/job/{id}?namespace={}&purge=true", client.settings().namespace);
    match client.delete::<Value>(&path).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
