//! The connection with the daemon. A slow or dead daemon never holds the shim up: what it does not take waits, up to a
//! bound, and behind that the connection is dropped; the next Welcome tells everything.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::wire::{Event, FrameError, Frames, Refused, Request, encode_frame, event};

/// Most bytes that wait for the daemon.
const MOST_UNSENT: usize = 256 * 1024;
const CHUNK: usize = 4096;

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side closed it.
    #[error("the daemon has closed the connection")]
    Closed,
    /// It does not take what is sent.
    #[error("the daemon takes nothing")]
    Overflow,
    /// What came is no request.
    #[error("what came is no request")]
    Frame(#[from] FrameError),
    /// The kernel says so.
    #[error("the connection is broken")]
    Io(#[from] io::Error),
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    frames: Frames,
    unsent: Vec<u8>,
    protocol: Option<u32>,
}

impl Link {
    /// A new one.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        Self::resumed(stream, Vec::new(), Vec::new(), None)
    }

    /// One that was begun before a re-exec.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn resumed(stream: UnixStream, received: Vec<u8>, unsent: Vec<u8>, protocol: Option<u32>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, frames: Frames::with(received), unsent, protocol })
    }

    /// What was agreed on, once Hello has come.
    #[must_use]
    pub fn protocol(&self) -> Option<u32> {
        self.protocol
    }

    /// Hello has come.
    pub fn agree(&mut self, protocol: u32) {
        self.protocol = Some(protocol);
    }

    /// Something waits to be sent.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What a re-exec has to hand over: received, and not sent.
    #[must_use]
    pub fn buffers(&self) -> (&[u8], &[u8]) {
        (self.frames.rest(), &self.unsent)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// When the connection is at its end.
    pub fn receive(&mut self) -> Result<(), LinkError> {
        let mut chunk = [0; CHUNK];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => self.frames.push(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next request that has come whole.
    ///
    /// # Errors
    /// When it is none; the other side is told so.
    pub fn request(&mut self) -> Result<Option<Request>, LinkError> {
        self.frames.take().map_err(|error| {
            let refused = Refused { attempt: 0, request: "frame".into(), message: error.to_string() };
            let _closed_anyway = self.send(&event::Event::Refused(refused).into());
            error.into()
        })
    }

    /// Sends an event, or keeps it for later.
    ///
    /// # Errors
    /// When the connection is at its end, or too much waits.
    pub fn send(&mut self, event: &Event) -> Result<(), LinkError> {
        self.unsent.extend_from_slice(&encode_frame(event)?);
        self.flush()?;
        if self.unsent.len() > MOST_UNSENT { Err(LinkError::Overflow) } else { Ok(()) }
    }

    /// Sends what waits, as far as it is taken.
    ///
    /// # Errors
    /// When the connection is at its end.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Stats, request, write_frame};

    #[test]
    fn a_daemon_that_takes_nothing_is_left_and_holds_nobody_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut link = Link::new(ours).unwrap();
        let big: Event = event::Event::Refused(Refused { message: "x".repeat(60_000), ..Refused::default() }).into();

        let error = (0..100).find_map(|_| link.send(&big).err());

        assert!(matches!(error, Some(LinkError::Overflow)));
    }

    #[test]
    fn requests_come_one_by_one_and_an_end_is_an_error() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut link = Link::new(ours).unwrap();
        let stats: Request = request::Request::Stats(Stats {}).into();
        write_frame(&mut theirs, &stats).unwrap();
        write_frame(&mut theirs, &stats).unwrap();
        drop(theirs);

        assert!(matches!(link.receive(), Err(LinkError::Closed)));
        assert_eq!(link.request().unwrap(), Some(stats.clone()));
        assert_eq!(link.request().unwrap(), Some(stats));
        assert_eq!(link.request().unwrap(), None);
    }
}
