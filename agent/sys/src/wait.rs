//! Ends of children.

use std::io;
use std::mem::MaybeUninit;

use crate::result::check;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// A core was dumped.
        core_dumped: bool,
    },
}

impl Exit {
    /// From a status as wait(2) gives it.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            number => Self::Signal { number, core_dumped: status & 0x80 != 0 },
        }
    }
}

/// A child that has ended and is not reaped yet, whose end is known all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its pid.
    pub pid: u32,
    /// How.
    pub exit: Exit,
}

/// Looks for a child that has ended, and leaves it there.
///
/// # Errors
/// As waitid(2), except that no children are no error.
pub fn peek() -> io::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is live and large enough for a siginfo.
    match check(unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) }) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        Err(error) => return Err(error),
    }
    // SAFETY: zeroed before, and all-zero is a valid siginfo; the kernel may have filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the fields of SIGCHLD, or leaves zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status & 0xff),
        code => Exit::Signal { number: status, core_dumped: code == libc::CLD_DUMPED },
    };
    Ok(Some(Ended { pid: pid.unsigned_abs(), exit }))
}

/// Removes a child that has ended.
///
/// # Errors
/// As waitpid(2).
pub fn reap(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the status is not asked for.
    check(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) }).map(|_| ())
}

/// Waits for the end of a child and removes it.
///
/// # Errors
/// As waitpid(2).
pub fn reap_when_ended(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    loop {
        // SAFETY: the status is not asked for.
        match check(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_tells_code_signal_and_core() {
        assert_eq!(Exit::from_wait_status(0), Exit::Code(0));
        assert_eq!(Exit::from_wait_status(42 << 8), Exit::Code(42));
        assert_eq!(Exit::from_wait_status(9), Exit::Signal { number: 9, core_dumped: false });
        assert_eq!(Exit::from_wait_status(11 | 0x80), Exit::Signal { number: 11, core_dumped: true });
    }
}
