//! The life of pods: what starts and ends them.

use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// One container; all if it is left out.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Halt {
    /// `NAME...`, `pod NAME...` or `pod/NAME...`.
    #[arg(required = true, value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pods: Vec<String>,
    /// Return at once instead of waiting until they have stopped, or are ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this many seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// `NAME...`, `pod NAME...` or `pod/NAME...`.
    #[arg(required_unless_present = "all", value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pods: Vec<String>,
    /// Every pod of the namespace.
    #[arg(long, conflicts_with = "pods")]
    pub(crate) all: bool,
    /// With --all: in all namespaces.
    #[arg(short = 'A', long, requires = "all")]
    pub(crate) all_namespaces: bool,
    /// Seconds until a container that has not ended is killed; else the pod's and its preset's own.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u64>,
    /// Return at once instead of waiting until the pods have gone.
    #[arg(long)]
    pub(crate) no_wait: bool,
}
