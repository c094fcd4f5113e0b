//! A program started from a process that may have threads: into a cgroup from its first instruction on, with chosen
//! descriptors and a session of its own.
//!
//! Between clone and exec the child makes only system calls on memory that was prepared before, as fork(2) demands of a
//! process with threads: no allocation, no lock.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use crate::clone::{CLONE_INTO_CGROUP, Child};
use crate::process::pointers;
use crate::result::{c_path, c_string, done};

/// What is started.
#[derive(Debug)]
pub struct Launch<'a> {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    descriptors: Vec<BorrowedFd<'a>>,
    cgroup: Option<BorrowedFd<'a>>,
}

impl<'a> Launch<'a> {
    /// A program with its arguments after its name; the environment is empty. `descriptors` become 0, 1, 2 ... of the
    /// child, all others are closed.
    ///
    /// # Errors
    /// `EINVAL` when the path or an argument has a NUL inside.
    pub fn new(program: &Path, arguments: &[String], descriptors: Vec<BorrowedFd<'a>>) -> io::Result<Self> {
        let program = c_path(program)?;
        let rest = arguments.iter().map(c_string).collect::<io::Result<Vec<_>>>()?;
        let arguments = std::iter::once(program.clone()).chain(rest).collect();
        Ok(Self { program, arguments, environment: Vec::new(), descriptors, cgroup: None })
    }

    /// The cgroup2 directory in which it starts.
    #[must_use]
    pub fn cgroup(mut self, directory: BorrowedFd<'a>) -> Self {
        self.cgroup = Some(directory);
        self
    }

    /// Starts it as the leader of a new session.
    ///
    /// # Errors
    /// As clone3(2), or what exec said, e.g. `ENOENT`.
    pub fn start(&self) -> io::Result<Child> {
        let (report, writer) = error_pipe()?;
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        // Copies above every number that is given out, so that no dup2 overwrites what a later one needs.
        let descriptors =
            self.descriptors.iter().map(|fd| above(*fd, self.descriptors.len())).collect::<io::Result<Vec<_>>>()?;
        let told = above(std::os::fd::AsFd::as_fd(&writer), self.descriptors.len())?;
        drop(writer);
        let raw: Vec<RawFd> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        let mut pidfd: libc::c_int = -1;
        let pid = self.clone3(&mut pidfd)?;
        if pid == 0 {
            // SAFETY: this is the child; everything it uses was made before and is its own copy.
            unsafe { become_program(&self.program, &arguments, &environment, &raw, told.as_raw_fd()) }
        }
        drop(told);
        // SAFETY: the kernel has put a new descriptor there that nobody else owns.
        let child = Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } };
        match failure(report) {
            None => Ok(child),
            Some(error) => {
                // It is at its last instruction; that it is gone is all there is to know.
                crate::wait::reap_when_ended(child.pid).ok();
                Err(error)
            }
        }
    }

    fn clone3(&self, pidfd: &mut libc::c_int) -> io::Result<u32> {
        // SAFETY: all-zero is a valid value of this plain structure of numbers.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = libc::CLONE_PIDFD as u64;
        arguments.pidfd = (&raw mut *pidfd).addr() as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = self.cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: `arguments` and `pidfd` are live; no CLONE_VM, so the child has a copy of everything. The caller's child
        // branch makes system calls only.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
        u32::try_from(pid).map_err(|_| io::Error::last_os_error())
    }
}

/// Reading end, and the end that closes at exec.
fn error_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel fills the array of two.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both are new and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn above(fd: BorrowedFd<'_>, least: usize) -> io::Result<OwnedFd> {
    let least = libc::c_int::try_from(least).unwrap_or(libc::c_int::MAX);
    // SAFETY: F_DUPFD_CLOEXEC takes a number and touches no memory.
    let copy = crate::result::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// What the child could not do; `None` when the program runs, for then the pipe closed without a word.
fn failure(report: OwnedFd) -> Option<io::Error> {
    use std::io::Read as _;
    let mut errno = [0; 4];
    match std::fs::File::from(report).read_exact(&mut errno) {
        Ok(()) => Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
        Err(_) => None,
    }
}

/// # Safety
/// Only in a fresh child. Never comes back.
unsafe fn become_program(
    program: &CString,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    descriptors: &[RawFd],
    told: RawFd,
) -> ! {
    // SAFETY: system calls on live memory; the arrays end with a null pointer and point to live C strings.
    unsafe {
        let mut number = 0;
        let mut good = libc::setsid() >= 0 && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR;
        for descriptor in descriptors {
            good = good && libc::dup2(*descriptor, number) >= 0;
            number += 1;
        }
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
        good = good && libc::syscall(libc::SYS_close_range, number as libc::c_uint, libc::c_uint::MAX, flags) >= 0;
        if good {
            libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
        }
        let errno = *libc::__errno_location();
        libc::write(told, (&raw const errno).cast(), size_of::<libc::c_int>());
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    fn null() -> File {
        File::options().read(true).write(true).open("/dev/null").unwrap()
    }

    #[test]
    fn a_program_starts_with_the_descriptors_it_was_given() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let null = null();
        let arguments = ["-c".to_owned(), "echo out; echo three >&3".to_owned()];
        let descriptors = vec![null.as_fd(), writer.as_fd(), null.as_fd(), writer.as_fd()];

        let child = Launch::new(Path::new("/bin/sh"), &arguments, descriptors).unwrap().start().unwrap();

        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "out\nthree\n");
        crate::wait::reap_when_ended(child.pid).unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_and_leaves_no_zombie() {
        let null = null();
        let launch = Launch::new(Path::new("/no/such/program"), &[], vec![null.as_fd()]).unwrap();

        let error = launch.start().unwrap_err();

        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
