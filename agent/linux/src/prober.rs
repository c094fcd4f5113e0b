//! Starting the process that asks over the network: as nobody, in a session of its own, with a socket to the daemon.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use barepod_sys::clone::Child;
use barepod_sys::launch::Launch;
use barepod_sys::pidfd;

use crate::shim::reap;
use crate::users::{Account, Accounts};

/// A running prober. It ends when the other end of its socket is closed.
#[derive(Debug)]
pub struct ProberProcess {
    pid: u32,
    pidfd: std::os::fd::OwnedFd,
}

/// The account that a prober runs as, where an administrator or a package has made it.
const ACCOUNT: &str = "barepod-prober";

/// Who else has no rights.
const NOBODY: &str = "nobody";

/// `nobody`'s ids, on a host whose database does not know it.
const NOBODY_ID: u32 = 65534;

/// User and group of a prober on this host.
#[must_use]
pub fn account(accounts: &impl Accounts) -> (u32, u32) {
    let known = |name| accounts.user(name).ok().flatten().filter(|Account { uid, .. }| *uid != 0);
    known(ACCOUNT).or_else(|| known(NOBODY)).map_or((NOBODY_ID, NOBODY_ID), |account| (account.uid, account.gid))
}

impl ProberProcess {
    /// Starts one; the stream is the daemon's end of its socket. May block for a millisecond or so.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Path, (uid, gid): (u32, u32)) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        let arguments = ["run", "--uid", &uid.to_string(), "--gid", &gid.to_string()].map(str::to_owned);
        let stderr = io::stderr();
        let descriptors = vec![theirs.as_fd(), null.as_fd(), stderr.as_fd()];
        let Child { pid, pidfd } = Launch::new(program, &arguments, descriptors)?.start()?;
        ours.set_nonblocking(true)?;
        Ok((Self { pid, pidfd }, ours))
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// SIGKILL, where it has not ended by itself, and takes its end from the kernel.
    pub async fn end(self) {
        // One that has ended has nothing to be killed.
        pidfd::send_signal(self.pidfd.as_fd(), nix::libc::SIGKILL).ok();
        reap(Child { pid: self.pid, pidfd: self.pidfd }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::AccountError;

    struct Host(&'static [(&'static str, u32)]);

    impl Accounts for Host {
        fn user(&self, name: &str) -> Result<Option<Account>, AccountError> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            Ok(found.map(|(name, uid)| Account { name: (*name).to_owned(), uid: *uid, gid: uid + 1, home: "/".into() }))
        }

        fn group(&self, _name: &str) -> Result<Option<u32>, AccountError> {
            Ok(None)
        }

        fn groups_of(&self, _account: &Account) -> Result<Vec<u32>, AccountError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn the_account_of_its_own_goes_before_nobody_and_root_is_never_one() {
        assert_eq!(account(&Host(&[("nobody", 9), ("barepod-prober", 7)])), (7, 8));
        assert_eq!(account(&Host(&[("nobody", 9), ("barepod-prober", 0)])), (9, 10));
        assert_eq!(account(&Host(&[])), (NOBODY_ID, NOBODY_ID));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = ProberProcess::start(Path::new("/no/such/prober"), (1, 1)).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
