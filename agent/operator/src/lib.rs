//! Controllers of a cluster with barepod nodes, under an identity of their own: a node may do nothing of this.

mod provisioner;

use kube::Client;

/// Runs all controllers until it is dropped.
pub async fn run(client: Client) {
    provisioner::run(client).await;
}
