//! The life of pods: what starts and ends them.

use clap_complete::engine::ArgValueCandidates;

use super::{Chosen, Selectors};
use crate::complete;
use crate::target;

#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// One container; all if it is left out.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Halt {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
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
    #[arg(
        required_unless_present_any = ["all", "selector", "field_selector", "all_namespaces"],
        value_name = "POD",
        add = ArgValueCandidates::new(complete::pods)
    )]
    pub(crate) pods: Vec<String>,
    #[command(flatten)]
    pub(crate) selectors: Selectors,
    /// Every pod of the namespace.
    #[arg(long, conflicts_with_all = ["selector", "field_selector"])]
    pub(crate) all: bool,
    /// With --all or a selector: in all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Seconds until a container that has not ended is killed; else the pod's and its preset's own.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u64>,
    /// Return at once instead of waiting until the pods have gone.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

impl Delete {
    pub(super) fn check(&self) -> Result<(), String> {
        let of_many = self.all || self.selectors.are_given();
        if self.all && !target::is_type_alone(&self.pods) {
            return Err("names and --all exclude each other: leave one of them out".to_owned());
        }
        if self.all_namespaces && !of_many {
            return Err(
                "-A alone deletes nothing: write --all -A for every pod there is, or select some with -l".to_owned()
            );
        }
        target::check(&self.pods, &self.selectors)
    }
}
