//! Signals: as events of a descriptor, and as a new program finds them.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::result::{check, done};

/// A signal's number on Linux.
pub type Number = i32;

/// A child changed.
pub const CHILD: Number = libc::SIGCHLD;
/// The terminal is gone.
pub const HANGUP: Number = libc::SIGHUP;
/// From the keyboard.
pub const INTERRUPT: Number = libc::SIGINT;
/// A polite end.
pub const TERMINATE: Number = libc::SIGTERM;
/// The end.
pub const KILL: Number = libc::SIGKILL;
/// A pipe without reader.
pub const PIPE: Number = libc::SIGPIPE;

/// Signals that are blocked and arrive as events.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks these signals for this thread and its children until [`reset`].
    ///
    /// # Errors
    /// As sigprocmask(2), signalfd(2).
    pub fn block(numbers: &[Number]) -> io::Result<Self> {
        let set = set_of(numbers);
        // SAFETY: the set is live; the old one is not asked for.
        done(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
        // SAFETY: the set is live.
        let fd = check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Takes one that has arrived; several of one kind may have become one.
    ///
    /// # Errors
    /// As read(2).
    pub fn take(&self) -> io::Result<Option<Number>> {
        // SAFETY: all-zero is a valid value of this plain structure of numbers.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` is live and of this size.
        match check(unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size) }) {
            Ok(_) => Ok(Some(info.ssi_signo as Number)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Ignores a signal.
///
/// # Errors
/// As signal(2).
pub fn ignore(number: Number) -> io::Result<()> {
    dispose(number, libc::SIG_IGN)
}

/// Gives every signal its default action and unblocks all: what a new program expects.
///
/// # Errors
/// As sigprocmask(2).
pub fn reset() -> io::Result<()> {
    for number in 1..=64 {
        // KILL and STOP cannot be changed, and need not be
        let _ = default_action(number);
    }
    let none = set_of(&[]);
    // SAFETY: the set is live; the old one is not asked for.
    done(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) })
}

/// By the kernel's own call: C libraries hide the signals that they use themselves, also when those are ignored.
fn default_action(number: Number) -> io::Result<()> {
    /// Handler, flags, restorer and mask, each a word; all-zero is the default action.
    const DEFAULT: [u64; 4] = [0; 4];
    let none = std::ptr::null_mut::<u64>();
    // SAFETY: the structure is live and as the kernel has it on 64-bit machines; with SIG_DFL no code is ever called.
    done(unsafe { libc::syscall(libc::SYS_rt_sigaction, number, DEFAULT.as_ptr(), none, size_of::<u64>()) })
}

fn dispose(number: Number, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: the action is SIG_IGN or SIG_DFL, so no code is ever called.
    if unsafe { libc::signal(number, action) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_of(numbers: &[Number]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid value of this plain structure of numbers, and it is emptied properly below.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is live.
    unsafe { libc::sigemptyset(&raw mut set) };
    for &number in numbers {
        // SAFETY: `set` is live; a bad number changes nothing.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    set
}
