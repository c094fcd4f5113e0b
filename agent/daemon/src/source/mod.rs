//! Where pods come from.

mod directory;
mod file;

pub(crate) use file::{FileError, FileSource, Files, PodOutcome};
