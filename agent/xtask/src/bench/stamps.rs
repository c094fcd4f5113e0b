//! Where services say that they have begun.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use barepod_test_programs::stamp::{self, Stamp};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};

/// A socket that any user may send to.
pub(super) struct Stamps {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Stamps {
    pub(super) fn bind(path: PathBuf, limit: Duration) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(limit))?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self { socket, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next one, within the limit.
    pub(super) fn receive(&self) -> anyhow::Result<Stamp> {
        self.take(MsgFlags::empty())?.context("a datagram that is no stamp")
    }

    /// The last one of those that have come, if any has.
    pub(super) fn newest(&self) -> anyhow::Result<Option<Stamp>> {
        let mut newest = None;
        loop {
            match self.take(MsgFlags::MSG_DONTWAIT) {
                Ok(stamp) => newest = stamp.or(newest),
                Err(Errno::EAGAIN) => return Ok(newest),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The sender's pid is the kernel's word, as this process sees it: inside a PID namespace the sender knows another.
    fn take(&self, flags: MsgFlags) -> nix::Result<Option<Stamp>> {
        let mut bytes = [0; stamp::LENGTH + 1];
        let mut space = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        let length = message.bytes;
        let stamp = Stamp::decode(&bytes[..length]);
        Ok(stamp.zip(sender).map(|(stamp, pid)| Stamp { pid, ..stamp }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barepod_tests::Scratch;

    #[test]
    fn a_stamp_has_the_pid_that_the_kernel_knows() {
        let scratch = Scratch::new().unwrap();
        let stamps = Stamps::bind(scratch.join("stamps"), Duration::from_secs(5)).unwrap();
        let said = Stamp { pid: 1, at: Duration::from_secs(7) };
        UnixDatagram::unbound().unwrap().send_to(&said.encode(), stamps.path()).unwrap();

        let stamp = stamps.receive().unwrap();

        assert_eq!(stamp.at, said.at);
        assert_eq!(stamp.pid, nix::unistd::getpid().as_raw());
    }

    #[test]
    fn the_newest_stamp_is_the_last_that_came() {
        let scratch = Scratch::new().unwrap();
        let stamps = Stamps::bind(scratch.join("stamps"), Duration::from_secs(5)).unwrap();
        assert_eq!(stamps.newest().unwrap(), None);
        for second in 1..=3 {
            let said = Stamp { pid: 1, at: Duration::from_secs(second) };
            UnixDatagram::unbound().unwrap().send_to(&said.encode(), stamps.path()).unwrap();
        }

        assert_eq!(stamps.newest().unwrap().map(|stamp| stamp.at), Some(Duration::from_secs(3)));
        assert_eq!(stamps.newest().unwrap(), None);
    }
}
