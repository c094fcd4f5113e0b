//! The current log file of an attempt: appended to, cut back to a whole line, rotated.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::files;

/// As the CRI runtimes make them.
const MODE: u32 = 0o640;

/// When a file is full and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// A file is full at this length; 0 is never.
    pub max_bytes: u64,
    /// Files of one attempt, the current one included; at least 2.
    pub max_files: u32,
    /// Least time between rotations in nanoseconds: a tailer must be able to follow.
    pub min_spacing_ns: u64,
}

impl Rotation {
    /// Whether it is time before `next` bytes more are written. Times are of one clock that does not go back.
    #[must_use]
    pub fn due(&self, length: u64, next: usize, last_ns: u64, now_ns: u64) -> bool {
        self.max_bytes > 0
            && length > 0
            && length.saturating_add(next as u64) > self.max_bytes
            && now_ns.saturating_sub(last_ns) >= self.min_spacing_ns
    }
}

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    directory: PathBuf,
    attempt: u32,
    inode: u64,
}

impl LogFile {
    /// Opens or makes it, and its directory.
    ///
    /// # Errors
    /// As open(2), mkdir(2).
    pub fn open(directory: &Path, attempt: u32) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = open(&files::current(directory, attempt))?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, directory: directory.to_owned(), attempt, inode })
    }

    /// The file's number: with it, a later process knows whether `<n>.log` is still this one.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Its length as it is.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Appends with one write(2), which may take less than all.
    ///
    /// # Errors
    /// As write(2).
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    /// Cuts it back to this length.
    ///
    /// # Errors
    /// As ftruncate(2).
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// What stands from `start` to the end, at most `most` bytes.
    ///
    /// # Errors
    /// As read(2).
    pub fn tail(&self, start: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut got = 0;
        while got < most {
            match self.file.read_at(&mut bytes[got..], start + got as u64)? {
                0 => break,
                count => got += count,
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Gives the file its rotated name, begins a new one and removes what is too old.
    ///
    /// # Errors
    /// When no new file can be made; the old one then keeps its name and is written further. A file that cannot be removed
    /// is left for the next time.
    pub fn rotate(&mut self, wall_ns: i64, max_files: u32) -> io::Result<()> {
        let current = files::current(&self.directory, self.attempt);
        let rotated = files::rotated_name(&self.directory, self.attempt, wall_ns);
        fs::rename(&current, &rotated)?;
        let fresh = match open(&current).and_then(|file| Ok((file.metadata()?.ino(), file))) {
            Ok(fresh) => fresh,
            Err(error) => {
                fs::rename(&rotated, &current)?;
                return Err(error);
            }
        };
        (self.inode, self.file) = fresh;
        let _left_for_the_next_time = files::prune(&self.directory, self.attempt, max_files);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).mode(MODE).open(path)
}

/// The length of a file up to its last line end: what a writer that was killed may have left behind it is no whole line.
///
/// # Errors
/// As read(2).
pub fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl LogFile {
    /// Removes an unfinished last line. Gives the length that is left.
    ///
    /// # Errors
    /// As read(2), ftruncate(2).
    pub fn repair(&mut self) -> io::Result<u64> {
        let whole = whole_lines(&mut self.file)?;
        if whole < self.length()? {
            self.cut(whole)?;
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_torn_tail_is_removed_and_whole_lines_stay() {
        let scratch = Scratch::new();
        let long = "x".repeat(10_000);
        for (text, whole) in [("", 0), ("a\n", 2), ("a\nb", 2), ("torn", 0), (&format!("a\n{long}"), 2)] {
            fs::write(files::current(scratch.path(), 1), text).unwrap();
            let mut log = LogFile::open(scratch.path(), 1).unwrap();

            assert_eq!(log.repair().unwrap(), whole);
            assert_eq!(log.length().unwrap(), whole);
        }
    }

    #[test]
    fn rotation_keeps_every_byte_under_a_new_name() {
        let scratch = Scratch::new();
        let mut log = LogFile::open(scratch.path(), 1).unwrap();
        let first = log.inode();

        log.append(b"one\n").unwrap();
        log.rotate(0, 5).unwrap();
        log.append(b"two\n").unwrap();

        let rotated = files::rotated(scratch.path(), 1).unwrap();
        assert_eq!(fs::read(&rotated[0]).unwrap(), b"one\n");
        assert_eq!(fs::read(files::current(scratch.path(), 1)).unwrap(), b"two\n");
        assert_ne!(log.inode(), first);
    }

    #[test]
    fn a_file_that_is_full_waits_for_the_least_spacing() {
        let rotation = Rotation { max_bytes: 100, max_files: 2, min_spacing_ns: 50 };

        assert!(rotation.due(90, 20, 0, 50));
        assert!(!rotation.due(90, 20, 0, 49));
        assert!(!rotation.due(80, 20, 0, 50));
        assert!(!rotation.due(0, 200, 0, 50), "an empty file is never rotated");
        assert!(!Rotation::default().due(1 << 40, 20, 0, 50));
    }
}
