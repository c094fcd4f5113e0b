//! Measurements of this host.

use std::path::PathBuf;

use barepod_model::Bytes;
use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Measure a directory's disk: under a bare process, in a pod, and in containers of other ways where those are installed.
    ///
    /// The same fio jobs, and PostgreSQL's pgbench where it is installed, run in turns as a bare process, in a pod with a
    /// hostPath volume, and, where crun or runc is installed, in a container with a bind mount, with an overlay, and with an
    /// overlay that has to copy the file up first. All use the same files. The order is another one in each round, and ratios are
    /// taken round by round. Needs root, fio, the daemon, and a rule of the policy that allows the directory as hostPath.
    ///
    /// What is written lies in a directory of its own below DIR, and goes at the end, also after Ctrl-C.
    Disk(BenchDisk),
    /// What a task of the measurement sees of a directory.
    #[command(hide = true)]
    Look {
        /// A directory.
        directory: PathBuf,
    },
    /// Time the first write to a file that is there.
    #[command(hide = true)]
    FirstWrite {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchDisk {
    /// A directory on the disk that is to be measured.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Rounds; in each of them everything is measured once.
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Seconds that each measurement takes.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) runtime: u32,
    /// Size of the file that is written to, as in a manifest; PostgreSQL's tables take about a quarter of it more.
    #[arg(long, default_value = "1Gi", value_name = "QUANTITY", value_parser = size)]
    pub(crate) size: Bytes,
    /// Only this. May be given more than once.
    #[arg(long, value_enum, value_name = "WORK")]
    pub(crate) only: Vec<BenchWork>,
    /// Also draw the ratios into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<BenchOutput>,
}

/// What is done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchWork {
    /// Writes one at a time, each followed by fdatasync: a database's log.
    Log,
    /// Reads and writes, 32 at a time: a database's tables.
    Heap,
    /// The first write to a file that is there.
    FirstWrite,
    /// PostgreSQL, by pgbench.
    Postgresql,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchOutput {
    /// An object with all figures, as JSON.
    Json,
}

/// fio needs some blocks to choose from.
const LEAST: u64 = 1 << 20;

fn size(text: &str) -> Result<Bytes, String> {
    let size: Bytes = text.parse().map_err(|error| format!("{error}"))?;
    if size.0 < LEAST { Err("write 1Mi or more".to_owned()) } else { Ok(size) }
}
