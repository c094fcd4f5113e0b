//! The kernel's keyrings (keyrings(7)).

use std::io;

use crate::result::done;

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION: libc::c_long = 1;

/// Leaves the session keyring that was inherited, and what is in it, for a new empty one. A kernel without keyrings has
/// nothing to leave.
///
/// # Errors
/// As keyctl(2): `EDQUOT` where this user has too many keys.
pub fn leave_session() -> io::Result<()> {
    // SAFETY: a null name asks for a keyring without one; no memory is touched.
    match done(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, std::ptr::null::<libc::c_char>()) }) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        left => left,
    }
}
