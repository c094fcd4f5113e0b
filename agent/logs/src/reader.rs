//! Reading an attempt's log again: over its rotated files and the current one, in order, from the end, since a time, and
//! on as it grows. Waiting is the caller's: at the end of what there is, [`Step::WouldWait`] says what to watch.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::cri::{self, Stream, Tag};
use crate::files;

const BLOCK: usize = 64 * 1024;

/// What is wanted of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Only so many records from the end of what there is when the reader is made.
    pub tail: Option<u64>,
    /// Only records from this time on, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Only so many bytes of content and line ends.
    pub limit_bytes: Option<u64>,
    /// Whether the end of what there is is the end.
    pub at_end: AtEnd,
}

/// What becomes of a reader that has read all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtEnd {
    /// It ends.
    #[default]
    Stop,
    /// It waits for more.
    Wait,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its stream.
    pub stream: Stream,
    /// Whether it ends a line.
    pub tag: Tag,
    /// What the service wrote, without the line end.
    pub content: Vec<u8>,
}

impl Line {
    /// What the service wrote, with the line end if the line ends here.
    #[must_use]
    pub fn bytes(mut self) -> Vec<u8> {
        if self.tag == Tag::Full {
            self.content.push(b'\n');
        }
        self.content
    }
}

/// What a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next record.
    Line(Line),
    /// Nothing more at present. Something more may be there when this file grows, or another takes its name.
    WouldWait {
        /// The current file; it may not exist yet.
        path: PathBuf,
    },
    /// Nothing more.
    End,
}

/// Reads one attempt's log.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    attempt: u32,
    since_ns: Option<i64>,
    left: Option<u64>,
    at_end: AtEnd,
    /// Oldest first.
    open: VecDeque<Open>,
    buffer: Vec<u8>,
    parsed: usize,
}

/// A file that stays the same one whatever name it gets.
#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { inode: file.metadata()?.ino(), file, offset: 0 })
    }
}

impl Reader {
    /// Opens what there is. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// As open(2), read(2).
    pub fn open(directory: &Path, attempt: u32, options: Options) -> io::Result<Self> {
        let mut reader = Self {
            directory: directory.to_owned(),
            attempt,
            since_ns: options.since_ns,
            left: options.limit_bytes,
            at_end: options.at_end,
            open: VecDeque::new(),
            buffer: Vec::new(),
            parsed: 0,
        };
        reader.open_newer(None)?;
        if let Some(tail) = options.tail {
            reader.keep_tail(tail)?;
        }
        Ok(reader)
    }

    /// The next step.
    ///
    /// # Errors
    /// As read(2).
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.left == Some(0) {
                return Ok(Step::End);
            }
            if let Some(line) = self.buffered() {
                return Ok(Step::Line(self.within_limit(line)));
            }
            if self.fill()? || self.next_file()? {
                continue;
            }
            return Ok(match self.at_end {
                AtEnd::Stop => Step::End,
                AtEnd::Wait => Step::WouldWait { path: files::current(&self.directory, self.attempt) },
            });
        }
    }

    /// The next record of the buffer that is wanted. A line that is no record (somebody else's doing) is left out.
    fn buffered(&mut self) -> Option<Line> {
        while let Some(length) = self.buffer[self.parsed..].iter().position(|&byte| byte == b'\n') {
            let line = &self.buffer[self.parsed..self.parsed + length];
            let record = cri::parse(line).filter(|record| self.since_ns.is_none_or(|since| record.time_ns >= since));
            let found = record.map(|record| Line {
                time_ns: record.time_ns,
                stream: record.stream,
                tag: record.tag,
                content: record.content.to_vec(),
            });
            self.parsed += length + 1;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn within_limit(&mut self, mut line: Line) -> Line {
        if let Some(left) = &mut self.left {
            let whole = line.content.len() as u64 + u64::from(line.tag == Tag::Full);
            if whole > *left {
                line.content.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                line.tag = Tag::Partial;
            }
            *left = left.saturating_sub(whole);
        }
        line
    }

    /// Reads on in the present file. False at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(open) = self.open.front_mut() else { return Ok(false) };
        self.buffer.drain(..self.parsed);
        self.parsed = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + BLOCK, 0);
        let count = open.file.read_at(&mut self.buffer[before..], open.offset)?;
        self.buffer.truncate(before + count);
        open.offset += count as u64;
        Ok(count > 0)
    }

    /// Goes on to the next file. The present one is left only when another has taken its name, and after one more look:
    /// what was written before the rotation has been read then. Its unfinished last line, if any, will not be finished.
    fn next_file(&mut self) -> io::Result<bool> {
        let Some(present) = self.open.front() else { return self.open_newer(None) };
        let inode = present.inode;
        if self.open.len() == 1 && !self.open_newer(Some(inode))? {
            return Ok(false);
        }
        if !self.fill()? {
            self.open.pop_front();
            self.buffer.clear();
            self.parsed = 0;
        }
        Ok(true)
    }

    /// Opens the files that came after this one, or all. False if there is none. When it has been removed, so have all
    /// before it, and everything there is came after it.
    fn open_newer(&mut self, than: Option<u64>) -> io::Result<bool> {
        let mut found = self.open_all()?;
        let from = than.and_then(|inode| found.iter().position(|open| open.inode == inode)).map_or(0, |at| at + 1);
        let newer = found.split_off(from);
        let any = !newer.is_empty();
        self.open.extend(newer);
        Ok(any)
    }

    /// Opens all files, oldest first. A rotation in the midst of it would show one twice or not at all, but it also changes
    /// the list of names: then it is done again.
    fn open_all(&self) -> io::Result<Vec<Open>> {
        loop {
            let paths = self.paths()?;
            let found: io::Result<Vec<Open>> = paths.iter().map(|path| Open::new(path)).collect();
            let unchanged = self.paths()? == paths;
            match found {
                Ok(found) if unchanged => return Ok(found),
                Err(error) if unchanged && error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = match files::rotated(&self.directory, self.attempt) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            paths => paths?,
        };
        paths.extend(Some(files::current(&self.directory, self.attempt)).filter(|path| path.exists()));
        Ok(paths)
    }

    /// Leaves out all but the last so many records.
    fn keep_tail(&mut self, tail: u64) -> io::Result<()> {
        let mut missing = tail;
        for at in (0..self.open.len()).rev() {
            let open = &mut self.open[at];
            let found = last_lines(&mut open.file, missing)?;
            open.offset = found.start;
            missing -= found.lines;
            if missing == 0 {
                self.open.drain(..at);
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Where the last lines of a file begin.
struct LastLines {
    start: u64,
    lines: u64,
}

/// Finds the last `wanted` whole lines, reading backwards. An unfinished line behind them does not count.
fn last_lines(file: &mut File, wanted: u64) -> io::Result<LastLines> {
    let mut position = file.seek(SeekFrom::End(0))?;
    let mut ends = 0;
    let mut block = Vec::new();
    let mut after_last = 0;
    while position > 0 {
        let start = position.saturating_sub(BLOCK as u64);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(position - start).read_to_end(&mut block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let behind = start + at as u64 + 1;
            if ends == 0 {
                after_last = behind;
            }
            if ends == wanted {
                let start = if wanted == 0 { after_last } else { behind };
                return Ok(LastLines { start, lines: wanted });
            }
            ends += 1;
        }
        position = start;
    }
    Ok(LastLines { start: 0, lines: ends.min(wanted) })
}

/// Attempts that have a log in this directory, in order.
///
/// # Errors
/// As reading the directory; one that does not exist has none.
pub fn attempts(directory: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut attempts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        attempts.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok()));
    }
    attempts.sort_unstable();
    Ok(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::{Encoder, Input};
    use crate::testing::Scratch;
    use crate::writer::LogFile;

    const SECOND: i64 = 1_000_000_000;

    fn record(number: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(1000);
        Encoder::new(Stream::Stdout, number * SECOND).encode(
            format!("line {number}\n").as_bytes(),
            Input::GoesOn,
            &mut out,
        );
        out
    }

    /// Records 1 to `last`, `per_file` in each file.
    fn log(scratch: &Scratch, last: i64, per_file: i64) -> LogFile {
        let mut log = LogFile::open(scratch.path(), 1).unwrap();
        for number in 1..=last {
            log.append(&record(number)).unwrap();
            if number % per_file == 0 {
                log.rotate(number * SECOND, 1000).unwrap();
            }
        }
        log
    }

    fn numbers(reader: &mut Reader) -> Vec<i64> {
        let mut found = Vec::new();
        while let Step::Line(line) = reader.step().unwrap() {
            found.push(String::from_utf8(line.content).unwrap().strip_prefix("line ").unwrap().parse().unwrap());
        }
        found
    }

    fn read(scratch: &Scratch, options: Options) -> Vec<i64> {
        numbers(&mut Reader::open(scratch.path(), 1, options).unwrap())
    }

    #[test]
    fn all_files_are_read_in_order() {
        let scratch = Scratch::new();
        log(&scratch, 25, 10);

        assert_eq!(read(&scratch, Options::default()), (1..=25).collect::<Vec<_>>());
    }

    #[test]
    fn a_tail_of_any_length_is_the_end_of_the_whole() {
        for per_file in [1, 7, 10, 100] {
            let scratch = Scratch::new();
            let mut file = log(&scratch, 25, per_file);
            file.append(b"2026-01-01T00:00:00Z stdout F unfinis").unwrap();
            for tail in 0..30_i64 {
                let options = Options { tail: Some(tail.unsigned_abs()), ..Options::default() };
                assert_eq!(
                    read(&scratch, options),
                    ((26 - tail).max(1)..=25).collect::<Vec<_>>(),
                    "{tail} of {per_file}"
                );
            }
        }
    }

    #[test]
    fn a_tail_longer_than_a_block_is_found() {
        let scratch = Scratch::new();
        log(&scratch, 5000, 100_000);

        let options = Options { tail: Some(3000), ..Options::default() };

        assert_eq!(read(&scratch, options), (2001..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn since_and_limit_leave_out_what_is_not_wanted() {
        let scratch = Scratch::new();
        log(&scratch, 9, 4);

        let options = Options { since_ns: Some(7 * SECOND), ..Options::default() };
        assert_eq!(read(&scratch, options), [7, 8, 9]);

        let options = Options { limit_bytes: Some(10), ..Options::default() };
        let mut reader = Reader::open(scratch.path(), 1, options).unwrap();
        let mut bytes = Vec::new();
        while let Step::Line(line) = reader.step().unwrap() {
            bytes.extend(line.bytes());
        }
        assert_eq!(bytes, b"line 1\nlin");
    }

    #[test]
    fn a_follower_sees_every_record_over_rotations() {
        let scratch = Scratch::new();
        let mut log = log(&scratch, 3, 100);
        let mut reader =
            Reader::open(scratch.path(), 1, Options { at_end: AtEnd::Wait, ..Options::default() }).unwrap();
        assert_eq!(numbers(&mut reader), [1, 2, 3]);

        let mut expected = 4;
        for round in 0..20_i64 {
            for _ in 0..round % 4 {
                log.append(&record(expected)).unwrap();
                expected += 1;
                log.rotate(expected * SECOND, 1000).unwrap();
            }
            log.append(&record(expected)).unwrap();
            expected += 1;
            assert_eq!(numbers(&mut reader).last(), Some(&(expected - 1)));
        }

        assert!(matches!(reader.step().unwrap(), Step::WouldWait { path } if path.ends_with("1.log")));
    }

    #[test]
    fn a_follower_beside_a_fast_writer_sees_each_record_once() {
        let scratch = Scratch::new();
        let mut log = LogFile::open(scratch.path(), 1).unwrap();
        let writer = std::thread::spawn(move || {
            for number in 1..=20_000 {
                log.append(&record(number)).unwrap();
                if number % 100 == 0 {
                    log.rotate(number * SECOND, 1000).unwrap();
                }
            }
        });
        let mut reader =
            Reader::open(scratch.path(), 1, Options { at_end: AtEnd::Wait, ..Options::default() }).unwrap();
        let mut found = Vec::new();
        while found.last() != Some(&20_000) {
            found.extend(numbers(&mut reader));
        }

        writer.join().unwrap();
        assert_eq!(found, (1..=20_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_follower_goes_on_with_what_is_left_when_its_file_was_removed() {
        let scratch = Scratch::new();
        let mut log = log(&scratch, 1, 100);
        let mut reader =
            Reader::open(scratch.path(), 1, Options { at_end: AtEnd::Wait, ..Options::default() }).unwrap();
        assert_eq!(numbers(&mut reader), [1]);

        for number in 2..=9 {
            log.rotate(number * SECOND, 3).unwrap();
            log.append(&record(number)).unwrap();
        }

        assert_eq!(numbers(&mut reader), [7, 8, 9]);
    }

    #[test]
    fn a_line_in_the_making_is_shown_when_it_is_whole() {
        let scratch = Scratch::new();
        let mut log = log(&scratch, 1, 100);
        let mut reader =
            Reader::open(scratch.path(), 1, Options { at_end: AtEnd::Wait, ..Options::default() }).unwrap();
        let record = record(2);

        log.append(&record[..20]).unwrap();
        assert_eq!(numbers(&mut reader), [1]);
        log.append(&record[20..]).unwrap();

        assert_eq!(numbers(&mut reader), [2]);
    }

    #[test]
    fn a_log_that_begins_later_is_followed_from_its_begin() {
        let scratch = Scratch::new();
        let mut reader =
            Reader::open(scratch.path(), 1, Options { at_end: AtEnd::Wait, ..Options::default() }).unwrap();
        assert!(matches!(reader.step().unwrap(), Step::WouldWait { .. }));

        log(&scratch, 2, 100);

        assert_eq!(numbers(&mut reader), [1, 2]);
        assert_eq!(attempts(scratch.path()).unwrap(), [1]);
    }
}
