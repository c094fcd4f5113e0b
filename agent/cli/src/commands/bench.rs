//! `barepod bench`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Bench, BenchDisk, BenchOutput, BenchWork};
use crate::bench::{self, Arms, Course, Ground, Report, Subject, Tools};
use crate::output::print;

/// Clients of a database for each CPU.
const CLIENTS: usize = 4;

pub(super) async fn run(socket: &Path, namespace: String, args: Bench) -> Result<ExitCode> {
    match args {
        Bench::Disk(args) => disk(socket, namespace, args).await,
        Bench::Look { directory } => {
            print(&format!("{}\n", serde_json::to_string(&bench::look(&directory)?)?))?;
            Ok(ExitCode::SUCCESS)
        }
        Bench::FirstWrite { file } => {
            print(&format!("{}\n", bench::first_write(&file)?.as_nanos()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn disk(socket: &Path, namespace: String, args: BenchDisk) -> Result<ExitCode> {
    let tools = Tools::find()?;
    let works = works(&args, &tools)?;
    let client = barepod_api::connect(socket).await?;
    let course = Course {
        size: args.size.0,
        runtime: args.runtime,
        clients: CLIENTS * std::thread::available_parallelism().map_or(1, usize::from),
        postgresql: tools.postgresql.clone(),
    };
    let ground = Ground::make(&args.directory, space(&works, &course))?;
    let mut arms = Arms::new(&ground, client, namespace);
    if args.only.is_empty() && tools.postgresql.is_none() {
        arms.leave_out("PostgreSQL", "postgres and pgbench are not installed");
    }
    // Whatever happens on the way, nothing is left behind.
    let measured = tokio::select! {
        measured = measure(&mut arms, &tools, &works, &course, &args) => measured,
        stopped = stopped() => Err(stopped),
    };
    let ended = arms.end().await.context("a pod that measured may be left: see `barepod get pods`");
    let report = measured?;
    ended?;
    if let Some(file) = &args.plot {
        fs_err::write(file, bench::svg(&report))?;
    }
    match args.output {
        Some(BenchOutput::Json) => print(&format!("{:#}\n", serde_json::to_value(&report)?))?,
        None => print(&report.text())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Those that are wanted and can be done, each once.
fn works(args: &BenchDisk, tools: &Tools) -> Result<Vec<BenchWork>> {
    if args.only.contains(&BenchWork::Postgresql) && tools.postgresql.is_none() {
        bail!(
            "PostgreSQL's programs (postgres, initdb, pgbench) are not installed: apt install postgresql, or leave \
             --only postgresql out"
        );
    }
    let is_wanted = |work: &BenchWork| match args.only.is_empty() {
        true => *work != BenchWork::Postgresql || tools.postgresql.is_some(),
        false => args.only.contains(work),
    };
    Ok(BenchWork::value_variants().iter().copied().filter(is_wanted).collect())
}

/// Bytes that are written at most: the file, the image's, and the one that is copied up.
fn space(works: &[BenchWork], course: &Course) -> u64 {
    let cluster = if works.contains(&BenchWork::Postgresql) { course.cluster_bytes() } else { 0 };
    let files = if works.contains(&BenchWork::FirstWrite) { 3 } else { 1 };
    course.size.saturating_mul(files).saturating_add(cluster)
}

async fn measure(
    arms: &mut Arms<'_>,
    tools: &Tools,
    works: &[BenchWork],
    course: &Course,
    args: &BenchDisk,
) -> Result<Report> {
    arms.find(&tools.runtimes).await?;
    let turns = bench::turns(arms, works).len();
    let minutes = u64::from(args.rounds) * turns as u64 * u64::from(args.runtime + 1) / 60 + 1;
    eprintln!(
        "{turns} measurements a round, {} rounds: about {minutes} min; Ctrl-C leaves nothing behind",
        args.rounds
    );
    let measured = bench::measure(arms, works, course, args.rounds, |step| eprintln!("{step}")).await?;
    let subject = Subject {
        directory: fs_err::canonicalize(&args.directory)?.display().to_string(),
        rounds: args.rounds,
        runtime_seconds: args.runtime,
        size_bytes: args.size.0,
    };
    Ok(Report::new(subject, arms, &measured))
}

/// By whoever waits for it.
async fn stopped() -> anyhow::Error {
    let wait = async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
        std::io::Result::Ok(())
    };
    match wait.await {
        Ok(()) => anyhow::Error::msg("stopped before the end: nothing was measured, and nothing is left behind"),
        Err(error) => anyhow::Error::new(error).context("signals cannot be waited for"),
    }
}
