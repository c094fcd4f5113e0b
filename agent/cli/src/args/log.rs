//! A container's log.

use clap_complete::engine::ArgValueCandidates;

use crate::complete;
use crate::duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Go on as the log grows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The log of the attempt before the present one.
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// The last lines only.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Lines younger than this only: 90s, 5m, 2h, 3d, or seconds.
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    pub(crate) since: Option<u64>,
    /// Show each line's time.
    #[arg(long)]
    pub(crate) timestamps: bool,
}
