//! What is written to a service's standard input, on its way into a FIFO or a terminal that may be full.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// Nobody is read from while so much waits.
const ENOUGH: usize = 64 * 1024;

/// The writing end.
#[derive(Debug)]
pub struct Input {
    file: File,
    waiting: Vec<u8>,
}

impl Input {
    /// Of a file that never blocks.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, waiting: Vec::new() }
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Takes what is to be written, and writes what is taken at once.
    pub fn put(&mut self, data: &[u8]) {
        self.waiting.extend_from_slice(data);
        self.flush();
    }

    /// Writes what waits, as far as it is taken. A service that has closed its input takes nothing: that is its right.
    pub fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(count @ 1..) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.waiting.clear(),
            }
        }
        self.waiting = Vec::new();
    }

    /// More may come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() < ENOUGH
    }

    /// Where space is waited for.
    #[must_use]
    pub fn wants(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.is_empty()).then(|| self.file.as_fd())
    }
}
