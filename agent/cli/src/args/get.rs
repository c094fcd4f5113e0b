//! What is shown, and in which form.

use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to show: `pods`, `pod NAME` or `pod/NAME`.
    #[arg(default_value = "pods", value_name = "TYPE")]
    pub(crate) kind: String,
    /// One of them.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) name: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
    /// Go on and show each change.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The Kubernetes objects, as JSON.
    Json,
    /// The Kubernetes objects, as YAML.
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names only: pod/NAME.
    Name,
}
