//! The bench: each line beside its peers, in the same run, interleaved, with medians, intervals and ratios.
//!
//! A figure without the peer's figure from the same minutes says little on a noisy machine. Each line is a [`Line`]: its
//! arms' samples were taken in turns, so that what disturbs one disturbs all, and ratios are taken round by round.

mod apply;
mod cli;
mod fleet;
mod idle;
mod kubernetes;
mod logs;
mod memory;
mod nomad;
mod page;
mod postgresql;
mod probes;
mod process;
mod restart;
mod stamps;
mod streams;
mod supervisor;
pub(crate) mod table;

use anyhow::Context as _;
use barepod_tests::programs::Built;

use crate::build::{self, Speed};
use crate::repository::{Repository, machine};
use crate::setup::{self, Purpose};
use page::Part;
use table::Line;

/// What is measured is what is shipped.
const SPEED: Speed = Speed::Bench;
/// The committed page.
const PAGE: &str = "tests/BENCH.md";

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; each takes one sample of every arm
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Idle time before each sample, in milliseconds: a cold kernel lock shows only after a pause
    #[arg(long, default_value_t = 500, value_name = "MS")]
    gap: u64,
    /// Simulated nodes of the line `fleet`
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    nodes: usize,
    /// Minutes that the line `fleet` looks on while nothing changes; a watch goes on for almost five
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    minutes: usize,
    /// Only the lines of these names
    #[arg(long, value_name = "LINE")]
    only: Vec<String>,
    /// Measures the programs as they were built last
    #[arg(long)]
    as_built: bool,
    /// Also writes tests/BENCH.md
    #[arg(long)]
    write: bool,
}

/// What a line needs to be measured.
struct Course {
    built: Built,
    rounds: usize,
    gap: std::time::Duration,
    nodes: usize,
    minutes: usize,
}

/// How the lines of one name are measured.
type Measure = fn(&Course) -> anyhow::Result<Vec<Line>>;

const LINES: [(&str, Measure); 14] = [
    ("restart", restart::measure),
    ("postgresql", postgresql::measure),
    ("memory", memory::measure),
    ("idle", idle::measure),
    ("probes", probes::measure),
    ("logs", logs::measure),
    ("apply", apply::measure),
    ("cli", cli::measure),
    ("kubernetes", kubernetes::measure),
    ("streams", streams::measure),
    ("fleet", fleet::measure),
    ("nomad", nomad::measure),
    ("nomad-requests", nomad::requests),
    ("nomad-fleet", nomad::fleet),
];

/// Measures and prints the table.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    if let Some(unknown) = options.only.iter().find(|name| LINES.iter().all(|(line, _)| line != name)) {
        anyhow::bail!("no line is named {unknown}: there are {:?}", LINES.map(|(name, _)| name));
    }
    anyhow::ensure!(options.rounds > 0, "--rounds must be at least 1");
    anyhow::ensure!((1..=10_000).contains(&options.nodes), "--nodes must be from 1 to 10000");
    anyhow::ensure!(options.minutes > 0, "--minutes must be at least 1");
    if !options.as_built {
        setup::run(repository, Purpose::Bench)?;
        build::at(repository, SPEED)?;
    }
    let gap = std::time::Duration::from_millis(options.gap);
    let built = Built::at(repository.target(), SPEED.directory());
    let course = Course { built, rounds: options.rounds, gap, nodes: options.nodes, minutes: options.minutes };
    let commit = commit(repository)?;
    for (name, measure) in LINES {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            let before = load();
            let lines = measure(&course).with_context(|| format!("the line {name}"))?;
            let part = Part::new(name, &circumstances(&commit, &before), &lines);
            println!("{part}");
            if options.write {
                // At once: the next one may fail.
                let file = repository.root().join(PAGE);
                let written = fs_err::read_to_string(&file).unwrap_or_default();
                fs_err::write(file, page::renewed(&written, part, &LINES.map(|(name, _)| name)))?;
            }
        }
    }
    Ok(())
}

/// What is measured.
fn commit(repository: &Repository) -> anyhow::Result<String> {
    let changed = if repository.is_dirty()? { " with changes" } else { "" };
    Ok(format!("Commit `{}`{changed}", repository.commit()?))
}

fn circumstances(commit: &str, load_before: &str) -> String {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let (machine, after) = (machine(), load());
    format!("{commit}, {date}, {machine}. Load average (1, 5, 15 minutes) before: {load_before}; after: {after}.")
}

/// What else the machine has to do.
fn load() -> String {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(", ")
}
