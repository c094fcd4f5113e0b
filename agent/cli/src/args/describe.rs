//! One pod in full.

use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// `NAME`, `pod NAME` or `pod/NAME`.
    #[arg(required = true, num_args = 1..=2, value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Vec<String>,
}
