//! Reading an attempt's log back: the full files, oldest first, then the current one, on through rotations.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cri::parse;
use crate::files;

/// Which file: its name changes when it is full, this does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

#[derive(Debug)]
struct Open {
    reader: BufReader<File>,
    identity: Identity,
}

/// A place in an attempt's log.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    attempt: u32,
    open: Option<Open>,
    line: Vec<u8>,
    skip: u64,
}

impl Reader {
    /// At the beginning of what is left of the log.
    #[must_use]
    pub fn new(directory: &Path, attempt: u32) -> Self {
        Self { directory: directory.to_owned(), attempt, open: None, line: Vec::new(), skip: 0 }
    }

    /// At the last `lines` lines.
    ///
    /// # Errors
    /// As reading the files.
    pub fn tail(directory: &Path, attempt: u32, lines: u64) -> io::Result<Self> {
        let mut reader = Self::new(directory, attempt);
        let mut wanted = lines;
        for path in reader.paths()?.into_iter().rev() {
            let Some(file) = open(&path)? else { continue };
            let identity = file.identity;
            let there = count_lines(file)?;
            reader.open = open(&path)?.filter(|again| again.identity == identity);
            if there >= wanted {
                reader.skip = there - wanted;
                break;
            }
            wanted -= there;
        }
        Ok(reader)
    }

    /// The next record as it stands in the file, without its line end; `None` at the end of what is there now. Asked again
    /// later, it goes on.
    ///
    /// # Errors
    /// As reading the files.
    pub fn next_record(&mut self) -> io::Result<Option<&[u8]>> {
        while self.next_line()? {
            if self.skip == 0 {
                return Ok(Some(self.line.strip_suffix(b"\n").unwrap_or(&self.line)));
            }
            self.skip -= 1;
        }
        Ok(None)
    }

    fn next_line(&mut self) -> io::Result<bool> {
        if self.line.ends_with(b"\n") {
            self.line.clear();
        }
        loop {
            let Some(open) = &mut self.open else {
                if !self.advance()? {
                    return Ok(false);
                }
                continue;
            };
            open.reader.read_until(b'\n', &mut self.line)?;
            if self.line.ends_with(b"\n") {
                return Ok(true);
            }
            if !self.advance()? {
                return Ok(false);
            }
        }
    }

    /// Goes on to the file after the open one, once that one is no longer written and has been read to its end.
    fn advance(&mut self) -> io::Result<bool> {
        let mut files = Vec::new();
        for path in self.paths()? {
            files.extend(open(&path)?);
        }
        let here = |open: &Open| files.iter().position(|file| file.identity == open.identity);
        let next = match self.open.as_ref().map(here) {
            // The first, or the oldest that is left after this one was removed.
            None | Some(None) => 0,
            Some(Some(index)) => index + 1,
        };
        let Some(open) = self.open.as_mut().filter(|_| next < files.len()) else {
            let found = self.open.is_none() && next < files.len();
            if found {
                self.open = Some(files.swap_remove(next));
            }
            return Ok(found);
        };
        // It may have grown between our last read and its rotation.
        if !open.reader.fill_buf()?.is_empty() {
            return Ok(true);
        }
        // What has no line end now never gets one: a file that is full is not written again.
        self.line.clear();
        self.open = Some(files.swap_remove(next));
        Ok(true)
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = match files::rotated(&self.directory, self.attempt) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            paths => paths?,
        };
        paths.push(files::current(&self.directory, self.attempt));
        Ok(paths)
    }
}

fn open(path: &Path) -> io::Result<Option<Open>> {
    match File::open(path) {
        // Renamed or removed since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(file) => {
            let meta = file.metadata()?;
            Ok(Some(Open { reader: BufReader::new(file), identity: Identity(meta.dev(), meta.ino()) }))
        }
    }
}

fn count_lines(mut file: Open) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let bytes = file.reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(count);
        }
        count += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = bytes.len();
        file.reader.consume(length);
    }
}

/// Whether a record is not older than `since`, in nanoseconds since 1970. What is no record is shown, not hidden.
#[must_use]
pub fn is_since(record: &[u8], since: i64) -> bool {
    parse(record).is_none_or(|record| record.time_ns >= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn records(reader: &mut Reader) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            all.push(String::from_utf8(record.to_vec()).unwrap());
        }
        all
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write as _;
        File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn full_files_come_before_the_current_one() {
        let scratch = Scratch::new();
        append(&scratch.path().join("0.log.20260101-000001"), "b\n");
        append(&scratch.path().join("0.log.20260101-000000"), "a\n");
        append(&scratch.path().join("0.log"), "c\n");
        assert_eq!(records(&mut Reader::new(scratch.path(), 0)), ["a", "b", "c"]);
    }

    #[test]
    fn a_reader_goes_on_through_rotations_without_losing_or_doubling_a_line() {
        let scratch = Scratch::new();
        let current = scratch.path().join("0.log");
        append(&current, "1\n2");
        let mut reader = Reader::new(scratch.path(), 0);
        assert_eq!(records(&mut reader), ["1"]);
        append(&current, "2\n3\n");
        std::fs::rename(&current, scratch.path().join("0.log.20260101-000000")).unwrap();
        append(&current, "4\n");
        assert_eq!(records(&mut reader), ["22", "3", "4"]);
        append(&current, "5\n");
        assert_eq!(records(&mut reader), ["5"]);
    }

    #[test]
    fn a_tail_reaches_back_into_full_files() {
        let scratch = Scratch::new();
        append(&scratch.path().join("0.log.20260101-000000"), "1\n2\n3\n");
        append(&scratch.path().join("0.log"), "4\n5\n");
        for (lines, expected) in
            [(0, vec![]), (1, vec!["5"]), (3, vec!["3", "4", "5"]), (9, vec!["1", "2", "3", "4", "5"])]
        {
            let mut reader = Reader::tail(scratch.path(), 0, lines).unwrap();
            assert_eq!(records(&mut reader), expected, "{lines}");
        }
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_empty() {
        let scratch = Scratch::new();
        assert_eq!(records(&mut Reader::new(scratch.path(), 0)), Vec::<String>::new());
    }
}
