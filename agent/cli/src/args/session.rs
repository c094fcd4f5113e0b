//! Sessions with what runs in a container.

use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass standard input on; the container must have `stdin: true`.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Use this terminal as the container's; the container must have `tty: true`.
    #[arg(short, long)]
    pub(crate) tty: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cp {
    /// POD:PATH, or a path of this host.
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The same; one of the two is in a pod. An existing directory gets it into it.
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}
