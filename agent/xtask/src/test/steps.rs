//! The steps of the test: what each runs, and how it is judged.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use barepod_tests::process::tail;
use barepod_tests::skip;

use super::counts::Counts;
use super::{Tier, report};
use crate::build::{self, Speed};
use crate::deny::{self, Advisories};
use crate::generate;
use crate::package;
use crate::repository::Repository;
use crate::sim;

/// Lines of a failed step's log that are shown.
const SHOWN: usize = 60;
/// The reserved tier runs the tests in so many parts, each under an hour.
const SHARDS: usize = 4;

/// Where nextest puts its reports, from the checkout's root: it does not follow the target directory.
const REPORTS: &str = "target/nextest";

/// Tests that need the faults compiled in, which no other test may see.
const PLANTED: [&str; 7] =
    ["--cargo-profile", "release", "--package", "barepod-sim", "--features", "planted", "--test=planted"];

/// One step.
pub(super) struct Step {
    /// As `--only` names it.
    pub(super) name: String,
    work: Work,
}

/// What a step does.
enum Work {
    /// cargo, judged by its exit code.
    Cargo(&'static [&'static str]),
    /// Generated code against its source.
    Generated,
    /// cargo-deny's database of advisories.
    Advisories,
    /// Every program that tests run, and their packages.
    Build,
    /// The tests of the workspace, or one part of several.
    Tests { part: Option<usize> },
    /// The core with each of its planted faults compiled in: all are found.
    PlantedFaults,
    /// The core as it is, on so many seeds.
    Simulation { seeds: u32 },
    /// The examples in the documentation.
    DocTests,
}

impl Step {
    fn new(name: &str, work: Work) -> Self {
        Self { name: name.to_owned(), work }
    }

    /// Whether a pass counts for later runs. What a step builds may be gone by then.
    pub(super) fn is_remembered(&self) -> bool {
        match self.work {
            Work::Build => false,
            Work::Cargo(_)
            | Work::Generated
            | Work::Advisories
            | Work::Tests { .. }
            | Work::PlantedFaults
            | Work::Simulation { .. }
            | Work::DocTests => true,
        }
    }
}

/// The steps of a tier, in order.
pub(super) fn of(tier: Tier) -> Vec<Step> {
    let mut steps = vec![
        Step::new("fmt", Work::Cargo(&["fmt", "--all", "--check", "--", "--color", "never"])),
        Step::new("generated", Work::Generated),
        Step::new("deny", Work::Cargo(&deny::OFFLINE)),
        Step::new("advisories", Work::Advisories),
        Step::new("clippy", Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        Step::new("build", Work::Build),
    ];
    match tier {
        Tier::Everyday => steps.push(Step::new("tests", Work::Tests { part: None })),
        Tier::All => steps.extend(
            (1..=SHARDS).map(|part| Step::new(&format!("tests-{part}-of-{SHARDS}"), Work::Tests { part: Some(part) })),
        ),
    }
    let seeds = match tier {
        Tier::Everyday => 5_000,
        Tier::All => 100_000,
    };
    steps.push(Step::new("simulation", Work::Simulation { seeds }));
    steps.push(Step::new("planted-faults", Work::PlantedFaults));
    steps.push(Step::new("doc-tests", Work::DocTests));
    steps
}

/// Where steps run: the checkout, the tier, and a directory for logs.
pub(super) struct Runner<'a> {
    repository: &'a Repository,
    tier: Tier,
    logs: PathBuf,
}

impl<'a> Runner<'a> {
    pub(super) fn new(repository: &'a Repository, tier: Tier) -> anyhow::Result<Self> {
        let logs = repository.target().join("xtask-logs");
        fs_err::create_dir_all(&logs)?;
        Ok(Self { repository, tier, logs })
    }

    /// Runs a step; with the counts, what a person has to read where it failed.
    pub(super) fn run(&self, step: &Step) -> (Counts, Option<String>) {
        match self.attempt(step) {
            Ok(counts) if counts.failed == 0 => (counts, None),
            Ok(counts) => (counts, Some(self.shown(step))),
            Err(error) => (Counts::check(false), Some(format!("{}\n{error:#}", self.shown(step)))),
        }
    }

    fn attempt(&self, step: &Step) -> anyhow::Result<Counts> {
        let mut log = fs_err::File::create(self.log(step))?.into_file();
        match &step.work {
            Work::Cargo(arguments) => self.check(&mut self.repository.cargo(arguments), &log),
            Work::Generated => generate::run(true).map(|()| Counts::check(true)),
            Work::Advisories => self.advisories(&mut log),
            Work::Build => self.build(&log),
            Work::Tests { part } => {
                let part = part.map(|part| format!("--partition=slice:{part}/{SHARDS}"));
                self.tests(&["--workspace"], part, &log)
            }
            Work::PlantedFaults => self.tests(&PLANTED, None, &log),
            Work::Simulation { seeds } => {
                self.check(sim::command(self.repository).args(["--seeds", &seeds.to_string()]), &log)
            }
            Work::DocTests => self.doc_tests(step, &log),
        }
    }

    fn check(&self, command: &mut Command, log: &File) -> anyhow::Result<Counts> {
        Ok(Counts::check(into(command, log)?))
    }

    fn advisories(&self, log: &mut File) -> anyhow::Result<Counts> {
        match deny::advisories(self.repository)? {
            Advisories::Checked { clean, said } => {
                log.write_all(said.as_bytes())?;
                Ok(Counts::check(clean))
            }
            Advisories::Unreachable { why } => Ok(Counts::skip(format!("advisories: {why}"))),
        }
    }

    fn build(&self, log: &File) -> anyhow::Result<Counts> {
        let mut passed = true;
        for mut command in build::commands(self.repository, Speed::Debug) {
            passed &= into(&mut command, log)?;
        }
        if passed {
            package::for_tests(self.repository)?;
        }
        Ok(Counts::check(passed))
    }

    fn tests(&self, which: &[&str], part: Option<String>, log: &File) -> anyhow::Result<Counts> {
        // Of nextest's configuration, and as tests know the tier.
        let (profile, tier) = match self.tier {
            Tier::Everyday => ("xtask", "everyday"),
            Tier::All => ("all", "all"),
        };
        let skips = self.logs.join("skips");
        let junit = self.repository.root().join(REPORTS).join(profile).join("junit.xml");
        for old in [&skips, &junit] {
            if old.exists() {
                fs_err::remove_file(old)?;
            }
        }
        let mut nextest = self.repository.cargo(&["nextest", "run", "--profile", profile]);
        nextest.args(which).args(part);
        nextest.env(skip::LIST, &skips).env(skip::TIER, tier);
        let passed = into(&mut nextest, log)?;
        let counts = report::of_junit(&fs_err::read_to_string(junit).context("no test ran")?)?;
        let skipped = if skips.exists() { fs_err::read_to_string(&skips)? } else { String::new() };
        Ok(failed_unless(passed, counts.with_skips(&skipped)))
    }

    fn doc_tests(&self, step: &Step, log: &File) -> anyhow::Result<Counts> {
        let passed = into(&mut self.repository.cargo(&["test", "--workspace", "--doc"]), log)?;
        Ok(failed_unless(passed, report::of_libtest(&fs_err::read_to_string(self.log(step))?)))
    }

    fn log(&self, step: &Step) -> PathBuf {
        self.logs.join(format!("{}.log", step.name))
    }

    fn shown(&self, step: &Step) -> String {
        let log = self.log(step);
        let text = std::fs::read(&log).unwrap_or_default();
        format!("{}\nall of it: {}", tail(&String::from_utf8_lossy(&text), SHOWN), log.display())
    }
}

/// Runs a command with its output at the end of a log; whether it succeeded.
fn into(command: &mut Command, log: &File) -> anyhow::Result<bool> {
    command.env("CARGO_TERM_COLOR", "never").stdout(log.try_clone()?).stderr(log.try_clone()?);
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    Ok(status.success())
}

/// A runner that failed without a failed test (it could not build, say) is a failure of its own.
fn failed_unless(passed: bool, mut counts: Counts) -> Counts {
    if !passed && counts.failed == 0 {
        counts.failed = 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        assert_eq!(failed_unless(false, Counts::default()).failed, 1);
        assert_eq!(failed_unless(false, Counts { failed: 3, ..Counts::default() }).failed, 3);
        assert_eq!(failed_unless(true, Counts::default()).failed, 0);
    }

    #[test]
    fn no_two_steps_share_a_name_and_so_a_log() {
        for tier in [Tier::Everyday, Tier::All] {
            let mut names: Vec<_> = of(tier).into_iter().map(|step| step.name).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all);
        }
    }
}
