//! `barepod-shim`: see the library.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use barepod_shim::begin::{self, BeginError};
use barepod_shim::layout::{EXIT_FAILED, EXIT_LOCKED, EXIT_USAGE};
use barepod_shim::{exec, handover};
use barepod_sys::descriptor;

const USAGE: &str =
    "usage: barepod-shim run|pause --dir DIR [--ready-fd N] [--legacy-group DIR]... | barepod-shim exec | --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", options @ ..] => RunOptions::parse(options).map_or_else(misused, |options| run(&options)),
        ["pause", options @ ..] => RunOptions::parse(options).map_or_else(misused, |options| pause(&options)),
        ["exec"] => ended(exec::run()),
        ["resume", memory] => resume(memory),
        ["--version"] => {
            println!("barepod-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => misused(),
    }
}

fn misused() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}

/// What `run` and `pause` are told.
#[derive(Default)]
struct RunOptions {
    /// The shim's directory.
    directory: PathBuf,
    /// Closed when the shim listens. Closed without the shim alive means that it failed.
    ready: Option<i32>,
    /// Groups of v1 hierarchies that the shim enters.
    legacy_groups: Vec<PathBuf>,
}

impl RunOptions {
    fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        let (pairs, []) = words.as_chunks::<2>() else { return None };
        for [option, value] in pairs {
            match *option {
                "--dir" => options.directory = PathBuf::from(value),
                "--ready-fd" => options.ready = Some(value.parse().ok()?),
                "--legacy-group" => options.legacy_groups.push(PathBuf::from(value)),
                _ => return None,
            }
        }
        (!options.directory.as_os_str().is_empty()).then_some(options)
    }
}

/// Where it cannot be entered, the shim's few pages are charged to the daemon: no reason not to run.
fn enter(group: &Path) {
    if let Err(error) = fs::write(group.join("tasks"), "0") {
        eprintln!("barepod-shim: cannot enter the group {}: {error}", group.display());
    }
}

fn run(options: &RunOptions) -> ExitCode {
    let ready = options.ready.and_then(descriptor::inherited);
    options.legacy_groups.iter().for_each(|group| enter(group));
    match begin::begin(&options.directory) {
        Ok(mut supervisor) => {
            drop(ready);
            ended(supervisor.run())
        }
        Err(error) => {
            let code = if matches!(error, BeginError::Locked(_)) { EXIT_LOCKED } else { EXIT_FAILED };
            report(&error);
            ExitCode::from(code)
        }
    }
}

/// The process it makes goes on without this one.
fn pause(options: &RunOptions) -> ExitCode {
    let _closed_at_the_end = options.ready.and_then(descriptor::inherited);
    options.legacy_groups.iter().for_each(|group| enter(group));
    ended(barepod_shim::pause::begin(&options.directory))
}

fn resume(memory: &str) -> ExitCode {
    let supervisor = memory.parse().map_err(std::io::Error::other).and_then(handover::resume);
    ended(supervisor.and_then(|mut supervisor| supervisor.run()))
}

fn ended(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn report(error: &dyn Error) {
    let mut text = format!("barepod-shim: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{text}");
}
