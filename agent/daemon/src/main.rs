//! barepodd: decides and supervises.
//!
//! Started: configuration, ledger, core, socket, sources. Ended by SIGTERM or SIGINT: the socket closes, the services run
//! on; the next daemon finds them by their shims.

mod allotment;
mod answers;
mod args;
mod audit;
mod board;
mod booking;
mod clock;
mod config;
mod daemon;
mod grpc;
mod hands;
mod journal;
mod levels;
mod lines;
mod notify;
mod object;
mod policy;
mod prober;
mod reload;
mod settings;
mod shutdown;
mod source;
mod storage;
mod supervisor;
mod survey;
mod watch;
mod whole;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

fn main() -> ExitCode {
    barepod_sys::allocator::share_one_arena();
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barepodd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let config = config::read(&args.config_file())?;
    if args.check_config {
        println!("{}: valid", args.config_file().display());
        let file = args.policy_file();
        if policy::read(&file).map_err(anyhow::Error::msg)?.is_some() {
            println!("{}: valid", file.display());
        }
        return Ok(());
    }
    barepod_telemetry::init(args.log_format)?;
    // One thread decides; what may block (disk, mounts) runs on the blocking pool.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(args, config))
}
