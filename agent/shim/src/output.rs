//! A service's output on its way from its FIFOs (or terminal) through the journal into the log file.
//!
//! One turn: read into the journal, make a batch of records, write it with one write, commit. A batch follows from the
//! committed state alone, so that a shim that comes after a killed one makes the same batch again and writes only what is
//! missing of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use barepod_logs::cri::{self, Encoder, Input, Progress, Stream};
use barepod_logs::writer::{LogFile, Rotation};
use barepod_sys::{clock, pipe};

use crate::failure::errno;
use crate::journal::{self, Gap, Journal, State};
use crate::wire;
use crate::wire::log::WhenRefused;

/// Both, in the order of the journal.
pub const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];
/// A FIFO holds as much while nobody reads.
const PIPE: usize = 256 * 1024;
/// Bytes of one write; a record of the greatest length fits.
const BATCH: usize = 20 * 1024;
/// Bytes of one read. With what is left of a line before it, most services never touch more of their region than this
/// and a page: memory counts, and larger reads bring little.
const READ: usize = 12 * 1024;
/// More than a FIFO holds: somebody who writes for ever does not hold up the end.
const LAST_READS: usize = 4 * PIPE / READ;
/// A rest up to this size is moved to the front at once.
const SMALL_REST: usize = 4096;
/// Between two tries to write to a disk that refuses.
const RETRY: Duration = Duration::from_millis(100);
/// Reads that follow each other faster than this are put off, so that each finds more.
const BUSY: Duration = Duration::from_millis(4);
/// For so long.
const HOLD: Duration = Duration::from_millis(1);

/// Where output comes from.
#[derive(Debug)]
pub enum Source {
    /// A FIFO of which this process is the only reader.
    Fifo(File),
    /// The controlling side of a terminal.
    Terminal(File),
}

impl Source {
    /// The read end of a FIFO.
    #[must_use]
    pub fn fifo(file: File) -> Self {
        // a smaller one does as well: a user's FIFOs may be over the system's limit
        let _ = pipe::set_capacity(&file, PIPE);
        Self::Fifo(file)
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        match self {
            Self::Fifo(file) | Self::Terminal(file) => file,
        }
    }
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// So many bytes, and perhaps more.
    Bytes { count: usize, all: bool },
    /// Nothing at present.
    Nothing,
    /// No room to read into, in the region or on the disk of the shim's directory.
    NoRoom,
    /// The end.
    End,
}

/// A batch that stands in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// The mark for what was dropped.
    Mark,
    /// Records of a stream.
    Records(Stream, Progress),
}

/// The disk does not take what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    /// Boot time of the next try.
    retry: Duration,
    /// What it said.
    errno: i32,
}

/// The whole way.
#[derive(Debug)]
pub struct Output {
    journal: Journal,
    sources: [Option<Source>; 2],
    log: Option<LogFile>,
    directory: PathBuf,
    rotation: Rotation,
    when_refused: WhenRefused,
    batch: Vec<u8>,
    /// The disk refuses.
    refusal: Option<Refusal>,
    unseen: bool,
    last_read: Duration,
    /// No reading before this boot time.
    hold: Option<Duration>,
    /// What was read since it was last taken, where somebody wants it.
    tap: Option<Vec<(Stream, Vec<u8>)>>,
}

impl Output {
    /// For a new attempt. The sums of earlier ones go on, and so does a gap that could not be marked yet. The log file is
    /// not opened: making one costs more than all else before a start, and can be done beside the new process.
    ///
    /// # Errors
    /// As making the log directory.
    pub fn begin(mut journal: Journal, settings: &wire::Log, attempt: u32) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.directory)?;
        let before = *journal.state();
        journal.commit(State {
            rotated_ns: nanoseconds(clock::boot()),
            gap: before.gap,
            time_ns: clock::wall_ns(),
            counters: before.counters,
            ..State::new(attempt)
        });
        Ok(Self::new(journal, settings))
    }

    /// Opens the log file and writes what waits. A disk that refuses is met as always.
    pub fn open(&mut self, now: Duration) {
        self.write(now);
    }

    /// The journal, for the next attempt.
    #[must_use]
    pub fn into_journal(self) -> Journal {
        self.journal
    }

    /// For an attempt that another shim, or this one before its re-exec, has begun: completes what it left.
    #[must_use]
    pub fn resume(journal: Journal, settings: &wire::Log, attempt: u32, now: Duration) -> Self {
        let mut output = Self::new(journal, settings);
        if output.journal.state().attempt != attempt {
            // what was in memory is gone, and nobody knows how much that was
            output.journal.commit(State {
                gap: Some(Gap::JournalLost),
                time_ns: clock::wall_ns(),
                ..State::new(attempt)
            });
        }
        output.journal.settle(clock::wall_ns());
        output.write(now);
        output
    }

    fn new(journal: Journal, settings: &wire::Log) -> Self {
        Self {
            journal,
            sources: [None, None],
            log: None,
            directory: PathBuf::from(&settings.directory),
            rotation: Rotation {
                max_bytes: settings.max_bytes,
                max_files: settings.max_files,
                min_spacing_ns: settings.min_rotate_ns,
            },
            when_refused: settings.when_refused(),
            batch: Vec::with_capacity(BATCH),
            refusal: None,
            unseen: false,
            last_read: Duration::ZERO,
            hold: None,
            tap: None,
        }
    }

    /// Says whether somebody wants what is read, and gives what was read since.
    pub fn tapped(&mut self, wanted: bool) -> Vec<(Stream, Vec<u8>)> {
        let read = self.tap.take().unwrap_or_default();
        self.tap = wanted.then(Vec::new);
        read
    }

    /// Gives it a source.
    pub fn set_source(&mut self, stream: Stream, source: Source) {
        self.sources[journal::index(stream)] = Some(source);
    }

    /// The source of a stream, if it has not ended.
    #[must_use]
    pub fn source(&self, stream: Stream) -> Option<&Source> {
        self.sources[journal::index(stream)].as_ref()
    }

    /// What is to be waited for at present.
    #[must_use]
    pub fn wanted(&self, stream: Stream, now: Duration) -> Option<BorrowedFd<'_>> {
        let held = self.hold.is_some_and(|until| now < until);
        if held || self.blocked() {
            return None;
        }
        self.source(stream).map(|source| source.file().as_fd())
    }

    /// When it wants to be called even if nothing is ready.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let hold = self.hold.filter(|&until| now < until);
        [hold, self.refusal.map(|refusal| refusal.retry)].into_iter().flatten().min()
    }

    /// Tries again what the disk refused, if it is time.
    pub fn tick(&mut self, now: Duration) {
        if self.refusal.is_some_and(|refusal| now >= refusal.retry) {
            self.write(now);
        }
    }

    /// Reads what is ready on a stream, once, and writes what is whole of it.
    pub fn take(&mut self, stream: Stream, now: Duration) {
        match self.read(stream) {
            Found::Bytes { all, .. } => {
                self.hold = (all && now.saturating_sub(self.last_read) < BUSY).then_some(now + HOLD);
                self.last_read = now;
            }
            Found::End => self.end(stream),
            Found::NoRoom => self.hold = Some(now + RETRY),
            Found::Nothing => {}
        }
        if self.refusal.is_none() {
            self.write(now);
        }
    }

    /// Reads everything that is there, without waiting; for the time after the end of the service.
    pub fn drain(&mut self, now: Duration) {
        self.hold = None;
        for stream in STREAMS {
            while self.source(stream).is_some() {
                match self.read(stream) {
                    Found::Bytes { .. } => {}
                    Found::End => self.end(stream),
                    Found::Nothing | Found::NoRoom => break,
                }
                if self.refusal.is_none() {
                    self.write(now);
                }
            }
        }
    }

    /// The disk refuses, and by the service's own choice everything waits for it.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.refusal.is_some() && self.when_refused == WhenRefused::Block
    }

    /// All has been read to its end and written.
    #[must_use]
    pub fn finished(&self) -> bool {
        let rest = STREAMS.iter().any(|&stream| !self.journal.waiting(stream).is_empty());
        self.sources.iter().all(Option::is_none) && !rest
    }

    /// The service ended while no shim was there to read what it wrote last: to be marked at the end.
    pub fn ended_unseen(&mut self) {
        self.unseen = true;
    }

    /// The end, in spite of what has not come or could not be written: that is counted as dropped.
    pub fn close(&mut self, now: Duration) {
        self.write(now);
        for stream in STREAMS {
            self.read_out(stream, now);
            self.end(stream);
        }
        let state = *self.journal.state();
        if self.unseen && state.gap.is_none() {
            self.journal.commit(State { gap: Some(Gap::EndedUnseen), ..state });
        }
        self.write(now);
        for stream in STREAMS {
            if !self.journal.waiting(stream).is_empty() {
                self.drop_oldest(stream, usize::MAX);
            }
        }
    }

    /// Takes what is still in a source. What can no longer be written makes room for it.
    fn read_out(&mut self, stream: Stream, now: Duration) {
        for _ in 0..LAST_READS {
            match self.read(stream) {
                Found::Bytes { .. } if self.refusal.is_none() => self.write(now),
                Found::Bytes { .. } => {}
                Found::NoRoom => {
                    self.drop_oldest(stream, usize::MAX);
                    self.journal.compact(stream);
                }
                Found::Nothing | Found::End => return,
            }
        }
    }

    /// Sums, for the daemon.
    #[must_use]
    pub fn stats(&self) -> wire::LogStats {
        let counters = self.journal.state().counters;
        wire::LogStats {
            lines_in: counters.lines_in,
            bytes_in: counters.bytes_in,
            lines_out: counters.lines_out,
            bytes_out: counters.bytes_out,
            lines_dropped: counters.lines_dropped,
            bytes_dropped: counters.bytes_dropped,
            rotations: counters.rotations,
            refusing: self.refusal.is_some(),
        }
    }

    fn end(&mut self, stream: Stream) {
        self.sources[journal::index(stream)] = None;
        let mut state = *self.journal.state();
        state.waiting[journal::index(stream)].ended = true;
        self.journal.commit(state);
    }

    fn read(&mut self, stream: Stream) -> Found {
        if self.journal.room(stream) < journal::REGION / 2 {
            self.make_room(stream);
        }
        let room = self.journal.room(stream);
        let Some(source) = &self.sources[journal::index(stream)] else { return Found::Nothing };
        let available = match source {
            Source::Fifo(file) => pipe::readable(file).unwrap_or(0),
            Source::Terminal(_) => room,
        };
        // an end shows itself as a read of nothing; it is looked for with one byte
        let length = available.clamp(1, room.clamp(1, READ));
        if room == 0 {
            return Found::NoRoom;
        }
        let Ok(place) = self.journal.intend(stream, length) else { return Found::NoRoom };
        let result = source.file().read(place);
        if let (Some(tap), Ok(count @ 1..)) = (&mut self.tap, &result) {
            tap.push((stream, place[..*count].to_vec()));
        }
        self.journal.arrived(*result.as_ref().unwrap_or(&0), clock::wall_ns());
        match result {
            Ok(0) => Found::End,
            Ok(count) => Found::Bytes { count, all: count >= available },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Found::Nothing
            }
            // a terminal whose other side is closed says EIO
            Err(_) => Found::End,
        }
    }

    fn make_room(&mut self, stream: Stream) {
        self.journal.compact(stream);
        if self.refusal.is_some() && self.when_refused == WhenRefused::DropOldest {
            self.drop_oldest(stream, journal::REGION / 2);
            self.journal.compact(stream);
        }
    }

    /// Drops records from the front until at least so many bytes are gone, or all whole ones.
    fn drop_oldest(&mut self, stream: Stream, least: usize) {
        let mut state = *self.journal.state();
        let waiting = self.journal.waiting(stream);
        let more = input(&state, stream);
        let (mut lines, mut bytes) = match state.gap {
            Some(Gap::Dropped { lines, bytes, .. }) => (lines, bytes),
            Some(Gap::JournalLost | Gap::EndedUnseen) | None => (0, 0),
        };
        let mut at = 0;
        while at < least
            && let Some(piece) = cri::next_piece(&waiting[at..], more)
        {
            at += piece.length;
            lines += 1;
            bytes += piece.content as u64;
            state.counters.lines_dropped += 1;
            state.counters.bytes_dropped += piece.content as u64;
            state.counters.lines_in += 1;
        }
        if at > 0 {
            state.gap = Some(Gap::Dropped { lines, bytes, errno: self.refusal.map_or(0, |refusal| refusal.errno) });
            state.waiting[journal::index(stream)].consumed += at;
            self.journal.commit(state);
        }
    }

    /// Writes batches until nothing whole waits or the disk refuses.
    fn write(&mut self, now: Duration) {
        self.refusal = self.try_write(now).err().map(|error| Refusal { retry: now + RETRY, errno: errno(&error) });
        for stream in STREAMS {
            if self.journal.waiting(stream).len() <= SMALL_REST {
                self.journal.compact(stream);
            }
        }
    }

    fn try_write(&mut self, now: Duration) -> io::Result<()> {
        if self.log.is_none() {
            self.open_log()?;
        }
        while let Some(batch) = self.next_batch() {
            self.rotate_if_due(now);
            match self.append(0) {
                Ok(()) => self.commit_batch(batch),
                Err((done, error)) => {
                    self.keep_whole(batch, done);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Opens the log file. If it is the one that was written last, completes what a killed shim began to write behind its
    /// known length; otherwise it was rotated just before the kill, or is new.
    fn open_log(&mut self) -> io::Result<()> {
        let mut log = LogFile::open(&self.directory, self.attempt())?;
        let mut state = *self.journal.state();
        if log.inode() == state.inode && state.base <= log.length()? {
            let tail = log.tail(state.base, 2 * BATCH)?;
            self.log = Some(log);
            return self.complete(tail).inspect_err(|_| self.log = None);
        }
        state.base = log.repair()?;
        state.inode = log.inode();
        self.journal.commit(state);
        self.log = Some(log);
        Ok(())
    }

    fn complete(&mut self, mut tail: Vec<u8>) -> io::Result<()> {
        while !tail.is_empty() {
            match self.next_batch() {
                Some(batch) if tail.starts_with(&self.batch) => {
                    tail.drain(..self.batch.len());
                    self.commit_batch(batch);
                }
                Some(batch) if self.batch.starts_with(&tail) => {
                    self.append(tail.len()).map_err(|(_, error)| error)?;
                    self.commit_batch(batch);
                    return Ok(());
                }
                Some(_) | None => return self.cut_torn(),
            }
        }
        Ok(())
    }

    /// Follows from the committed state alone. A mark stands where something is missing: before what waits, or at the end.
    fn next_batch(&mut self) -> Option<Batch> {
        self.batch.clear();
        let state = *self.journal.state();
        match state.gap {
            Some(gap @ (Gap::Dropped { .. } | Gap::JournalLost)) => Some(self.mark(state.time_ns, gap)),
            Some(gap @ Gap::EndedUnseen) => self.records(&state).or_else(|| Some(self.mark(state.time_ns, gap))),
            None => self.records(&state),
        }
    }

    fn mark(&mut self, time_ns: i64, gap: Gap) -> Batch {
        Encoder::new(Stream::Stderr, time_ns).encode(mark(gap).as_bytes(), Input::GoesOn, &mut self.batch);
        Batch::Mark
    }

    fn records(&mut self, state: &State) -> Option<Batch> {
        let other = STREAMS[1 - journal::index(state.writing)];
        [state.writing, other].into_iter().find_map(|stream| {
            let encoder = Encoder::new(stream, state.time_ns);
            let progress = encoder.encode(self.journal.waiting(stream), input(state, stream), &mut self.batch);
            (progress.records > 0).then_some(Batch::Records(stream, progress))
        })
    }

    /// Writes the batch from this byte on; an error says how much of it is in the file.
    fn append(&mut self, from: usize) -> Result<(), (usize, io::Error)> {
        let mut done = from;
        while done < self.batch.len() {
            let Some(log) = &mut self.log else { return Err((done, io::ErrorKind::NotFound.into())) };
            match log.append(&self.batch[done..]) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    fn commit_batch(&mut self, batch: Batch) {
        let mut state = *self.journal.state();
        state.base += self.batch.len() as u64;
        match batch {
            Batch::Mark => state.gap = None,
            Batch::Records(stream, progress) => advance(&mut state, stream, progress),
        }
        self.journal.commit(state);
    }

    /// The disk took `done` bytes of the batch: its whole records count as written, and the torn one is cut off.
    fn keep_whole(&mut self, batch: Batch, done: usize) {
        let whole = self.batch[..done].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if let Batch::Records(stream, _) = batch
            && whole > 0
        {
            let mut state = *self.journal.state();
            let progress = cri::measure(self.journal.waiting(stream), input(&state, stream), whole);
            advance(&mut state, stream, progress);
            state.base += whole as u64;
            self.journal.commit(state);
        }
        if self.cut_torn().is_err() {
            self.log = None; // opened again, and completed or cut, before the next write
        }
    }

    fn cut_torn(&mut self) -> io::Result<()> {
        let base = self.journal.state().base;
        match &mut self.log {
            Some(log) if log.length()? > base => log.cut(base),
            Some(_) | None => Ok(()),
        }
    }

    /// Only between batches. A shim that is killed in the midst of it leaves no file, or an empty one, of another number.
    fn rotate_if_due(&mut self, now: Duration) {
        let mut state = *self.journal.state();
        let now_ns = nanoseconds(now);
        let Some(log) = &mut self.log else { return };
        if !self.rotation.due(state.base, self.batch.len(), state.rotated_ns, now_ns) {
            return;
        }
        // one that fails is tried again after the spacing; the file grows until then
        state.rotated_ns = now_ns;
        if log.rotate(clock::wall_ns(), self.rotation.max_files).is_ok() {
            state.base = 0;
            state.inode = log.inode();
            state.counters.rotations += 1;
        }
        self.journal.commit(state);
    }

    fn attempt(&self) -> u32 {
        self.journal.state().attempt
    }
}

fn input(state: &State, stream: Stream) -> Input {
    if state.waiting[journal::index(stream)].ended { Input::Ended } else { Input::GoesOn }
}

fn advance(state: &mut State, stream: Stream, progress: Progress) {
    state.waiting[journal::index(stream)].consumed += progress.consumed;
    state.counters.lines_in += progress.records;
    state.counters.lines_out += progress.records;
    state.counters.bytes_out += progress.content;
}

/// The line that stands in the log where others are missing.
fn mark(gap: Gap) -> String {
    match gap {
        Gap::Dropped { lines, bytes, errno } => {
            let reason = io::Error::from_raw_os_error(errno).to_string();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            format!("barepod: {lines} lines ({bytes} bytes) dropped: {reason}\n")
        }
        Gap::JournalLost => "barepod: output may be missing here: what the former shim had read was not found\n".into(),
        Gap::EndedUnseen => "barepod: output may be missing here: the service ended while no shim was there\n".into(),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
