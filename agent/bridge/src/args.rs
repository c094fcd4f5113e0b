//! The command line of the bridge. Options that kubelet has are called as there.

use std::net::IpAddr;
use std::path::PathBuf;

use barepod_credentials::NodeName;
use barepod_node::{FeatureGate, Taint};
use barepod_telemetry::LogFormat;
use clap::Parser;

/// Connects this host's barepodd with a Kubernetes cluster, a Nomad cluster, or both: the host becomes a node, pods bound to it
/// run here, and Nomad counts what they have of it.
#[derive(Debug, Clone, Parser)]
#[command(name = "barepod-bridge", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Credentials of system:node:NAME, and where the API server is. Written, if it is not there, once the bootstrap kubeconfig
    /// has led to a certificate.
    #[arg(long, value_name = "FILE", default_value = "/etc/barepod/kubernetes/kubeconfig")]
    pub(crate) kubeconfig: PathBuf,

    /// What the first certificate is asked for with, as `barepod kube join` writes it.
    #[arg(long, value_name = "FILE", default_value = "/etc/barepod/kubernetes/bootstrap-kubeconfig")]
    pub(crate) bootstrap_kubeconfig: PathBuf,

    /// Where the node's certificates and keys are kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/barepod-bridge/pki")]
    pub(crate) cert_dir: PathBuf,

    /// Ask the cluster for a serving certificate, and renew it.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) rotate_server_certificates: bool,

    /// Where the kubelet port listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub(crate) address: IpAddr,

    /// The kubelet port, by which the cluster asks for logs, processes and measurements; 0: there is none.
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub(crate) port: u16,

    /// Who signs the certificates of those who may ask there [default: the cluster's authority, as the kubeconfig has it].
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca_file: Option<PathBuf>,

    /// The daemon's socket.
    #[arg(long, value_name = "FILE", default_value = "/run/barepod/barepod.sock")]
    pub(crate) socket: PathBuf,

    /// The node's name [default: that of its kubeconfig, else the host's].
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<NodeName>,

    /// Addresses that its pods are reached by, the main one first [default: the host's].
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) node_ip: Vec<IpAddr>,

    /// Labels of the node, beside `nodeLabels` of barepod.yaml and those that every node has.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) node_labels: Vec<String>,

    /// Taints of the node at its registration.
    #[arg(long, value_name = "KEY=VALUE:EFFECT", value_delimiter = ',')]
    pub(crate) register_with_taints: Vec<Taint>,

    /// Credentials of the controllers: without them, this bridge runs none. Of several that have them, one does the work.
    #[arg(long, value_name = "FILE")]
    pub(crate) controllers_kubeconfig: Option<PathBuf>,

    /// How Nomad is found, as `barepod nomad setup` writes it. Where the file is there, pods of this host are counted by the Nomad
    /// cluster; where there is nothing of a Kubernetes cluster, that is all that is done.
    #[arg(long, value_name = "FILE", default_value = "/etc/barepod/nomad/registrar.yaml")]
    pub(crate) nomad_config: PathBuf,

    /// Pods at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 110)]
    pub(crate) max_pods: u32,

    /// What kubelet has behind a feature gate: ExtendWebSocketsToKubelet=false has the API server translate WebSockets to SPDY,
    /// as before 1.36.
    #[arg(long, value_name = "NAME=BOOL", value_delimiter = ',')]
    pub(crate) feature_gates: Vec<FeatureGate>,

    /// How to write the bridge's own log [default: journald where the service manager connects it, else text].
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }
}
