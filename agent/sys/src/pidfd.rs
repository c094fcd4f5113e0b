//! pidfds: a process that stays the same one whoever gets its number later.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::clone::Namespace;
use crate::result::{check, done};
use crate::wait::Exit;

/// Refers to the process that has this pid now.
///
/// # Errors
/// As pidfd_open(2).
pub fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal.
///
/// # Errors
/// As pidfd_send_signal(2); `ESRCH` when it has ended.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the kernel makes the siginfo itself when none is given.
    done(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, none, 0) })
}

/// The same open file as that process has under this number, closed at exec. Linux 5.6.
///
/// # Errors
/// As pidfd_getfd(2): `EBADF` where it has none, `ESRCH` when it has ended, `EPERM` where it may not be traced.
pub fn descriptor_of(process: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Moves this process into namespaces of another (a PID namespace: its later children). Linux 5.8.
///
/// # Errors
/// As setns(2).
pub fn join(process: BorrowedFd<'_>, namespaces: impl IntoIterator<Item = Namespace>) -> io::Result<()> {
    let flags = namespaces.into_iter().fold(0, |flags, namespace| flags | namespace.flag());
    if flags == 0 {
        return Ok(());
    }
    // SAFETY: takes numbers only.
    done(unsafe { libc::setns(process.as_raw_fd(), flags) })
}

/// How a process ended that is not a child of this one: `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux 6.15. `None` as
/// long as its parent has not reaped it.
///
/// # Errors
/// As ioctl(2); `ENOTTY` or `EINVAL` where the kernel is older.
pub fn exit_of_stranger(process: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    // SAFETY: all-zero is a valid value of this plain structure of numbers.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = libc::PIDFD_INFO_EXIT as u64;
    // SAFETY: `info` is live, and the request's number carries the size that is written.
    done(unsafe { libc::ioctl(process.as_raw_fd(), libc::PIDFD_GET_INFO as _, &raw mut info) })?;
    Ok((info.mask & libc::PIDFD_INFO_EXIT as u64 != 0).then(|| Exit::from_wait_status(info.exit_code)))
}
