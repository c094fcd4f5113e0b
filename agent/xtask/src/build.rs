//! Every program that a test runs: static ones as they are shipped, the others in the profile of the tests.

use std::process::Command;

use crate::package::{self, Arch};
use crate::repository::{Repository, succeed};

/// Packages with static programs.
const STATIC: [&str; 2] = ["barepod-shim", "barepod-test-programs"];

/// The one of them that is shipped.
const SHIPPED: &str = STATIC[0];

/// Packages with the programs of a host.
const HOST: [&str; 5] = ["barepod-daemon", "barepod-prober", "barepod-bridge", "barepod-cli", "barepod-nomad"];

/// Packages that only the bench runs. They turn on no features that those of a host do not: what is shipped stays as it is.
const MEASURING: [&str; 1] = ["barepod-fleet"];

/// What the other programs are built for.
#[derive(Clone, Copy)]
pub(crate) enum Speed {
    /// The profile of the tests: quickly built.
    Debug,
    /// As shipped: what is measured.
    Release,
    /// The same, and what measures it.
    Bench,
}

impl Speed {
    /// The directory below the target directory.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release | Self::Bench => "release",
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

/// Builds what is shipped, for another processor: by the cross compiler of Debian, and the standard library that rustup has for it.
pub(crate) fn for_arch(repository: &Repository, arch: Arch) -> anyhow::Result<()> {
    let (Some(target), Some(fixed)) = (arch.target(), arch.static_target()) else {
        return at(repository, Speed::Release);
    };
    let compiler = arch.tool("gcc");
    let build = |target: &str, profile: &str, packages: &[&str]| {
        let mut cargo = repository.cargo(&["build", "--bins", "--target", target, "--profile", profile]);
        cargo.args(packages.iter().flat_map(|package| ["--package", package]));
        let name = target.replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), &compiler);
        cargo.env(format!("CC_{name}"), &compiler);
        succeed(&mut cargo)
    };
    build(fixed, barepod_tests::programs::STATIC_PROFILE, &[SHIPPED])?;
    build(target, "release", &HOST)?;
    // Manual pages and completion are made by the command line, which must run here.
    succeed(&mut commands(repository, Speed::Debug)[1])
}

fn packages<'a>(all: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    all.iter().flat_map(|package| ["--package", package])
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
        Speed::Release => others.arg("--release").args(packages(&HOST)),
        Speed::Bench => others.arg("--release").args(packages(&HOST)).args(packages(&MEASURING)),
    };
    [fixed, others, repository.command("sync")]
}
