//! What the host is looked at for.

use std::path::PathBuf;

use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Presets or images that are to run here as well.
    #[arg(value_name = "PRESET")]
    pub(crate) presets: Vec<String>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
    /// For tests: what the kernel and the distribution say is below this directory.
    #[arg(long, hide = true, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) host_root: PathBuf,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DoctorOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorOutput {
    /// An object with all findings, as JSON.
    Json,
}
