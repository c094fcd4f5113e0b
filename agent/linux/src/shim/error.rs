//! Why a shim cannot be reached.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use barepod_shim::wire::FrameError;

/// Why a shim cannot be started or spoken with.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// Its directory or its files there.
    #[error("cannot prepare the shim's directory {}", path.display())]
    Directory {
        /// What was to be made.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its group.
    #[error("cannot open the shims' group {}", path.display())]
    Cgroup {
        /// The group.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It cannot be executed.
    #[error("cannot start {}: is barepod installed whole?", program.display())]
    Start {
        /// The binary.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It ended before it listened.
    #[error("the shim ended before it listened; see {}", log.display())]
    Ended {
        /// Where it says why.
        log: PathBuf,
    },
    /// It lives and does nothing.
    #[error(
        "the shim at {} did not answer within {patience:?}: it may be stopped (SIGCONT wakes it) or wait for its disk",
        socket.display()
    )]
    Hung {
        /// Its socket.
        socket: PathBuf,
        /// How long it had.
        patience: Duration,
    },
    /// It does not listen.
    #[error("no shim listens at {}", socket.display())]
    Silent {
        /// Its socket.
        socket: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the shim broke")]
    Broken(#[source] io::Error),
    /// It sent what is no frame.
    #[error("the shim sent something that is no message")]
    Frame(#[from] FrameError),
    /// It did not introduce itself.
    #[error("the shim did not say Welcome")]
    NoWelcome,
}
