//! Pods in full.

use clap_complete::engine::ArgValueCandidates;

use super::Selectors;
use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
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
