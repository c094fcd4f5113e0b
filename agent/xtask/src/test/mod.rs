//! The whole test of the project, as one command: every check, every test, and a counted summary.
//!
//! A step that fails does not hide the others. What a step prints goes to a log of its own; the end of it is shown where
//! the step fails. A test that cannot run here is a skip with a reason, counted and listed, never a silent pass.
//!
//! `--all` is the reserved tier: the same steps with longer rounds, in shards. Each shard that passes is remembered for
//! the commit, so that an interrupted run goes on where it was.

mod counts;
mod memory;
mod report;
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use crate::build;
use crate::repository::{Repository, succeed};
use crate::setup::{self, Purpose};
use counts::Counts;
use memory::Memory;
use steps::{Runner, Step};

pub(crate) use barepod_tests::Tier;

/// How much is tested.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The reserved tier: everything, resumable; writes tests/LAST_ALL.md when complete
    #[arg(long)]
    all: bool,
    /// Only the steps of these names
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Names the steps and runs none
    #[arg(long)]
    list: bool,
}

/// Runs the steps and fails where one of them does.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<ExitCode> {
    let tier = if options.all { Tier::All } else { Tier::Everyday };
    let steps = chosen(steps::of(tier), &options.only)?;
    if options.list {
        steps.iter().for_each(|step| println!("{}", step.name));
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(repository, Purpose::Test)?;
    let runner = Runner::new(repository, tier)?;
    let mut memory = Memory::of(repository, tier)?;
    let begin = Instant::now();
    let total = steps.iter().map(|step| run_or_remember(&runner, step, &mut memory)).sum::<Counts>();
    println!("\n{} in {:.0} s", if total.failed == 0 { "passed" } else { "FAILED" }, begin.elapsed().as_secs_f64());
    if options.only.is_empty() {
        memory.write_page(repository, &total)?;
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds what the tests run, then hands over to cargo-nextest.
pub(crate) fn nextest(repository: &Repository, arguments: &[String]) -> anyhow::Result<()> {
    setup::run(repository, Purpose::Test)?;
    build::run(repository)?;
    succeed(repository.cargo(&["nextest", "run"]).args(arguments))
}

fn chosen(steps: Vec<Step>, only: &[String]) -> anyhow::Result<Vec<Step>> {
    for name in only {
        steps.iter().find(|step| &step.name == name).with_context(|| format!("no step is named {name}: see --list"))?;
    }
    Ok(steps.into_iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect())
}

fn run_or_remember(runner: &Runner<'_>, step: &Step, memory: &mut Memory) -> Counts {
    if let Some(passed) = memory.passed(&step.name) {
        println!("  ok    {:<24} earlier", step.name);
        return passed;
    }
    let begin = Instant::now();
    let (counts, trouble) = runner.run(step);
    let seconds = begin.elapsed().as_secs_f64();
    println!("  {:<5} {:<24} {seconds:>7.1} s  {counts}", if counts.failed == 0 { "ok" } else { "FAIL" }, step.name);
    counts.skipped.iter().for_each(|skip| println!("        SKIP: {skip}"));
    if let Some(trouble) = trouble {
        println!("{trouble}");
    }
    if let Err(error) = memory.remember(step, &counts, seconds) {
        println!("        not remembered: {error:#}");
    }
    counts
}
