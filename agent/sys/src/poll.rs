//! Waiting for several descriptors (ppoll, nanosecond timeout).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::time::Duration;

use crate::result::check;

/// What is waited for; an end or an error is always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read.
    Read,
    /// Something to read, or space to write.
    ReadWrite,
    /// Space to write.
    Write,
    /// A kernel file that changed (cgroup.events).
    Change,
    /// Only an end or an error.
    End,
}

impl Interest {
    fn bits(self) -> libc::c_short {
        match self {
            Self::Read => libc::POLLIN,
            Self::ReadWrite => libc::POLLIN | libc::POLLOUT,
            Self::Write => libc::POLLOUT,
            Self::Change => libc::POLLPRI,
            Self::End => 0,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready(libc::c_short);

impl Ready {
    /// Anything at all.
    #[must_use]
    pub fn any(self) -> bool {
        self.0 != 0
    }

    /// Something to read.
    #[must_use]
    pub fn readable(self) -> bool {
        self.0 & libc::POLLIN != 0
    }

    /// Space to write.
    #[must_use]
    pub fn writable(self) -> bool {
        self.0 & libc::POLLOUT != 0
    }

    /// The other side is gone for good.
    #[must_use]
    pub fn hung_up(self) -> bool {
        self.0 & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }
}

/// A fixed number of places, each for one descriptor or none.
#[derive(Debug, Clone, Copy)]
pub struct Poll<const N: usize> {
    entries: [libc::pollfd; N],
}

impl<const N: usize> Default for Poll<N> {
    fn default() -> Self {
        Self { entries: [libc::pollfd { fd: -1, events: 0, revents: 0 }; N] }
    }
}

impl<const N: usize> Poll<N> {
    /// Puts a descriptor, or nothing, into a place.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn set(&mut self, place: usize, wanted: Option<(BorrowedFd<'_>, Interest)>) {
        let (fd, events): (RawFd, _) = wanted.map_or((-1, 0), |(fd, interest)| (fd.as_raw_fd(), interest.bits()));
        self.entries[place] = libc::pollfd { fd, events, revents: 0 };
    }

    /// Waits until one is ready or the time is over (`None`: for ever). An interruption by a signal is no error.
    ///
    /// # Errors
    /// As ppoll(2).
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| libc::timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the array and the timeout are live; a negative descriptor is skipped by the kernel.
        let result = unsafe { libc::ppoll(self.entries.as_mut_ptr(), N as libc::nfds_t, timeout, std::ptr::null()) };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.entries.iter_mut().for_each(|entry| entry.revents = 0);
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// What was found at a place.
    ///
    /// # Panics
    /// When there is no such place.
    #[must_use]
    pub fn ready(&self, place: usize) -> Ready {
        Ready(self.entries[place].revents)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn only_what_is_ready_is_told() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (silent, _held) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let mut poll = Poll::<3>::default();
        poll.set(0, Some((reader.as_fd(), Interest::Read)));
        poll.set(1, Some((silent.as_fd(), Interest::Read)));

        poll.wait(None).unwrap();

        assert!(poll.ready(0).readable() && !poll.ready(0).hung_up());
        assert!(!poll.ready(1).any() && !poll.ready(2).any());
    }

    #[test]
    fn an_end_is_told_even_when_only_an_end_is_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let mut poll = Poll::<1>::default();
        poll.set(0, Some((reader.as_fd(), Interest::End)));

        poll.wait(None).unwrap();

        assert!(poll.ready(0).hung_up());
    }
}
