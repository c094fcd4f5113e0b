//! Where pods come from.

mod apply;
mod cluster;
mod directory;
mod file;
mod index;

pub(crate) use apply::{ObjectOutcome, PodOutcome};
pub(crate) use cluster::{BindError, Bound, ClusterSource, Grace, Node};
pub(crate) use file::{FileError, FileSource, Files};
