//! barepod-nomad-driver: the task driver `barepod`, started by a Nomad client.

use std::io::Write as _;
use std::process::ExitCode;

use barepod_goplugin::hclog::Hclog;
use barepod_nomad::{Driver, HANDSHAKE};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it may be gone.
            writeln!(std::io::stderr(), "barepod-nomad-driver: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let filter = EnvFilter::try_from_env("BAREPOD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::registry().with(Hclog::begin("barepod")?.with_filter(filter)).init();
    runtime.block_on(barepod_goplugin::serve(HANDSHAKE, Driver::add_to))?;
    Ok(())
}
