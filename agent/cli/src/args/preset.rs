//! Presets.

use std::path::PathBuf;

use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Preset {
    /// The administrator's configuration; presets in its directory `presets` come over the built-in ones.
    #[arg(long, global = true, default_value = "/etc/barepod", value_name = "DIRECTORY")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: PresetVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PresetVerb {
    /// Show the presets of this host, and which versions are installed.
    List {
        /// With the images they answer to.
        #[arg(long)]
        images: bool,
    },
    /// Show a preset with all that it inherits, as YAML.
    Show {
        /// Its name.
        name: String,
        /// Say of each line which file it is from.
        #[arg(long)]
        origins: bool,
    },
    /// Show what a preset computes, from what and why, and who decides in the end.
    Explain(Subject),
    /// Show all that containers become: arguments, files, steps, probes, stop. Files may hold secrets of the manifest.
    Render(Subject),
    /// Begin a preset of one's own: a file with the keys that one may want, explained.
    New {
        /// Its name: lower case letters, digits and -.
        name: String,
        /// Begin as a change of this one.
        #[arg(long, value_name = "PRESET", add = ArgValueCandidates::new(complete::presets))]
        extends: Option<String>,
        /// Print it; write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show everything that is wrong with preset files.
    Validate {
        /// Files, or directories of them; the administrator's if none is given.
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Subject {
    /// A preset, an image, or pod/NAME, which the daemon is asked for.
    #[arg(value_name = "PRESET")]
    pub(crate) name: Option<String>,
    /// Manifest file. May be given more than once.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// With a preset or an image: memory limit, as in a manifest.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<String>,
    /// With a preset or an image: CPU limit, as in a manifest.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<String>,
    /// With a preset or an image: a variable. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// With a preset or an image: arguments, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<String>,
}
