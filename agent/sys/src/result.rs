//! What a system call returns, as `io::Result`.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The value of a call that says -1 on failure.
pub(crate) fn check<T: Copy + PartialOrd + From<i8>>(value: T) -> io::Result<T> {
    if value < T::from(0) { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// The same for calls whose value means nothing.
pub(crate) fn done<T: Copy + PartialOrd + From<i8>>(value: T) -> io::Result<()> {
    check(value).map(|_| ())
}

/// A string for the kernel; one with a NUL inside is `EINVAL`.
pub(crate) fn c_string(text: impl AsRef<[u8]>) -> io::Result<CString> {
    CString::new(text.as_ref()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes())
}
