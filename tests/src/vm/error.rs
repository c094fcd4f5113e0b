//! What can go wrong with a guest, and where its console tells more.

use std::io;
use std::path::PathBuf;

use super::image::ImageError;
use super::link::LinkError;
use super::qemu::QemuError;
use barepod_test_programs::wire::Outcome;

/// A failure, and the console of the guest it happened to.
#[derive(Debug, thiserror::Error)]
#[error("{failure}{}", console.as_ref().map(|path| format!("; console: {}", path.display())).unwrap_or_default())]
pub struct VmError {
    /// What failed.
    #[source]
    pub failure: Failure,
    /// The guest's console, where there is a guest.
    pub console: Option<PathBuf>,
}

impl From<Failure> for VmError {
    fn from(failure: Failure) -> Self {
        Self { failure, console: None }
    }
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no image.
    #[error("no image: {0}")]
    Image(#[source] ImageError),
    /// QEMU did not start or did not end.
    #[error("qemu: {0}")]
    Qemu(#[source] QemuError),
    /// The agent cannot be reached.
    #[error("agent: {0}")]
    Link(#[source] LinkError),
    /// The console's file.
    #[error("console: {0}")]
    Console(#[source] io::Error),
    /// The guest's scratch directory.
    #[error("scratch directory: {0}")]
    Scratch(#[source] io::Error),
    /// A file of the host that was to be copied into the guest.
    #[error("{0}")]
    HostFile(#[source] io::Error),
    /// The agent could not do what it was asked.
    #[error("{why}")]
    Refused {
        /// The agent's words.
        why: String,
    },
    /// A program that had to succeed did not.
    #[error("`{program}` ended with {outcome:?}: {said}")]
    Command {
        /// With its arguments.
        program: String,
        /// How it ended.
        outcome: Outcome,
        /// What it wrote.
        said: String,
    },
}
