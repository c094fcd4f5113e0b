//! A command with its streams: standard input, output and error, the terminal's size, and how it ended.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio::time::timeout;

use crate::link::{Link, Timing};
pub use crate::status::Outcome;
use crate::stream::{Gone, Incoming, Next, Outgoing, Stream};
use crate::upgrade::Upgrade;
use crate::wire::Code;

/// Of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The first.
    #[default]
    V1,
    /// Standard input can end.
    V2,
    /// Terminals can be resized.
    V3,
    /// The end is told as a metav1.Status.
    V4,
    /// Any stream can end. By SPDY that was always so.
    V5,
}

impl Version {
    /// All, newest first.
    pub(crate) const ALL: [Self; 5] = [Self::V5, Self::V4, Self::V3, Self::V2, Self::V1];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "channel.k8s.io",
            Self::V2 => "v2.channel.k8s.io",
            Self::V3 => "v3.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }
}

/// Which streams the client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// It sends input.
    pub stdin: bool,
    /// It wants output.
    pub stdout: bool,
    /// It wants what goes to standard error; never with a terminal, where that is output.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// None of the three streams is wanted.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("you must specify at least 1 of stdin, stdout, stderr")]
pub struct NoStreams;

impl Options {
    /// From a request's query, whose values are `1` for what is wanted.
    ///
    /// # Errors
    /// `NoStreams`.
    pub fn of_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, NoStreams> {
        let mut options = Self::default();
        for (name, _) in pairs.into_iter().filter(|(_, value)| *value == "1") {
            match name {
                "input" => options.stdin = true,
                "output" => options.stdout = true,
                "error" => options.stderr = true,
                "tty" => options.tty = true,
                _ => {}
            }
        }
        options.stderr &= !options.tty;
        let any = options.stdin || options.stdout || options.stderr;
        any.then_some(options).ok_or(NoStreams)
    }
}

/// The channels of a WebSocket, by their numbers: standard input, output and error, how it ended, the terminal's size.
pub const CHANNELS: [u32; 5] = [0, 1, 2, 3, 4];

/// The client's end of a command.
#[derive(Debug)]
pub struct Session {
    /// Absent if the client sends none.
    pub stdin: Option<Incoming>,
    /// Absent if it wants none, as with `stderr`.
    pub stdout: Option<Outgoing>,
    /// See `stdout`.
    pub stderr: Option<Outgoing>,
    /// Absent without a terminal.
    pub sizes: Option<Sizes>,
    report: Report,
}

/// The streams that the request needs were not all opened in time, or the connection ended before.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("timed out waiting for the client to create streams")]
pub struct NotOpened;

/// Streams by what they are for.
#[derive(Default)]
struct Found {
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    error: Option<Stream>,
    resize: Option<Stream>,
}

impl Session {
    /// Waits for the streams that the client wants. Others are refused, then and later.
    ///
    /// # Errors
    /// `NotOpened`.
    pub async fn begin(link: Link, upgrade: &Upgrade, options: Options, timing: Timing) -> Result<Self, NotOpened> {
        let found = timeout(timing.creation, Found::all(link, upgrade, options)).await;
        let found = found.ok().flatten().ok_or(NotOpened)?;
        let error = found.error.ok_or(NotOpened)?.outgoing;
        let outgoing = |stream: Option<Stream>| stream.map(|stream| stream.outgoing);
        let inputs = [&found.stdin, &found.resize];
        let inputs = inputs.into_iter().flatten().map(|stream| stream.outgoing.clone()).collect();
        let (stdout, stderr) = (outgoing(found.stdout), outgoing(found.stderr));
        let outputs = [&stdout, &stderr].into_iter().flatten().cloned().collect();
        let session = Self {
            stdin: found.stdin.map(|stream| stream.incoming),
            sizes: found.resize.map(|stream| Sizes { incoming: stream.incoming, text: BytesMut::new() }),
            report: Report { version: upgrade.version(), error, inputs, outputs, timing },
            stdout,
            stderr,
        };
        session.greet(upgrade).await.map_err(|Gone| NotOpened)?;
        Ok(session)
    }

    /// Says how the command ended, and that nothing more comes; a client that has gone is not waited for.
    pub async fn finish(self, outcome: &Outcome) {
        self.report.finish(outcome).await;
    }

    /// Says when the client has gone.
    #[must_use]
    pub fn client(&self) -> Client {
        Client(self.report.error.clone())
    }

    /// On a WebSocket an empty message shows that all is well.
    async fn greet(&self, upgrade: &Upgrade) -> Result<(), Gone> {
        if !upgrade.has_channels() || upgrade.version() == Version::V5 {
            return Ok(());
        }
        let first = self.stdout.as_ref().or(self.stderr.as_ref()).unwrap_or(&self.report.error);
        first.write(Bytes::new()).await
    }
}

impl Found {
    async fn all(mut link: Link, upgrade: &Upgrade, options: Options) -> Option<Self> {
        let resizes = options.tty && upgrade.version() >= Version::V3;
        let wanted = |kind: &str| match kind {
            "stdin" => options.stdin,
            "stdout" => options.stdout,
            "stderr" => options.stderr,
            "error" => true,
            "resize" => resizes || (options.tty && upgrade.has_channels()),
            _ => false,
        };
        let mut found = Self::default();
        while !KINDS.iter().all(|kind| !wanted(kind) || found.slot(kind).is_some_and(|slot| slot.is_some())) {
            let stream = link.next().await?;
            let kind = if upgrade.has_channels() {
                KINDS.get(stream.outgoing.id() as usize).copied().unwrap_or_default().to_owned()
            } else {
                stream.headers.get("streamtype").unwrap_or_default().to_owned()
            };
            match found.slot(&kind) {
                Some(slot @ None) if wanted(&kind) => {
                    stream.outgoing.accept().await.ok()?;
                    *slot = Some(stream);
                }
                Some(_) | None => {
                    tracing::debug!(kind, "a stream that was not asked for is refused");
                    stream.outgoing.reset(Code::Refused).await.ok()?;
                }
            }
        }
        Some(found)
    }

    fn slot(&mut self, kind: &str) -> Option<&mut Option<Stream>> {
        match kind {
            "stdin" => Some(&mut self.stdin),
            "stdout" => Some(&mut self.stdout),
            "stderr" => Some(&mut self.stderr),
            "error" => Some(&mut self.error),
            "resize" => Some(&mut self.resize),
            _ => None,
        }
    }
}

/// In the order of [`CHANNELS`].
const KINDS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The sizes that the client's terminal takes.
#[derive(Debug)]
pub struct Sizes {
    incoming: Incoming,
    /// No whole object yet.
    text: BytesMut,
}

/// Most bytes of one size, as JSON.
const MAX_SIZE: usize = 256;

impl Sizes {
    /// The next size; `None` when no more comes. Cancel-safe.
    pub async fn next(&mut self) -> Option<Size> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'}') {
                let object = self.text.split_to(end + 1);
                match serde_json::from_slice(object.trim_ascii()) {
                    Ok(size) => return Some(size),
                    Err(error) => tracing::debug!(%error, "what should be a terminal's size is none"),
                }
                continue;
            }
            if self.text.len() > MAX_SIZE {
                self.text.clear();
            }
            match self.incoming.next().await {
                Next::Data(data) => self.text.extend_from_slice(&data),
                Next::End | Next::Lost => return None,
            }
        }
    }
}

/// Who asked for a command.
#[derive(Debug)]
pub struct Client(Outgoing);

impl Client {
    /// Waits until it has gone.
    pub async fn gone(&self) {
        self.0.gone().await;
    }
}

/// The last word.
#[derive(Debug)]
struct Report {
    version: Version,
    error: Outgoing,
    /// What the client need send no more on.
    inputs: Vec<Outgoing>,
    /// What ends.
    outputs: Vec<Outgoing>,
    timing: Timing,
}

impl Report {
    /// A client that does not read is waited for as long as one that does not close.
    async fn finish(self, outcome: &Outcome) {
        let said = async {
            for input in &self.inputs {
                // The client may have given it up itself.
                input.reset(Code::Cancel).await.ok();
            }
            let text = if self.version >= Version::V4 { Some(outcome.json()) } else { outcome.text() };
            if let Some(text) = text {
                self.error.write(text.into()).await.ok();
            }
            for output in self.outputs.iter().chain([&self.error]) {
                output.end().await.ok();
            }
        };
        timeout(self.timing.linger, said).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_standard_error_of_its_own() {
        let options = Options::of_query([("tty", "1"), ("error", "1"), ("output", "1"), ("input", "0")]).unwrap();
        assert_eq!(options, Options { stdin: false, stdout: true, stderr: false, tty: true });
        assert!(Options::of_query([("tty", "1"), ("error", "1")]).is_err());
    }
}
