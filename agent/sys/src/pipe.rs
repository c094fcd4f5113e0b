//! Pipes and FIFOs: how much is in them and how much fits.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use crate::result::{check, done};

/// Bytes that can be read at once. If only this process reads, a read of as many gets as many.
///
/// # Errors
/// As ioctl(2).
pub fn readable(fd: impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    done(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(count.unsigned_abs() as usize)
}

/// Asks for this capacity in bytes; gives the one it has.
///
/// # Errors
/// As fcntl(2): `EPERM` over the system's limit.
pub fn set_capacity(fd: impl AsFd, bytes: usize) -> io::Result<usize> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: takes a number.
    let now = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes) })?;
    Ok(now.unsigned_abs() as usize)
}
