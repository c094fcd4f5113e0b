//! What has happened.

use clap::ValueEnum;
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
    /// Of these types only.
    #[arg(long, value_enum, value_name = "TYPE", value_delimiter = ',', ignore_case = true)]
    pub(crate) types: Vec<EventType>,
    /// Go on as they happen.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventType {
    /// What goes as it should.
    #[value(name = "Normal")]
    Normal,
    /// What somebody should look at.
    #[value(name = "Warning")]
    Warning,
}
