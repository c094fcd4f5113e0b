//! A preset that is run.

use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A preset (`barepod preset list`) or an image, like postgresql or postgres:15.
    #[arg(value_name = "PRESET", add = ArgValueCandidates::new(complete::presets))]
    pub(crate) preset: String,
    /// The pod's name [default: the preset's].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Memory limit, as in a manifest: 2Gi.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<String>,
    /// CPU limit, as in a manifest: 2 or 500m.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<String>,
    /// Size of its claim, as in a manifest: 10Gi.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) storage: Option<String>,
    /// A variable that the image documents. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the manifests; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: how to print them [default: yaml].
    #[arg(short, long, value_enum, requires = "dry_run")]
    pub(crate) output: Option<RunOutput>,
    /// Return at once instead of waiting until the pod is ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this many seconds; the pod goes on.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// The administrator's configuration, with presets and manifests.
    #[arg(long, default_value = "/etc/barepod", value_name = "DIRECTORY")]
    pub(crate) config: PathBuf,
    /// Arguments of the service, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunOutput {
    /// A list, as JSON.
    Json,
    /// Documents, as YAML.
    Yaml,
}
