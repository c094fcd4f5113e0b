//! The own log of a program that runs for long: to the journal, as JSON, or as text. `BAREPOD_LOG` takes a tracing filter; `info` by default.

use std::os::unix::fs::MetadataExt;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// How a program writes its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, on standard error.
    Text,
    /// One JSON object a line, on standard error.
    Json,
    /// To the journal, with fields.
    Journald,
}

/// Begins to log; where nothing is said, to the journal if the service manager connects it, else as text.
///
/// # Errors
/// The journal is asked for and cannot be reached.
pub fn init(format: Option<LogFormat>) -> anyhow::Result<()> {
    let format = format.unwrap_or_else(|| if stderr_is_journal() { LogFormat::Journald } else { LogFormat::Text });
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).boxed(),
        LogFormat::Journald => tracing_journald::layer()?.boxed(),
    };
    let filter = EnvFilter::try_from_env("BAREPOD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    Ok(())
}

/// systemd names device and inode of the stream it connected (systemd.exec(5), `$JOURNAL_STREAM`).
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
