//! A file as shared memory: what is stored in it is in the file at once, whatever happens to this process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A whole file, mapped shared and writable. Its length is fixed by this process: nobody else may cut it.
#[derive(Debug)]
pub struct SharedMap {
    file: File,
    start: NonNull<u8>,
    length: usize,
}

impl SharedMap {
    /// Gives the file this length and maps it. `length` is a multiple of 8. Where nothing was stored before, a store needs
    /// [`SharedMap::reserve`] first: on a full disk it would end the process (SIGBUS).
    ///
    /// # Errors
    /// `EINVAL` for a bad length; as ftruncate(2) and mmap(2).
    pub fn new(file: File, length: usize) -> io::Result<Self> {
        if length == 0 || !length.is_multiple_of(8) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        file.set_len(length as u64)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; the file has at least this length.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { file, start, length })
    }

    /// Makes sure that what is stored in this range has its place on the disk.
    ///
    /// # Errors
    /// As fallocate(2).
    pub fn reserve(&mut self, range: std::ops::Range<usize>) -> io::Result<()> {
        let (start, length) = (range.start as libc::off_t, range.len() as libc::off_t);
        // SAFETY: takes numbers only.
        crate::result::done(unsafe { libc::fallocate(self.file.as_raw_fd(), 0, start, length) })
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is live as long as `self`, of this length; writes need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// All of it, writable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only view.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// The word with this index.
    ///
    /// # Panics
    /// When it lies outside.
    #[must_use]
    pub fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }

    /// Stores a word in one piece, after all that was stored before.
    ///
    /// # Panics
    /// When it lies outside.
    pub fn store(&mut self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::SeqCst);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.length / 8, "word {index} of a map of {} bytes", self.length);
        // SAFETY: inside the mapping, aligned since a mapping begins at a page, live as long as `self`.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(index * 8).cast()) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: this mapping, whose views cannot outlive `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_in_the_file() {
        let path = std::env::temp_dir().join(format!("barepod-sys-map-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let mut map = SharedMap::new(file, 4096).unwrap();

        map.store(1, 0x0102_0304);
        map.bytes_mut()[4095] = 7;

        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(map.load(1), 0x0102_0304);
        assert_eq!(bytes[8..12], [4, 3, 2, 1]);
        assert_eq!(bytes[4095], 7);
    }

    #[test]
    #[should_panic(expected = "word 512")]
    fn a_word_outside_is_refused() {
        let path = std::env::temp_dir().join(format!("barepod-sys-map2-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();

        let _ = SharedMap::new(file, 4096).unwrap().load(512);
    }
}
