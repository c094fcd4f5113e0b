//! barepod: the command line. A client of the daemon's socket, like any other.

mod args;
mod bench;
mod commands;
mod complete;
mod doctor;
mod duration;
mod get;
mod hint;
mod jsonpath;
mod offline;
mod output;
mod progress;
mod refusal;
mod report;
mod run;
mod select;
mod target;
mod terminal;
mod top;

use std::process::ExitCode;

/// Exit codes: 0 done; 1 refused or failed; 2 the command line was wrong; of `exec`, the command's own code.
fn main() -> ExitCode {
    complete::answer();
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            let error = hint::amend(error);
            // What cannot be printed has nobody to read it.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refusal::fail(&anyhow::Error::new(error).context("cannot start")),
    };
    let code = match runtime.block_on(commands::run(args)) {
        Ok(code) => code,
        Err(error) => refusal::fail(&error),
    };
    // A read of the terminal may still be waiting in a thread of its own; it must not keep the command from ending.
    runtime.shutdown_background();
    code
}
