//! The ports of pods.

use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, Subcommand)]
pub(crate) enum Port {
    /// Show on which TCP ports the processes of pods listen, and which their manifests name. For root.
    List(PortList),
}

#[derive(Debug, clap::Args)]
pub(crate) struct PortList {
    /// One pod.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}
