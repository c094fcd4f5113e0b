//! Pods in full.

use super::Chosen;

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
}
