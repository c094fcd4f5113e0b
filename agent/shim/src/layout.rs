//! The files in a shim's directory. It belongs to root, mode 0700, on a file system that does not outlive a boot.

use std::path::{Path, PathBuf};

/// Two lines, written by the daemon before the shim: the pod's UID and the container's name.
pub const IDENTITY: &str = "identity";
/// Held with flock by the shim as long as it lives.
pub const LOCK: &str = "lock";
/// The shim's socket.
pub const SOCKET: &str = "sock";
/// Where one attaches to the newest attempt.
pub const ATTACH: &str = "attach";
/// The newest attempt: an `AttemptRecord`.
pub const ATTEMPT: &str = "attempt";
/// What was read of the service's output and is not in the log yet.
pub const JOURNAL: &str = "journal";

/// In a pod's directory: which process is the first of its PID namespace, as its pid and the time of its start.
pub const PAUSE_RECORD: &str = "pause";
/// In a pod's directory: the empty root of that process.
pub const PAUSE_ROOT: &str = "pause-root";
/// What the newest attempt's service has said of itself: a `Heard`.
pub const HEARD: &str = "heard";
/// The directory that holds nothing but the socket for it; the view shows it to the service.
pub const NOTIFY: &str = "notify";
/// The socket's name in there.
pub const NOTIFY_SOCKET: &str = "socket";
/// What the names of exit records begin with.
pub const EXIT: &str = "exit-";

/// How an attempt ended: an `ExitRecord`.
#[must_use]
pub fn exit_record(directory: &Path, attempt: u32) -> PathBuf {
    directory.join(format!("{EXIT}{attempt}"))
}

/// The FIFO that is an attempt's stdin, where it has one.
#[must_use]
pub fn stdin(directory: &Path, attempt: u32) -> PathBuf {
    directory.join(format!("{attempt}.in"))
}

/// The FIFO that is an attempt's stdout.
#[must_use]
pub fn stdout(directory: &Path, attempt: u32) -> PathBuf {
    directory.join(format!("{attempt}.out"))
}

/// The FIFO that is an attempt's stderr.
#[must_use]
pub fn stderr(directory: &Path, attempt: u32) -> PathBuf {
    directory.join(format!("{attempt}.err"))
}

/// Exit code of a shim whose directory another shim has (`EX_TEMPFAIL`).
pub const EXIT_LOCKED: u8 = 75;
/// Exit code of a shim that was called wrongly (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// Exit code of a shim that could not begin or go on (`EX_OSERR`).
pub const EXIT_FAILED: u8 = 71;
