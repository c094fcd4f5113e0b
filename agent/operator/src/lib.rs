//! Controllers of a cluster with barepod nodes, under an identity of their own: a node may do nothing of this.

mod approver;
mod leader;
mod provisioner;

use kube::Client;

/// Runs all controllers until it is dropped. Of several that are run, one does the work: `identity` tells them apart.
pub async fn run(client: Client, identity: String) {
    let lease = leader::Lease::new(client.clone(), identity);
    loop {
        lease.held().await;
        tracing::info!("leads: the controllers run here");
        tokio::select! {
            () = approver::run(client.clone()) => {}
            () = provisioner::run(client.clone()) => {}
            () = lease.lost() => tracing::warn!("leads no more: the controllers run elsewhere, or nowhere"),
        }
    }
}
