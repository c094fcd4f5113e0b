//! The host's policy.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Tell what each rule says to each thing that manifests ask for. Changes nothing.
    ///
    /// Asks the daemon, which knows the objects there are; without one, or with --offline, reads policy and presets itself.
    ///
    /// Exit codes: 0 all of it is allowed; 1 something is denied; 2 the command line was wrong; 3 it could not be judged:
    /// a manifest or the policy has errors.
    Check(PolicyCheck),
    /// Print the policy that holds. Exit code 1 if its file cannot be used as it is now.
    Show,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyCheck {
    /// Manifest files, or `-` for standard input. Without one, only the policy is looked at.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Judge them as pods of this source.
    #[arg(long, value_enum, default_value_t = Source::File, value_name = "SOURCE")]
    pub(crate) as_source: Source,
    /// Judge them as this user's, by name or number, instead of yours.
    #[arg(long, value_name = "USER")]
    pub(crate) as_user: Option<String>,
    /// Judge by this policy instead of the one that holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Do not ask the daemon.
    #[arg(long)]
    pub(crate) offline: bool,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<VerdictOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// Manifest files and `barepod apply`.
    File,
    /// Kubernetes.
    Kubernetes,
    /// Nomad.
    Nomad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictOutput {
    /// A list of verdicts, as JSON.
    Json,
}
