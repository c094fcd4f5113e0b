//! Containers' logs.

use clap_complete::engine::ArgValueCandidates;

use super::Selectors;
use crate::complete;
use crate::duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// `NAME` or `pod/NAME`.
    #[arg(
        required_unless_present_any = ["selector", "field_selector"],
        value_name = "POD",
        add = ArgValueCandidates::new(complete::pods)
    )]
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) selectors: Selectors,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Those of all containers.
    #[arg(long, conflicts_with = "container")]
    pub(crate) all_containers: bool,
    /// Say of each line whose it is.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Go on as the log grows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The log of the attempt before the present one.
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// The last lines only [default: all of a named pod, 10 of those that are selected].
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Lines younger than this only: 90s, 5m, 2h, 3d, or seconds.
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    pub(crate) since: Option<u64>,
    /// Show each line's time.
    #[arg(long)]
    pub(crate) timestamps: bool,
}
