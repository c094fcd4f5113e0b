//! What was read of a service's output and is not in its log yet, in a file mapped as memory: a shim that is killed at any
//! instruction leaves it complete, and the next one goes on where it was. Nothing is lost, doubled or torn by that.
//!
//! The file holds two copies of the state, of which word 0 names the one that counts (a commit writes the other and then
//! turns the word), and one region of bytes for each stream. A region is `done | waiting | free`: what waits lies between
//! `consumed` and `filled`.
//!
//! A read cannot be made one step with its record. So before it, its length (known from FIONREAD, as only this process
//! reads) is committed and the place of its first bytes is marked with a pattern: whether the pattern is gone tells the
//! next shim whether the read took place.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use barepod_logs::cri::Stream;
use barepod_sys::map::SharedMap;

use crate::layout;

/// Bytes of one stream's region. Twice a record's content and more: an unfinished line never overlaps the place it is
/// moved to.
pub const REGION: usize = 32 * 1024;
const PAGE: usize = 4096;
const HEADER: usize = PAGE;
const SIZE: usize = HEADER + 2 * REGION;
/// Of the state: first word of each copy, its length, and what word 1 holds.
const COPIES: [usize; 2] = [8, 72];
const WORDS: usize = 32;
const MAGIC: u64 = 0x6261_7265_706f_6401;
const MARK: [u8; 16] = [0xff, 0xfe, 0x00, 0xfd, 0xff, 0xfb, 0x01, 0xfe, 0xff, 0xf7, 0x02, 0xfc, 0xff, 0xf5, 0x03, 0xf9];

/// What a new journal belongs to.
const NO_ATTEMPT: u32 = u32::MAX;

/// A stream's part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Where what waits begins.
    pub consumed: usize,
    /// Where it ends.
    pub filled: usize,
    /// No more will come.
    pub ended: bool,
}

/// Sums since the shim's first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Records made of what was read.
    pub lines_in: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Records written.
    pub lines_out: u64,
    /// Bytes of their content.
    pub bytes_out: u64,
    /// Records that went because the disk refused.
    pub lines_dropped: u64,
    /// Bytes of their content.
    pub bytes_dropped: u64,
    /// Rotations.
    pub rotations: u64,
}

/// A place in the log where output is missing, that is not marked there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Records that went because the disk refused.
    Dropped {
        /// Records.
        lines: u64,
        /// Bytes of their content.
        bytes: u64,
        /// What the disk said.
        errno: i32,
    },
    /// What a former shim had read was not found.
    JournalLost,
    /// The service ended while no shim lived: what was in its FIFOs is gone if nobody else held them.
    EndedUnseen,
}

impl Gap {
    fn to_words(gap: Option<Self>) -> [u64; 4] {
        match gap {
            None => [0; 4],
            Some(Self::Dropped { lines, bytes, errno }) => [1, lines, bytes, u64::from(errno.cast_unsigned())],
            Some(Self::JournalLost) => [2, 0, 0, 0],
            Some(Self::EndedUnseen) => [3, 0, 0, 0],
        }
    }

    fn from_words([kind, lines, bytes, errno]: [u64; 4]) -> Option<Self> {
        match kind {
            1 => Some(Self::Dropped { lines, bytes, errno: (errno as u32).cast_signed() }),
            2 => Some(Self::JournalLost),
            3 => Some(Self::EndedUnseen),
            // also a kind that only a later shim knows
            _ => None,
        }
    }
}

/// A read that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Of which stream.
    pub stream: Stream,
    /// How many bytes.
    pub length: usize,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whose output it is.
    pub attempt: u32,
    /// Length of the log file up to which everything before is in it. What stands behind is the begin of the next batch.
    pub base: u64,
    /// Number of that file.
    pub inode: u64,
    /// When what waits was read, in nanoseconds since 1970.
    pub time_ns: i64,
    /// The stream that is being written.
    pub writing: Stream,
    /// Boot time of the last rotation.
    pub rotated_ns: u64,
    /// A read on its way.
    pub intent: Option<Intent>,
    /// Both streams, in the order of [`index`].
    pub waiting: [Waiting; 2],
    /// Not marked yet.
    pub gap: Option<Gap>,
    /// Sums.
    pub counters: Counters,
}

impl State {
    /// At the begin of an attempt.
    #[must_use]
    pub fn new(attempt: u32) -> Self {
        Self {
            attempt,
            base: 0,
            inode: 0,
            time_ns: 0,
            writing: Stream::Stdout,
            rotated_ns: 0,
            intent: None,
            waiting: [Waiting::default(); 2],
            gap: None,
            counters: Counters::default(),
        }
    }

    fn to_words(self) -> [u64; WORDS] {
        let intent =
            self.intent.map_or(0, |intent| (intent.length as u64) << 2 | (index(intent.stream) as u64) << 1 | 1);
        let [out, err] = self.waiting;
        let c = self.counters;
        let mut words = [0; WORDS];
        let [gap, lines, bytes, errno] = Gap::to_words(self.gap);
        words[..25].copy_from_slice(&[
            u64::from(self.attempt),
            self.base,
            self.inode,
            self.time_ns.cast_unsigned(),
            index(self.writing) as u64,
            self.rotated_ns,
            intent,
            out.consumed as u64,
            out.filled as u64,
            u64::from(out.ended),
            err.consumed as u64,
            err.filled as u64,
            u64::from(err.ended),
            lines,
            bytes,
            errno,
            c.lines_in,
            c.bytes_in,
            c.lines_out,
            c.bytes_out,
            c.lines_dropped,
            c.bytes_dropped,
            c.rotations,
            MAGIC,
            gap,
        ]);
        words
    }

    /// `None` when the words are not those of a state.
    fn from_words(w: &[u64; WORDS]) -> Option<Self> {
        let waiting = |at: usize| {
            let (consumed, filled) = (w[at] as usize, w[at + 1] as usize);
            (consumed <= filled && filled <= REGION).then_some(Waiting { consumed, filled, ended: w[at + 2] != 0 })
        };
        let waiting = [waiting(7)?, waiting(10)?];
        let stream = |number: u64| if number == 0 { Stream::Stdout } else { Stream::Stderr };
        let intent = (w[6] & 1 == 1).then(|| Intent { stream: stream(w[6] >> 1 & 1), length: (w[6] >> 2) as usize });
        if intent.is_some_and(|intent| intent.length > REGION - waiting[index(intent.stream)].filled) || w[23] != MAGIC
        {
            return None;
        }
        Some(Self {
            attempt: u32::try_from(w[0]).ok()?,
            base: w[1],
            inode: w[2],
            time_ns: w[3].cast_signed(),
            writing: stream(w[4]),
            rotated_ns: w[5],
            intent,
            waiting,
            gap: Gap::from_words([w[24], w[13], w[14], w[15]]),
            counters: Counters {
                lines_in: w[16],
                bytes_in: w[17],
                lines_out: w[18],
                bytes_out: w[19],
                lines_dropped: w[20],
                bytes_dropped: w[21],
                rotations: w[22],
            },
        })
    }
}

/// The place of a stream in arrays of two.
#[must_use]
pub fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// State and regions.
#[derive(Debug)]
pub struct Journal {
    map: SharedMap,
    state: State,
    live: usize,
    /// How much of each region has its place on the disk. The rest is never touched, and costs no memory.
    reserved: [usize; 2],
}

impl Journal {
    /// Opens the journal of a directory, or makes it. The state of a former shim is kept if it is one.
    ///
    /// # Errors
    /// As open(2), mmap(2); also when the disk has no room for it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(layout::JOURNAL);
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut map = SharedMap::new(file, SIZE)?;
        map.reserve(0..HEADER)?;
        let live = (map.load(0) & 1) as usize;
        let words = std::array::from_fn(|at| map.load(COPIES[live] + at));
        let state = State::from_words(&words).unwrap_or(State::new(NO_ATTEMPT));
        Ok(Self { map, state, live, reserved: [0; 2] })
    }

    /// The state that counts.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes this the state that counts, in one step.
    pub fn commit(&mut self, state: State) {
        let next = self.live ^ 1;
        for (at, word) in state.to_words().into_iter().enumerate() {
            self.map.store(COPIES[next] + at, word);
        }
        self.map.store(0, next as u64);
        self.live = next;
        self.state = state;
    }

    /// What waits of a stream.
    #[must_use]
    pub fn waiting(&self, stream: Stream) -> &[u8] {
        let Waiting { consumed, filled, .. } = self.state.waiting[index(stream)];
        &self.map.bytes()[region(stream)][consumed..filled]
    }

    /// Bytes that can be read into a stream's region.
    #[must_use]
    pub fn room(&self, stream: Stream) -> usize {
        REGION - self.state.waiting[index(stream)].filled
    }

    /// Moves what waits to the front, if that needs no byte twice. An unfinished line at the end always can be moved.
    pub fn compact(&mut self, stream: Stream) {
        let mut state = self.state;
        let Waiting { consumed, filled, ended } = state.waiting[index(stream)];
        let length = filled - consumed;
        if consumed == 0 || length > consumed {
            return;
        }
        self.map.bytes_mut()[region(stream)].copy_within(consumed..filled, 0);
        state.waiting[index(stream)] = Waiting { consumed: 0, filled: length, ended };
        self.commit(state);
    }

    /// Announces a read of this many bytes and gives the place for them.
    ///
    /// # Errors
    /// When the disk has no room for it; nothing was announced then.
    pub fn intend(&mut self, stream: Stream, length: usize) -> io::Result<&mut [u8]> {
        let start = self.state.waiting[index(stream)].filled;
        self.reserve(stream, start + length)?;
        let place = region(stream).start + start;
        let marked = length.min(MARK.len());
        self.map.bytes_mut()[place..place + marked].copy_from_slice(&MARK[..marked]);
        self.commit(State { intent: Some(Intent { stream, length }), ..self.state });
        Ok(&mut self.map.bytes_mut()[place..place + length])
    }

    fn reserve(&mut self, stream: Stream, end: usize) -> io::Result<()> {
        let reserved = &mut self.reserved[index(stream)];
        if end > *reserved {
            let end = end.next_multiple_of(PAGE);
            let start = region(stream).start;
            self.map.reserve(start + *reserved..start + end)?;
            *reserved = end;
        }
        Ok(())
    }

    /// The announced read got so many bytes, at this time.
    pub fn arrived(&mut self, count: usize, time_ns: i64) {
        let Some(intent) = self.state.intent else { return };
        let mut state = State { intent: None, ..self.state };
        state.waiting[index(intent.stream)].filled += count.min(intent.length);
        state.counters.bytes_in += count as u64;
        if count > 0 {
            state.time_ns = time_ns;
            state.writing = intent.stream;
        }
        self.commit(state);
    }

    /// Finds out whether a read that a former shim announced took place, and counts it if so.
    pub fn settle(&mut self, time_ns: i64) {
        let Some(intent) = self.state.intent else { return };
        let place = region(intent.stream).start + self.state.waiting[index(intent.stream)].filled;
        let marked = intent.length.min(MARK.len());
        let untouched = self.map.bytes()[place..place + marked] == MARK[..marked];
        self.arrived(if untouched { 0 } else { intent.length }, time_ns);
    }
}

fn region(stream: Stream) -> std::ops::Range<usize> {
    let start = HEADER + index(stream) * REGION;
    start..start + REGION
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn read(journal: &mut Journal, bytes: &[u8]) {
        journal.intend(Stream::Stderr, bytes.len()).unwrap().copy_from_slice(bytes);
    }

    #[test]
    fn a_state_survives_its_shim() {
        let scratch = Scratch::new();
        let mut state = State::new(7);
        state.base = 1 << 40;
        state.time_ns = -5;
        state.writing = Stream::Stderr;
        state.waiting[1] = Waiting { consumed: 3, filled: REGION - 9, ended: true };
        state.intent = Some(Intent { stream: Stream::Stderr, length: 9 });
        state.gap = Some(Gap::Dropped { lines: 1, bytes: 2, errno: 28 });
        state.counters.rotations = 4;
        Journal::open(scratch.path()).unwrap().commit(state);

        assert_eq!(*Journal::open(scratch.path()).unwrap().state(), state);
    }

    #[test]
    fn a_read_that_took_place_before_the_kill_is_found() {
        let scratch = Scratch::new();
        read(&mut Journal::open(scratch.path()).unwrap(), b"a line that was read\n");

        let mut next = Journal::open(scratch.path()).unwrap();
        next.settle(5);

        assert_eq!(next.waiting(Stream::Stderr), b"a line that was read\n");
        assert_eq!(next.state().counters.bytes_in, 21);
    }

    #[test]
    fn a_read_that_did_not_take_place_is_not_invented() {
        let scratch = Scratch::new();
        Journal::open(scratch.path()).unwrap().intend(Stream::Stdout, 100).unwrap();

        let mut next = Journal::open(scratch.path()).unwrap();
        next.settle(5);

        assert_eq!(next.waiting(Stream::Stdout), b"");
        assert_eq!(next.state().intent, None);
    }

    #[test]
    fn bytes_that_are_no_state_begin_a_new_one() {
        let scratch = Scratch::new();
        std::fs::write(scratch.path().join(layout::JOURNAL), vec![0xff; SIZE]).unwrap();

        assert_eq!(*Journal::open(scratch.path()).unwrap().state(), State::new(NO_ATTEMPT));
    }

    #[test]
    fn compaction_moves_only_what_does_not_overlap() {
        let scratch = Scratch::new();
        let mut journal = Journal::open(scratch.path()).unwrap();
        read(&mut journal, b"0123456789");
        journal.arrived(10, 1);
        let mut state = *journal.state();
        state.waiting[1].consumed = 4;
        journal.commit(state);

        journal.compact(Stream::Stderr);
        assert_eq!(journal.state().waiting[1].consumed, 4, "six bytes do not fit before the fourth");

        state.waiting[1].consumed = 5;
        journal.commit(state);
        journal.compact(Stream::Stderr);
        assert_eq!(journal.state().waiting[1], Waiting { consumed: 0, filled: 5, ended: false });
        assert_eq!(journal.waiting(Stream::Stderr), b"56789");
    }
}
