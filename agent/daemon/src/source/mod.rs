//! Where pods come from.

mod apply;
mod directory;
mod file;
mod index;

pub(crate) use apply::{ObjectOutcome, PodOutcome};
pub(crate) use file::{FileError, FileSource, Files};
