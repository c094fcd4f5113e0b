//! File descriptors: what becomes of them at exec, and files that are only memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::result::{c_string, check, done};

/// Whether a descriptor stays open over exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExec {
    /// Closed.
    Close,
    /// Kept.
    Keep,
}

/// Says what becomes of it at exec.
///
/// # Errors
/// As fcntl(2).
pub fn on_exec(fd: impl AsFd, what: OnExec) -> io::Result<()> {
    let flags = match what {
        OnExec::Close => libc::FD_CLOEXEC,
        OnExec::Keep => 0,
    };
    // SAFETY: F_SETFD takes a number and touches no memory.
    done(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETFD, flags) })
}

/// Reading and writing come back at once, for all that share this open file.
///
/// # Errors
/// As fcntl(2).
pub fn never_block(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes a number and touches no memory.
    done(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })
}

/// Makes the same file also number `number`, open over exec; what was there is closed.
///
/// # Errors
/// As dup2(2).
pub fn duplicate_to(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    if fd.as_fd().as_raw_fd() == number {
        return on_exec(fd, OnExec::Keep);
    }
    // SAFETY: dup2 touches no memory. Whoever owns `number` is replaced on purpose: this is for 0, 1 and 2 before exec.
    done(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) })
}

/// Closes all from this number on.
///
/// # Errors
/// As close_range(2).
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
    // SAFETY: only marks descriptors; nothing is closed before exec.
    done(unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, flags) })
}

/// Closes all from number 3 on but these.
///
/// For a copy of a process that runs no destructors any more: owners of what is closed here must never use or close it.
///
/// # Errors
/// As close_range(2).
pub fn close_all_but<const N: usize>(kept: [BorrowedFd<'_>; N]) -> io::Result<()> {
    let mut numbers = kept.map(|fd| fd.as_raw_fd());
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers.into_iter().filter(|number| *number >= 3) {
        if first < number {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only; by the contract of the caller nobody uses what is closed.
    done(unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, last as libc::c_uint, 0) })
}

/// The address family (`AF_UNIX`, `AF_INET`, ...) that a socket was made with, bound or not.
///
/// # Errors
/// As getsockopt(2): `ENOTSOCK` of what is none.
pub fn socket_domain(socket: impl AsFd) -> io::Result<libc::c_int> {
    let mut domain: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    let value = (&raw mut domain).cast();
    // SAFETY: both are live, and `size` is that of the number.
    done(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, value, &raw mut size) })?;
    Ok(domain)
}

/// Takes over a descriptor that was inherited under this number; `None` if none is open there.
///
/// The caller says that nothing else in this process owns the number: it is for numbers handed over by exec, once each.
#[must_use]
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: F_GETFD takes no argument and touches no memory.
    let open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// An empty file in memory, open over exec.
///
/// # Errors
/// As memfd_create(2).
pub fn memory_file(name: &str) -> io::Result<File> {
    let name = c_string(name)?;
    // SAFETY: the name is a live C string.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// The path under which a descriptor can be opened again in this process.
#[must_use]
pub fn path_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
