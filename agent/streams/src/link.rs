//! One connection: bytes in, streams out, and back.
//!
//! ```text
//!   reader ── Decode ──▶ queue of each stream ──▶ Incoming        at most BUDGET bytes in all
//!   writer ◀── Encode ── one queue of all     ◀── Outgoing        at most AHEAD messages
//!   watch: pings who is silent, ends what is idle
//! ```
//!
//! A stream whose reader is slow holds the whole connection back: neither protocol can tell the peer to pause one stream.
//! Meanwhile the peer's going is not seen in what it sends, for that is not read. It is seen in what it answers: a ping to
//! a peer that is gone breaks the connection.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::stream::{Incoming, Outgoing, Piece, Place, Stream};
use crate::wire::{Code, Decode, Encode, Event, Headers, Say, Violation};

/// Most bytes that wait to be read, on all streams of a connection.
const BUDGET: usize = 256 << 10;
/// What a waiting piece takes besides its bytes, about.
const PIECE_COST: usize = 128;
/// Streams open at once. Two for each connection to a forwarded port.
const STREAMS: usize = 2048;
/// Streams that wait to be looked at.
const BACKLOG: usize = 16;
/// Messages that wait to be sent, of at most 32 KiB if the senders keep to that.
const AHEAD: usize = 8;
/// Between pings of a peer whose words are not read, for want of room.
const STALLED: Duration = Duration::from_secs(1);
/// How long the last words may take on a connection that ends before all was said.
const FAREWELL: Duration = Duration::from_secs(10);
/// Read at once.
const READ: usize = 16 << 10;
/// Written at once, about.
const WRITE: usize = 64 << 10;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A connection on which nothing is said in either direction is ended after this.
    pub idle: Duration,
    /// The streams that a request needs are to be opened within this.
    pub creation: Duration,
    /// A peer that has said nothing for this long is asked whether it is there.
    pub ping: Duration,
    /// When all is said, the peer has this long to read it and to close.
    pub linger: Duration,
}

impl Default for Timing {
    /// Kubelet's; the ping is as often as the API server's own. Behind a proxy it takes some until a client is known to be gone:
    /// one that breaks the proxy's connection with it, and one that finds ours broken.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(4 * 3600),
            creation: Duration::from_secs(30),
            ping: Duration::from_secs(5),
            linger: Duration::from_secs(15 * 60),
        }
    }
}

/// The streams of a connection.
#[derive(Debug)]
pub struct Link {
    channels: VecDeque<Stream>,
    opened: mpsc::Receiver<Stream>,
    say: mpsc::Sender<Say>,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// All was said.
    Done,
    /// The peer closed it.
    Closed,
    /// Nothing was said for too long.
    Idle,
    /// The peer broke the protocol.
    Violation(Violation),
    /// The connection broke.
    Broken(io::Error),
}

impl End {
    fn code(&self) -> Code {
        match self {
            Self::Done | Self::Closed | Self::Broken(_) => Code::Done,
            Self::Idle => Code::Cancel,
            Self::Violation(_) => Code::Protocol,
        }
    }
}

impl Link {
    /// The next stream that the peer has opened; `None` when the connection is over. A channel of a WebSocket is open from
    /// the beginning, in the order in which the channels were named. Cancel-safe.
    pub async fn next(&mut self) -> Option<Stream> {
        match self.channels.pop_front() {
            Some(channel) => Some(channel),
            None => self.opened.recv().await,
        }
    }

    /// Waits until the connection is over.
    pub async fn over(&self) {
        self.say.closed().await;
    }
}

/// Puts a connection to use. The future does the work, and is done when the connection is over: because the peer ended it, or
/// because nobody holds the `Link` or one of its streams.
pub fn link<I, D, E>(
    io: I,
    (decoder, encoder): (D, E),
    channels: &[u32],
    timing: Timing,
) -> (Link, impl Future<Output = End> + use<I, D, E>)
where
    I: AsyncRead + AsyncWrite,
    D: Decode,
    E: Encode,
{
    let (say, said) = mpsc::channel(AHEAD);
    let (open, opened) = mpsc::channel(BACKLOG);
    let (answer, answers) = mpsc::channel(AHEAD);
    let mut streams = Streams {
        known: HashMap::new(),
        places: Arc::new(Semaphore::new(STREAMS)),
        budget: Arc::new(Semaphore::new(BUDGET)),
        say: say.downgrade(),
        open,
        answer,
    };
    let channels = channels.iter().map(|channel| streams.enter(*channel, Headers::default(), None, &say)).collect();
    let link = Link { channels, opened, say };
    (link, drive(io, (decoder, encoder), streams, (said, answers), timing))
}

async fn drive<I, D, E>(
    io: I,
    (decoder, encoder): (D, E),
    streams: Streams,
    (said, mut answers): (mpsc::Receiver<Say>, mpsc::Receiver<Say>),
    timing: Timing,
) -> End
where
    I: AsyncRead + AsyncWrite,
    D: Decode,
    E: Encode,
{
    let (from, to) = tokio::io::split(io);
    let pulse = Pulse::new();
    let answer = streams.answer.clone();
    let mut writer = Writer { to, encoder, buffer: BytesMut::new() };
    let mut reading = std::pin::pin!(read(from, decoder, streams, &pulse));
    // Dropped in the middle, the writer has kept what it had not written.
    let end = tokio::select! {
        end = &mut reading => end,
        written = writer.run(said, &mut answers, &pulse) => match written {
            Ok(()) => End::Done,
            Err(error) => End::Broken(error),
        },
        () = watch(&pulse, &answer, timing) => End::Idle,
    };
    let last = async {
        writer.say(Say::Close(end.code())).await?;
        // Closed now, with bytes of the peer's still to come, the connection would be reset, and what the peer has not read
        // yet would be lost with it. So the peer closes.
        while let End::Done | End::Idle = end {
            tokio::select! {
                _ = &mut reading => break,
                Some(answer) = answers.recv() => writer.say(answer).await?,
            }
        }
        writer.to.shutdown().await
    };
    let patience = if let End::Done = end { timing.linger } else { FAREWELL };
    // If the peer takes no leave, it has had its time.
    timeout(patience, last).await.ok();
    end
}

/// When something was last said.
struct Pulse {
    begun: Instant,
    /// Milliseconds after `begun`.
    last: AtomicU64,
    /// The peer has said something since this was last asked.
    heard: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0), heard: AtomicBool::new(false) }
    }

    fn beat(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

async fn watch(pulse: &Pulse, answer: &mpsc::Sender<Say>, timing: Timing) {
    loop {
        sleep(timing.ping.min(timing.idle)).await;
        if pulse.silent_for() >= timing.idle {
            return;
        }
        if !pulse.heard.swap(false, Ordering::Relaxed) {
            // With no room to ask there is a message on its way that does as well.
            answer.try_send(Say::Ping).ok();
        }
    }
}

struct Writer<I, E> {
    to: WriteHalf<I>,
    encoder: E,
    /// Not written yet.
    buffer: BytesMut,
}

impl<I: AsyncRead + AsyncWrite, E: Encode> Writer<I, E> {
    async fn run(
        &mut self,
        mut said: mpsc::Receiver<Say>,
        answers: &mut mpsc::Receiver<Say>,
        pulse: &Pulse,
    ) -> io::Result<()> {
        loop {
            let say = tokio::select! {
                biased;
                Some(answer) = answers.recv() => answer,
                say = said.recv() => match say {
                    Some(say) => {
                        pulse.beat();
                        say
                    }
                    None => return Ok(()),
                },
            };
            self.encoder.encode(say, &mut self.buffer);
            while self.buffer.len() < WRITE
                && let Ok(say) = said.try_recv()
            {
                self.encoder.encode(say, &mut self.buffer);
            }
            self.flush().await?;
        }
    }

    async fn say(&mut self, say: Say) -> io::Result<()> {
        self.encoder.encode(say, &mut self.buffer);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.buffer.has_remaining() {
            if self.to.write_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.to.flush().await
    }
}

async fn read<I: AsyncRead + AsyncWrite, D: Decode>(
    mut from: ReadHalf<I>,
    mut decoder: D,
    mut streams: Streams,
    pulse: &Pulse,
) -> End {
    let mut buffer = BytesMut::new();
    loop {
        loop {
            match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Event::Closed)) => return End::Closed,
                Ok(Some(event)) => {
                    pulse.heard.store(true, Ordering::Relaxed);
                    if event != Event::Pong {
                        pulse.beat();
                    }
                    streams.heard(event).await;
                }
                Err(violation) => return End::Violation(violation),
            }
        }
        buffer.reserve(READ);
        match from.read_buf(&mut buffer).await {
            Ok(0) => return End::Closed,
            Ok(_) => {}
            Err(error) => return End::Broken(error),
        }
    }
}

/// The reader's end of the streams.
struct Streams {
    known: HashMap<u32, Known>,
    places: Arc<Semaphore>,
    budget: Arc<Semaphore>,
    /// For streams to be. Weak: the connection is over when nobody but us holds one.
    say: mpsc::WeakSender<Say>,
    open: mpsc::Sender<Stream>,
    answer: mpsc::Sender<Say>,
}

struct Known {
    /// Absent when the peer has ended its side.
    pieces: Option<mpsc::UnboundedSender<Piece>>,
    reset: CancellationToken,
    /// Ours, as long as somebody holds an end.
    place: Weak<Place>,
}

impl Streams {
    async fn heard(&mut self, event: Event) {
        match event {
            Event::Open { stream, headers, ended } => self.opened(stream, headers, ended).await,
            Event::Data { stream, data } => self.data(stream, data).await,
            Event::End { stream } => self.ended(stream),
            Event::Reset { stream } => {
                if let Some(known) = self.known.remove(&stream) {
                    known.reset.cancel();
                }
            }
            Event::Refused { stream, code } => self.answer(Say::Reset(stream, code)).await,
            Event::Ping(echo) => self.answer(Say::Pong(echo)).await,
            Event::Pong | Event::Other | Event::Closed => {}
        }
    }

    async fn opened(&mut self, stream: u32, headers: Headers, ended: bool) {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let (Ok(permit), Some(say)) = (permit, self.say.upgrade()) else {
            return self.answer(Say::Reset(stream, Code::Refused)).await;
        };
        if self.known.len() >= STREAMS {
            // Those that we have done with, and the peer has not ended.
            self.known.retain(|_, known| known.place.strong_count() > 0);
        }
        let entered = self.enter(stream, headers, Some(permit), &say);
        drop(say);
        if self.open.send(entered).await.is_err() {
            self.known.remove(&stream);
            return self.answer(Say::Reset(stream, Code::Refused)).await;
        }
        if ended {
            self.ended(stream);
        }
    }

    fn enter(
        &mut self,
        stream: u32,
        headers: Headers,
        permit: Option<OwnedSemaphorePermit>,
        say: &mpsc::Sender<Say>,
    ) -> Stream {
        // Each piece in it has its part of the budget.
        let (pieces, receiver) = mpsc::unbounded_channel();
        let reset = CancellationToken::new();
        let place = Arc::new(Place { _permit: permit });
        let known = Known { pieces: Some(pieces), reset: reset.clone(), place: Arc::downgrade(&place) };
        self.known.insert(stream, known);
        Stream {
            headers,
            incoming: Incoming { pieces: receiver, _place: Arc::clone(&place) },
            outgoing: Outgoing { stream, say: say.clone(), reset, _place: place },
        }
    }

    /// Waits for room. Bytes for a stream that nobody reads, or that is not known any more, are dropped.
    async fn data(&mut self, stream: u32, data: Bytes) {
        let Some(pieces) = self.known.get(&stream).and_then(|known| known.pieces.clone()) else { return };
        let cost = u32::try_from(data.len() + PIECE_COST).unwrap_or(u32::MAX);
        let mut room = std::pin::pin!(Arc::clone(&self.budget).acquire_many_owned(cost));
        loop {
            tokio::select! {
                Ok(room) = &mut room => {
                    pieces.send(Piece::Data { data, _room: room }).ok();
                    return;
                }
                // Its reader has gone: nobody makes room for it.
                () = pieces.closed() => return,
                () = sleep(STALLED) => drop(self.answer.try_send(Say::Ping)),
            }
        }
    }

    fn ended(&mut self, stream: u32) {
        if let Some(pieces) = self.known.get_mut(&stream).and_then(|known| known.pieces.take()) {
            pieces.send(Piece::End).ok();
        }
    }

    async fn answer(&self, say: Say) {
        self.answer.send(say).await.ok();
    }
}
