//! This process as a whole: what it becomes, what it may gain, who its children's orphans go to.

use std::ffi::CString;
use std::io;
use std::path::Path;

use crate::result::{c_path, c_string, done};

/// Takes the place of every descendant's dead parent.
///
/// # Errors
/// As prctl(2).
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: this prctl takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, 0, 0, 0) })
}

/// No exec of this process or its children gives more rights than it has.
///
/// # Errors
/// As prctl(2).
pub fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: this prctl takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) })
}

/// Nobody without `CAP_SYS_PTRACE` on the host looks into this process or takes hold of it, whatever its user: neither its
/// memory nor its open files nor its program. Holds until exec.
///
/// # Errors
/// As prctl(2).
pub fn close_to_others() -> io::Result<()> {
    // SAFETY: this prctl takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0 as libc::c_ulong, 0, 0, 0) })
}

/// The name that `ps` shows; at most 15 bytes of it.
///
/// # Errors
/// As prctl(2).
pub fn set_name(name: &str) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: a live C string, of which the kernel copies 16 bytes at most.
    done(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) })
}

/// Leaves the session and the terminal.
///
/// # Errors
/// As setsid(2): `EPERM` for the leader of a process group.
pub fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    done(unsafe { libc::setsid() })
}

/// What an exec needs, ready before the moment.
#[derive(Debug)]
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Prepares arguments and environment.
    ///
    /// # Errors
    /// `EINVAL` when one of them has a NUL inside.
    pub fn new(arguments: &[String], environment: &[String]) -> io::Result<Self> {
        Ok(Self {
            arguments: arguments.iter().map(c_string).collect::<io::Result<_>>()?,
            environment: environment.iter().map(c_string).collect::<io::Result<_>>()?,
        })
    }

    /// Its arguments and its environment.
    pub(crate) fn strings(&self) -> (&[CString], &[CString]) {
        (&self.arguments, &self.environment)
    }

    /// Becomes the program at `path`. Comes back only with an error.
    #[must_use]
    pub fn execute(&self, path: &Path) -> io::Error {
        let path = match c_path(path) {
            Ok(path) => path,
            Err(error) => return error,
        };
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        // SAFETY: both arrays end with a null pointer and point to live C strings.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

pub(crate) fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
