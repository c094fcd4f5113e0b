//! Every program that a test runs: static ones as they are shipped, the others in the profile of the tests.

use std::process::Command;

use crate::repository::{Repository, succeed};

/// Packages with static programs.
const STATIC: [&str; 2] = ["barepod-shim", "barepod-test-programs"];

/// Builds them all.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    commands(repository).iter_mut().try_for_each(succeed)
}

/// The commands that build them. The kernel counts a fresh binary's pages as dirty until they are on disk, and memory is
/// measured: hence `sync`.
pub(crate) fn commands(repository: &Repository) -> [Command; 3] {
    let mut fixed = repository.cargo(&["build", "--bins"]);
    fixed.args(["--target", barepod_tests::programs::STATIC_TARGET]);
    fixed.args(["--profile", barepod_tests::programs::STATIC_PROFILE]);
    fixed.args(STATIC.iter().flat_map(|package| ["--package", package]));
    [fixed, repository.cargo(&["build", "--workspace", "--bins", "--exclude", "xtask"]), repository.command("sync")]
}
