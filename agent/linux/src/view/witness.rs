//! What a plan rests on, so that one made beforehand is used only while it is still right.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use barepod_shim::wire::View;

use super::host_dirs::{Host, HostDirs, HostMount, Node};
use super::plan::{Request, ViewError, plan};

/// The files and directories that were read, and when they had last changed. Of what was only looked at (the way to a
/// mount point, the target of a link) nothing is kept: it is part of how a host is set up, and a view that does not fit any
/// more fails to be made rather than showing something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness(BTreeMap<PathBuf, Option<SystemTime>>);

impl Witness {
    /// Whether none of it has changed since. Mounts are not among it: whoever asks watches the kernel's list.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.iter().all(|(path, then)| changed(path) == *then)
    }

    /// Adds a file that was read besides.
    #[must_use]
    pub fn and(mut self, path: &Path) -> Self {
        self.0.insert(path.to_owned(), changed(path));
        self
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Makes a plan of this host, with what it rests on.
///
/// # Errors
/// As [`plan`].
pub fn plan_witnessed(request: &Request<'_>) -> Result<(View, Witness), ViewError> {
    let watched = Watched::default();
    let view = plan(&watched, request)?;
    Ok((view, Witness(watched.read.into_inner())))
}

/// The host, with a note of each directory that is read.
#[derive(Default)]
struct Watched {
    read: RefCell<BTreeMap<PathBuf, Option<SystemTime>>>,
}

impl HostDirs for Watched {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        Host.node(path)
    }

    fn entries(&self, directory: &Path, unseen: &BTreeSet<PathBuf>) -> io::Result<Vec<(OsString, Node)>> {
        self.read.borrow_mut().insert(directory.to_owned(), changed(directory));
        Host.entries(directory, unseen)
    }

    fn mounts(&self) -> io::Result<Vec<HostMount>> {
        Host.mounts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_does_not_hold_when_a_directory_it_was_made_from_has_changed() {
        let scratch = tempfile::tempdir().unwrap();
        let watched = Watched::default();
        watched.entries(scratch.path(), &BTreeSet::new()).unwrap();
        let witness = Witness(watched.read.into_inner());

        assert!(witness.holds());
        fs::write(scratch.path().join("new"), "").unwrap();

        assert!(!witness.holds());
    }

    #[test]
    fn a_file_that_appears_or_goes_is_a_change() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("resolv.conf");
        let witness = Witness(BTreeMap::new()).and(&file);

        assert!(witness.holds());
        fs::write(&file, "").unwrap();

        assert!(!witness.holds());
    }
}
