//! How a program under test says which process it is and what time it is: a datagram to the socket named by [`SOCKET`].
//!
//! `stamp` says so before anything else, for the time from a kill to the replacement's first instruction; `lines` says
//! so before its first line and after its last.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The environment variable that names the datagram socket.
pub const SOCKET: &str = "BAREPOD_STAMP";
/// The length of an encoded [`Stamp`].
pub const LENGTH: usize = 20;

/// A process and a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The process.
    pub pid: i32,
    /// `CLOCK_MONOTONIC` then.
    pub at: Duration,
}

impl Stamp {
    /// This process, now.
    pub fn now() -> nix::Result<Self> {
        Ok(Self { at: monotonic()?, pid: nix::unistd::getpid().as_raw() })
    }

    /// Sends it to the socket that the environment names; fails where it names none.
    pub fn send(&self) -> io::Result<()> {
        let socket = std::env::var_os(SOCKET).ok_or_else(|| io::Error::other(format!("{SOCKET} is not set")))?;
        UnixDatagram::unbound()?.send_to(&self.encode(), socket).map(drop)
    }

    /// The bytes of the datagram.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&self.pid.to_le_bytes());
        bytes[4..].copy_from_slice(&self.at.as_nanos().to_le_bytes());
        bytes
    }

    /// The stamp of a datagram; `None` where it has another length.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (pid, at) = bytes.split_first_chunk::<4>()?;
        let nanos = u128::from_le_bytes(at.try_into().ok()?);
        Some(Self { pid: i32::from_le_bytes(*pid), at: Duration::from_nanos(u64::try_from(nanos).ok()?) })
    }
}

/// `CLOCK_MONOTONIC`, comparable between processes. Fails only on a kernel without that clock.
pub fn monotonic() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_datagram() {
        let stamp = Stamp { pid: 4711, at: Duration::new(86_400, 7) };

        assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        assert_eq!(Stamp::decode(&stamp.encode()[1..]), None);
    }
}
