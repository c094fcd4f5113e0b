//! The reader of the log while it is written: a static program, as fast as the logger's own.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A tailer under way. It ends by itself: when it has read all, or when the log does not grow any more.
pub(super) struct Tailer(Child);

impl Tailer {
    /// Follows attempt 0 of this directory until so many lines were read.
    pub(super) fn start(program: &Path, directory: &Path, lines: usize) -> anyhow::Result<Self> {
        let mut tailer = Command::new(program);
        tailer.arg(directory).arg(lines.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self(tailer.spawn().context("cannot start the tailer")?))
    }

    /// When the last line was read, by the monotonic clock. Fails where a line is missing, doubled or torn.
    pub(super) fn last_line(mut self) -> anyhow::Result<Duration> {
        let mut said = String::new();
        self.0.stdout.take().context("the tailer's output is taken")?.read_to_string(&mut said)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the tailer ended with {status}");
        Ok(Duration::from_nanos(said.trim().parse().context("the tailer did not say when")?))
    }
}
