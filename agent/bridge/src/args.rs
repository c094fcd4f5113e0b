//! The command line of the bridge. Options that kubelet has are called as there.

use std::net::IpAddr;
use std::path::PathBuf;

use barepod_node::Taint;
use barepod_telemetry::LogFormat;
use clap::Parser;

/// Connects this host's barepodd with a Kubernetes cluster: the host becomes a node, and pods bound to it run here.
#[derive(Debug, Parser)]
#[command(name = "barepod-bridge", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Credentials of system:node:NAME, and where the API server is.
    #[arg(long, value_name = "FILE", default_value = "/etc/barepod/kubeconfig")]
    pub(crate) kubeconfig: PathBuf,

    /// The daemon's socket.
    #[arg(long, value_name = "FILE", default_value = "/run/barepod/barepod.sock")]
    pub(crate) socket: PathBuf,

    /// The node's name [default: the host's].
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// Addresses that its pods are reached by, the main one first [default: the host's].
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) node_ip: Vec<IpAddr>,

    /// Labels of the node, beside `nodeLabels` of barepod.yaml and those that every node has.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) node_labels: Vec<String>,

    /// Taints of the node at its registration.
    #[arg(long, value_name = "KEY=VALUE:EFFECT", value_delimiter = ',')]
    pub(crate) register_with_taints: Vec<Taint>,

    /// Credentials of the controllers: without them, this bridge runs none. One bridge of a cluster is enough.
    #[arg(long, value_name = "FILE")]
    pub(crate) controllers_kubeconfig: Option<PathBuf>,

    /// Pods at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 110)]
    pub(crate) max_pods: u32,

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
