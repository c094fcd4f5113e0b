//! Manifests that are applied, validated or compared.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// Manifest file, or `-` for standard input. May be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// Check only; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until the pods are ready.
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Manifest files, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Manifest file, or `-` for standard input. May be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}
