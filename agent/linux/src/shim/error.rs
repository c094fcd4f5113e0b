//! Why a shim cannot be reached.

use std::io;
use std::path::PathBuf;

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
    /// It does not listen.
    #[error("the shim at {} does not answer", socket.display())]
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
