//! Every program that a test runs: static ones as they are shipped, the others in the profile of the tests.

use std::process::Command;

use crate::package;
use crate::repository::{Repository, succeed};

/// Packages with static programs.
const STATIC: [&str; 2] = ["barepod-shim", "barepod-test-programs"];

/// Packages with the programs of a host.
const HOST: [&str; 5] = ["barepod-daemon", "barepod-prober", "barepod-bridge", "barepod-cli", "barepod-nomad"];

/// What the other programs are built for.
#[derive(Clone, Copy)]
pub(crate) enum Speed {
    /// The profile of the tests: quickly built.
    Debug,
    /// As shipped: what is measured.
    Release,
}

impl Speed {
    /// The directory below the target directory.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds them all for tests, and their packages.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    at(repository, Speed::Debug)?;
    package::for_tests(repository)
}

/// Builds them all.
pub(crate) fn at(repository: &Repository, speed: Speed) -> anyhow::Result<()> {
    commands(repository, speed).iter_mut().try_for_each(succeed)
}

/// The commands that build them. The kernel counts a fresh binary's pages as dirty until they are on disk, and memory is
/// measured: hence `sync`.
pub(crate) fn commands(repository: &Repository, speed: Speed) -> [Command; 3] {
    let mut fixed = repository.cargo(&["build", "--bins"]);
    fixed.args(["--target", barepod_tests::programs::STATIC_TARGET]);
    fixed.args(["--profile", barepod_tests::programs::STATIC_PROFILE]);
    fixed.args(STATIC.iter().flat_map(|package| ["--package", package]));
    let mut others = repository.cargo(&["build", "--bins"]);
    match speed {
        Speed::Debug => others.arg("--workspace"),
        Speed::Release => others.arg("--release").args(HOST.iter().flat_map(|package| ["--package", package])),
    };
    [fixed, others, repository.command("sync")]
}
