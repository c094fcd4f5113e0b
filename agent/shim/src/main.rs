//! `barepod-shim`: see the library.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use barepod_shim::begin::{self, BeginError};
use barepod_shim::layout::{EXIT_FAILED, EXIT_LOCKED, EXIT_USAGE};
use barepod_shim::{exec, handover};

const USAGE: &str = "usage: barepod-shim run --dir DIR | exec | --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", "--dir", directory] => run(Path::new(directory)),
        ["exec"] => ended(exec::run()),
        ["resume", memory] => resume(memory),
        ["--version"] => {
            println!("barepod-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(directory: &Path) -> ExitCode {
    match begin::begin(directory) {
        Ok(mut supervisor) => ended(supervisor.run()),
        Err(error) => {
            let code = if matches!(error, BeginError::Locked(_)) { EXIT_LOCKED } else { EXIT_FAILED };
            report(&error);
            ExitCode::from(code)
        }
    }
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
