//! What has happened.

use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Of one pod only.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Go on as they happen.
    #[arg(short, long)]
    pub(crate) watch: bool,
}
