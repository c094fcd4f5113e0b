//! Keeping a prober and speaking with it.
//!
//! ```text
//!   none ──first question──▶ starting ──hello──▶ speaking
//!                              ▲  │ cannot           │ died, hung, or speaks nonsense
//!                              │  ▼                  ▼
//!                              └─ back-off ◀─────────┘
//! ```

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use barepod_linux::prober::ProberProcess;
use barepod_prober_wire::{self as wire, FrameError, Frames, FromProber, ToProber, from_prober, to_prober};
use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::waiting::Waiting;
use super::{Answer, Asked};

/// How often a prober with questions is looked after.
const TICK: Duration = Duration::from_secs(5);

/// A prober that has not read for so long hangs.
const HUNG: Duration = Duration::from_secs(10);

/// Longest wait for a new prober's first word.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// It cannot be started.
    #[error("{} cannot be started", program.display())]
    Start { program: PathBuf, source: io::Error },
    /// It has not said a word.
    #[error("{} does not answer", program.display())]
    Mute { program: PathBuf },
    /// It is not of this release.
    #[error("{} speaks version {theirs} of the wire, barepodd {}: install both from one release", program.display(), wire::VERSION)]
    Foreign { program: PathBuf, theirs: u32 },
    /// It has closed its end.
    #[error("it died")]
    Died,
    /// What it says is no message.
    #[error("it speaks nonsense")]
    Nonsense(#[source] FrameError),
    /// It does not read.
    #[error("it hangs")]
    Hung,
}

/// Keeps a prober as long as there is something to ask.
#[derive(Debug)]
pub(crate) struct Keeper {
    program: PathBuf,
    account: (u32, u32),
    questions: mpsc::UnboundedReceiver<Asked>,
    waiting: Waiting,
    backoff: Backoff,
}

/// One prober's streams.
struct Line {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    frames: Frames,
    outbox: BytesMut,
    pinged: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(program: PathBuf, account: (u32, u32), questions: mpsc::UnboundedReceiver<Asked>) -> Self {
        Self { program, account, questions, waiting: Waiting::default(), backoff: Backoff::default() }
    }

    /// Runs until `stop`; its prober ends with it.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            if self.waiting.is_empty() {
                let Some(asked) = self.questions.recv().await else { return };
                self.waiting.add(asked, Instant::now());
            }
            let began = Instant::now();
            self.one().await;
            tokio::time::sleep(self.backoff.after(began.elapsed())).await;
        }
    }

    /// The life of one prober.
    async fn one(&mut self) {
        let (process, stream) = match self.start().await {
            Ok(started) => started,
            Err(source) => return self.cannot_ask(&Ended::Start { program: self.program.clone(), source }),
        };
        let pid = process.pid();
        let mut line = Line::new(stream);
        let ended = match self.greet(&mut line).await {
            Ok(release) => {
                tracing::debug!(pid, release, "a prober runs");
                self.converse(line).await
            }
            Err(ended) => ended,
        };
        process.end().await;
        match ended {
            Ended::Start { .. } | Ended::Mute { .. } | Ended::Foreign { .. } => self.cannot_ask(&ended),
            Ended::Died | Ended::Nonsense(_) | Ended::Hung => {
                tracing::warn!(pid, "the prober is replaced: {}", causes(&ended));
                self.waiting.prober_died(Instant::now());
            }
        }
    }

    async fn start(&self) -> io::Result<(ProberProcess, UnixStream)> {
        let (program, account) = (self.program.clone(), self.account);
        let started = tokio::task::spawn_blocking(move || ProberProcess::start(&program, account)).await;
        let (process, stream) = started.map_err(io::Error::other)??;
        Ok((process, UnixStream::from_std(stream)?))
    }

    fn cannot_ask(&mut self, ended: &Ended) {
        let why = causes(ended);
        tracing::error!("nothing can be asked over the network: {why}");
        self.waiting.give_up(&format!("there is no prober: {why}"));
    }

    /// Hears who it is; its release.
    async fn greet(&self, line: &mut Line) -> Result<String, Ended> {
        let mute = || Ended::Mute { program: self.program.clone() };
        let heard = tokio::time::timeout(PATIENCE, line.frames.read(&mut line.reader)).await.map_err(|_| mute())?;
        match heard.map_err(broken)? {
            Some(FromProber { message: Some(from_prober::Message::Hello(hello)) })
                if hello.version == wire::VERSION =>
            {
                Ok(super::clean(&hello.release))
            }
            Some(FromProber { message: Some(from_prober::Message::Hello(hello)) }) => {
                Err(Ended::Foreign { program: self.program.clone(), theirs: hello.version })
            }
            Some(_) => Err(mute()),
            None => Err(Ended::Died),
        }
    }

    /// Asks and listens until it is over.
    async fn converse(&mut self, mut line: Line) -> Ended {
        for frame in self.waiting.ask_again(Instant::now()) {
            line.outbox.put(frame);
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Line { reader, writer, frames, outbox, pinged } = &mut line;
            // Each branch is cancel-safe: what was read or written is kept in `frames` and `outbox`.
            tokio::select! {
                heard = frames.read::<FromProber>(reader) => match heard {
                    Ok(Some(message)) => self.hear(message, pinged),
                    Ok(None) => return Ended::Died,
                    Err(error) => return broken(error),
                },
                written = writer.write_buf(outbox), if outbox.has_remaining() => {
                    if written.is_err() {
                        return Ended::Died;
                    }
                }
                Some(asked) = self.questions.recv() => {
                    if let Some(frame) = self.waiting.add(asked, Instant::now()) {
                        outbox.put(frame);
                    }
                }
                now = tick.tick(), if !self.waiting.is_empty() => {
                    if pinged.is_some_and(|since| now > since + HUNG) {
                        return Ended::Hung;
                    }
                    self.look_after(now, outbox, pinged);
                }
            }
        }
    }

    fn hear(&mut self, message: FromProber, pinged: &mut Option<Instant>) {
        match message.message {
            Some(from_prober::Message::Answer(answer)) => self.waiting.answer(answer.id, Answer::from(answer)),
            Some(from_prober::Message::Pong(_)) => *pinged = None,
            // It says hello once more, or is of a newer release.
            Some(from_prober::Message::Hello(_)) | None => {}
        }
    }

    /// Sees whether it still reads, and whether it has forgotten something.
    fn look_after(&mut self, now: Instant, outbox: &mut BytesMut, pinged: &mut Option<Instant>) {
        let forgotten = self.waiting.give_up_forgotten(now);
        if forgotten > 0 {
            tracing::warn!(forgotten, "the prober has not answered questions");
        }
        if pinged.is_none() {
            let ping = ToProber { message: Some(to_prober::Message::Ping(wire::Ping { id: 0 })) };
            if let Ok(frame) = wire::encode(&ping) {
                outbox.put(frame);
                *pinged = Some(now);
            }
        }
    }
}

impl Line {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer, frames: Frames::default(), outbox: BytesMut::new(), pinged: None }
    }
}

/// A stream that ends in the middle is a death like any other.
fn broken(error: FrameError) -> Ended {
    match error {
        FrameError::Cut | FrameError::Io(_) => Ended::Died,
        FrameError::TooLong | FrameError::Decode(_) => Ended::Nonsense(error),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let inner = std::iter::successors(error.source(), |error| error.source());
    inner.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
