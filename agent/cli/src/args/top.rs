//! What is used.

use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;

use super::Selectors;
use crate::complete;
use crate::top::Order;

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// One pod.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) selectors: Selectors,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Print one table and end, as where there is no terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) interval: f64,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Order::Name, value_name = "ORDER")]
    pub(crate) sort: Order,
    /// Print once, so.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<TopOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopOutput {
    /// An object with host, pods and containers, as JSON.
    Json,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "write seconds from 0.1 to 3600".to_owned())
}
