//! The project's habits, one module each. A newcomer needs nothing but cargo: `cargo xtask --help`.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod conformance;
mod demo;
mod deny;
mod disk;
mod generate;
mod keys;
mod package;
mod peers;
mod repo;
mod repository;
mod setup;
mod sim;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use repository::Repository;
use setup::Purpose;

/// The habits of this project.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    habit: Habit,
}

#[derive(Subcommand)]
enum Habit {
    /// Installs what is missing: packages of Debian, a target of rustup, cargo tools, and the servers of tests/peers
    Setup {
        /// Also what only the bench needs
        #[arg(long)]
        bench: bool,
    },
    /// Builds every program that the tests run
    Build,
    /// The everyday test; with --all the reserved tier, which resumes where it was interrupted
    Test(test::Options),
    /// Builds what tests need and hands its arguments to cargo-nextest: `cargo xtask nextest vm`
    Nextest {
        /// As `cargo nextest run` takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Simulates hosts with faults and checks the invariants of the core: `cargo xtask sim --seeds 100000`
    Sim {
        /// As `barepod-sim` takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Shows a real PostgreSQL from its manifest to its clean end, on this machine, and leaves nothing behind
    Demo,
    /// Measures beside the peers of Debian and prints a table
    Bench(bench::Options),
    /// Measures a disk of this machine by `barepod bench disk`, and writes the page of it with --write
    Disk(disk::Options),
    /// Builds what is shipped, and makes a .deb and an .rpm of it
    Package(package::Options),
    /// Makes repositories of packages that apt and dnf install from, signed by a key of yours: `cargo xtask repo --key ID --out DIR *.deb *.rpm`
    Repo(repo::Options),
    /// Boots Debian with the package installed, and its console is this terminal: `cargo xtask vm trixie`
    Vm(vm::Options),
    /// Runs Kubernetes' own end to end suite against a node, with a page of the results: --focus, --shard, --write
    Conformance(conformance::Options),
    /// Licences, advisories, sources and doubled versions of the dependencies
    Deny,
    /// Writes the generated code
    Gen {
        /// Only says whether it differs
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let repository = Repository::here();
    match Arguments::parse().habit {
        Habit::Setup { bench } => setup::run(&repository, if bench { Purpose::Bench } else { Purpose::Test }),
        Habit::Build => build::run(&repository),
        // Its last line is the summary, for people and programs: a failure adds none.
        Habit::Test(options) => return test::run(&repository, &options),
        Habit::Nextest { arguments } => test::nextest(&repository, &arguments),
        Habit::Sim { arguments } => sim::run(&repository, &arguments),
        Habit::Demo => demo::run(&repository),
        Habit::Bench(options) => bench::run(&repository, &options),
        Habit::Disk(options) => disk::run(&repository, &options),
        Habit::Package(options) => package::run(&repository, &options),
        Habit::Repo(options) => repo::run(&repository, &options),
        Habit::Vm(options) => vm::run(&repository, &options),
        Habit::Conformance(options) => conformance::run(&repository, &options),
        Habit::Deny => deny::run(&repository),
        Habit::Gen { check } => generate::run(check),
    }?;
    Ok(ExitCode::SUCCESS)
}
