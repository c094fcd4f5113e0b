//! The daemon's configuration.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show what is in force, with all that the file leaves at its default. For root. `barepodd --check-config` checks the file.
    View(ConfigView),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigView {
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<ConfigOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigOutput {
    /// An object, as JSON.
    Json,
}
