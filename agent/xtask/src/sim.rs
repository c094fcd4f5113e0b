//! The simulation of `barepod-sim`, optimised: a hundred thousand seeds should take minutes.

use std::process::Command;

use crate::repository::{Repository, succeed};

/// Hands its arguments over: `--seeds N`, `--replay SEED`.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> anyhow::Result<()> {
    succeed(command(repository).args(arguments))
}

/// The simulation, to be given its arguments.
pub(crate) fn command(repository: &Repository) -> Command {
    repository.cargo(&["run", "--quiet", "--release", "--package", "barepod-sim", "--"])
}
