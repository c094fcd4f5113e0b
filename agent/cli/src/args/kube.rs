//! A cluster, and this host as its node.

use std::path::PathBuf;

use barepod_credentials::{BootstrapToken, Endpoint, KeyHash, NodeName};
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Kube {
    /// All paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, global = true, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: KubeVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KubeVerb {
    /// Let this host into a cluster, as `kubeadm join` does. `kubeadm token create --print-join-command` in the cluster prints what
    /// it takes.
    ///
    /// Finds the cluster, checks that it is the right one and knows the token, and writes one file, by which barepod-bridge asks
    /// for a certificate.
    Join(KubeJoin),
    /// Show the cluster, the node and its certificates, and what the API server says to them.
    ///
    /// Exit codes: 0 all is well; 1 something is to be done, or this host has not joined.
    Status,
    /// Take back what `join` and barepod-bridge have written: kubeconfigs, certificates and keys. Pods run on.
    Reset,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KubeJoin {
    /// The API server: https://HOST:6443 or HOST:6443.
    #[arg(value_name = "SERVER", required_unless_present = "kubeconfig", conflicts_with = "kubeconfig")]
    pub(crate) server: Option<Endpoint>,
    /// A bootstrap token, as `kubeadm token create` prints it.
    #[arg(long, value_name = "ID.SECRET", required_unless_present = "kubeconfig", conflicts_with = "kubeconfig")]
    pub(crate) token: Option<BootstrapToken>,
    /// Hash of the key of the cluster's authority, by which it is known. May be given more than once.
    #[arg(
        long,
        value_name = "sha256:HEX",
        required_unless_present_any = ["kubeconfig", "discovery_token_unsafe_skip_ca_verification"]
    )]
    pub(crate) discovery_token_ca_cert_hash: Vec<KeyHash>,
    /// Believe any cluster that knows the token.
    #[arg(long, conflicts_with = "discovery_token_ca_cert_hash")]
    pub(crate) discovery_token_unsafe_skip_ca_verification: bool,
    /// Instead of all these: a kubeconfig with the cluster and a bootstrap token.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The node's name [default: the host's].
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<NodeName>,
    /// Join anew, whatever was joined before.
    #[arg(long)]
    pub(crate) force: bool,
}
