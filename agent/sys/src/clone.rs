//! clone3(2): a child in a cgroup and in namespaces of its own from its first instruction on, with a pidfd.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

/// `linux/sched.h`; libc's own is too narrow (rust-lang/libc#3584).
pub(crate) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A namespace that a child can have for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Mounts.
    Mount,
    /// Host name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Process ids; the child is 1.
    Pid,
    /// What it sees as the root of the cgroups.
    Cgroup,
}

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mount, Self::Uts, Self::Ipc, Self::Pid, Self::Cgroup];

    pub(crate) fn flag(self) -> libc::c_int {
        match self {
            Self::Mount => libc::CLONE_NEWNS,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
        }
    }

    /// Its file in `/proc/PID/ns`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Pid => "pid",
            Self::Cgroup => "cgroup",
        }
    }
}

/// Keeps a namespace of another process, so that it outlives that process.
///
/// # Errors
/// As open(2) of its file in `/proc`.
pub fn keep(pid: u32, namespace: Namespace) -> io::Result<OwnedFd> {
    std::fs::File::open(format!("/proc/{pid}/ns/{}", namespace.file_name())).map(OwnedFd::from)
}

/// Goes into a namespace that was kept, or that of the process that a pidfd refers to. A mount namespace takes the process
/// to its root; a PID namespace is for later children.
///
/// # Errors
/// As setns(2).
pub fn enter(namespace: Namespace, kept: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    crate::result::done(unsafe { libc::setns(kept.as_raw_fd(), namespace.flag()) })
}

/// As long as this lives, children of this process are born into another PID namespace.
#[derive(Debug)]
pub struct ChildrenElsewhere {
    own: OwnedFd,
}

impl ChildrenElsewhere {
    /// Into that of the process that `first` refers to.
    ///
    /// # Errors
    /// As open(2) of `/proc/self/ns/pid`, setns(2).
    pub fn with(first: BorrowedFd<'_>) -> io::Result<Self> {
        let own = std::fs::File::open("/proc/self/ns/pid")?.into();
        enter(Namespace::Pid, first)?;
        Ok(Self { own })
    }
}

impl Drop for ChildrenElsewhere {
    fn drop(&mut self) {
        // A process may always go back to the namespace that it is in itself.
        let _ = enter(Namespace::Pid, self.own.as_fd());
    }
}

/// A child of this process.
#[derive(Debug)]
pub struct Child {
    /// Its pid, as this process sees it.
    pub pid: u32,
    /// Refers to it even after the pid has been given to another.
    pub pidfd: OwnedFd,
}

/// A process that had one thread when it was asked, and starts none afterwards: of several, a copy may hold locks for
/// ever that the others held.
#[derive(Debug, Clone, Copy)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Asks the kernel. Each thread has a directory, and the link count of a directory is two and its subdirectories.
    ///
    /// # Errors
    /// `EBUSY` if there are more; as stat(2) of `/proc/self/task`.
    pub fn check() -> io::Result<Self> {
        match std::fs::metadata("/proc/self/task")?.nlink() {
            3 => Ok(Self(())),
            _ => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        }
    }
}

/// Makes a child in the cgroup2 directory `cgroup` that runs `body`, which execs, or comes back with an exit code. The
/// memory of the child is a copy, as with fork(2). SIGCHLD tells of its end.
///
/// # Errors
/// As clone3(2).
pub fn spawn(
    _single_threaded: SingleThreaded,
    namespaces: impl IntoIterator<Item = Namespace>,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> i32,
) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    let namespaces = namespaces.into_iter().fold(0, |flags, namespace| flags | namespace.flag());
    // SAFETY: all-zero is a valid value of this plain structure of numbers.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (libc::CLONE_PIDFD | namespaces) as u64;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of::<libc::clone_args>();
    std::hint::black_box(&mut pidfd);
    // SAFETY: `arguments` and `pidfd` are live; no CLONE_VM, so the child has a copy of everything; this process has one
    // thread, so no lock can be held by a thread that the copy lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    match pid {
        // SAFETY: ends this copy at once, without what the original has registered for its own end.
        0 => unsafe { libc::_exit(body()) },
        ..0 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has put a new descriptor there that nobody else owns.
        pid => Ok(Child { pid: pid as u32, pidfd: unsafe { OwnedFd::from_raw_fd(std::hint::black_box(pidfd)) } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_none_that_may_be_copied() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().is_err());

        let error = SingleThreaded::check().expect_err("there are two threads");

        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        drop(hold);
        assert!(thread.join().unwrap());
    }
}
