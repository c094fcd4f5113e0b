//! What can go wrong with a control plane.

use std::io;
use std::process::ExitStatus;

use crate::peers::NotBuilt;
use crate::process::ProcessError;
use crate::wait::WaitedInVain;

/// What went wrong with a control plane.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file or directory.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A server is not built.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A key or certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// What TLS is made of.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A server ended by itself.
    #[error("{server} ended with {status}; its last words:\n{words}")]
    Ended {
        /// Its name.
        server: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        words: String,
    },
    /// Something is asked of a server that does not run.
    #[error("{0} does not run: it was killed and not started again")]
    NotRunning(&'static str),
    /// Something did not come to pass.
    #[error("{0}\n{1}")]
    Vain(WaitedInVain, String),
    /// kubectl was refused.
    #[error("kubectl {args} ended with {status}: {stderr}")]
    Refused {
        /// Its arguments.
        args: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// An answer is no JSON.
    #[error("an answer is no JSON")]
    Json(#[from] serde_json::Error),
}
