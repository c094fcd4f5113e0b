//! Pods that are named or selected.

use clap_complete::engine::ArgValueCandidates;

use super::Selectors;
use crate::{complete, target};

/// One or the other is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// `NAME...`, `pod NAME...` or `pod/NAME...`.
    #[arg(
        required_unless_present_any = ["selector", "field_selector"],
        value_name = "POD",
        add = ArgValueCandidates::new(complete::pods)
    )]
    pub(crate) pods: Vec<String>,
    #[command(flatten)]
    pub(crate) selectors: Selectors,
}

impl Chosen {
    pub(super) fn check(&self) -> Result<(), String> {
        target::check(&self.pods, &self.selectors)
    }
}
