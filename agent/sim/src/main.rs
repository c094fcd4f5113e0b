//! `cargo xtask sim`: many runs side by side, or one run step by step.

#![forbid(unsafe_code)]

mod words;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use barepod_sim::{Entry, Failure, Summary};
use clap::Parser;

/// Simulates hosts with faults and checks the invariants of the core
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs one seed and prints every step
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
    /// Prints the steps as lines of JSON
    #[arg(long, requires = "replay")]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.replay {
        Some(seed) => replay(seed, arguments.json),
        None => run_many(arguments.from, arguments.seeds),
    }
}

fn replay(seed: u64, json: bool) -> anyhow::Result<()> {
    let mut print = |at: Duration, entry: &Entry<'_>| {
        let line = if json {
            serde_json::json!({ "at": at.as_secs_f64(), "entry": entry }).to_string()
        } else {
            describe(at, entry)
        };
        println!("{line}");
    };
    let summary = barepod_sim::run(seed, Some(&mut print))?;
    if !json {
        println!("seed {seed} is clean: {summary:?}");
    }
    Ok(())
}

fn describe(at: Duration, entry: &Entry<'_>) -> String {
    let at = at.as_secs_f64();
    match entry {
        Entry::Input(input) => format!("{at:>12.3}  → {}", words::input(input)),
        Entry::Effect(effect) => format!("{at:>12.3}    ← {}", words::effect(effect)),
        Entry::Host(what) => format!("{at:>12.3}  * {what}"),
    }
}

fn run_many(from: u64, seeds: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (sender, results) = mpsc::channel();
    let outcome = std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| work(&next, from + seeds, &stop, sender));
        }
        drop(sender);
        collect(results, seeds, &stop)
    });
    let (runs, total) = outcome?;
    println!("{runs} seeds from {from} are clean in {:.1} s: {total:?}", began.elapsed().as_secs_f64());
    Ok(())
}

fn work(next: &AtomicU64, end: u64, stop: &AtomicBool, results: mpsc::Sender<Result<Summary, Failure>>) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || results.send(barepod_sim::run(seed, None)).is_err() {
            return;
        }
    }
}

/// Adds up until all have run or one has failed; says where it is once in a while.
fn collect(
    results: mpsc::Receiver<Result<Summary, Failure>>,
    seeds: u64,
    stop: &AtomicBool,
) -> anyhow::Result<(u64, Summary)> {
    let (mut runs, mut total) = (0, Summary::default());
    for result in results {
        match result {
            Ok(summary) => total = total.plus(summary),
            Err(failure) => {
                stop.store(true, Ordering::Relaxed);
                let seed = failure.seed;
                anyhow::bail!("{failure}\nreplay it with: cargo xtask sim --replay {seed}");
            }
        }
        runs += 1;
        if runs % (seeds / 10).max(1_000) == 0 {
            println!("{runs} of {seeds} seeds are clean");
        }
    }
    Ok((runs, total))
}
