//! The manifests directory as it is at one moment, and what a difference between two moments proves.
//!
//! Absence proves little: a directory that is missing, unreadable, replaced by another, or emptied at once says nothing
//! about its pods. Only one thing is evidence of deletion: this file is gone while its directory is there, the same one as
//! before, readable, and not emptied in one stroke.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest manifest file that is read; etcd takes no larger object either (1.5 MiB by default).
const MAX_FILE: u64 = 1 << 20;

/// Which directory this is: device and inode. Another file system mounted over it, or its removal, changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// The directory at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) identity: Identity,
    /// What is in them, by path, or why a file cannot be read.
    pub(crate) files: BTreeMap<PathBuf, Result<Contents, String>>,
}

/// A file's contents.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) text: String,
    /// User id of its owner.
    pub(crate) owner: u32,
}

/// Reads the directory.
///
/// # Errors
/// It is missing or cannot be read, which says nothing about its files.
pub(crate) fn read(dir: &Path) -> io::Result<Snapshot> {
    let identity = identity(dir)?;
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if is_manifest(&path) {
            let contents = contents(&path).map_err(|e| e.to_string());
            files.insert(path, contents);
        }
    }
    Ok(Snapshot { identity, files })
}

/// Which directory `dir` is.
///
/// # Errors
/// It is missing or is none.
pub(crate) fn identity(dir: &Path) -> io::Result<Identity> {
    let meta = fs_err::metadata(dir)?;
    if !meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a directory", dir.display())));
    }
    Ok(Identity(meta.dev(), meta.ino()))
}

/// Editors' and package managers' leavings are passed over: hidden files, `~`, `.dpkg-old`.
fn is_manifest(path: &Path) -> bool {
    let hidden = path.file_name().and_then(OsStr::to_str).is_none_or(|name| name.starts_with('.'));
    let known = path.extension().and_then(OsStr::to_str).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"));
    known && !hidden
}

fn contents(path: &Path) -> io::Result<Contents> {
    let file = fs_err::File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("{} is larger than {MAX_FILE} bytes", path.display())));
    }
    Ok(Contents { text, owner: meta.uid() })
}

/// What the absence of files that were there before proves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Each of them was removed.
    Removed,
    /// Nothing: the directory is another one, or was emptied at once.
    Unknown,
}

/// Judges files that are gone. `remaining` is the number of manifests still there.
pub(crate) fn judge(before: Identity, now: Identity, gone: usize, remaining: usize) -> Absence {
    let emptied_at_once = remaining == 0 && gone > 1;
    if before == now && !emptied_at_once { Absence::Removed } else { Absence::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_manifests_are_read() {
        for (name, taken) in
            [("a.yaml", true), ("a.yml", true), ("a.json", true), (".a.yaml", false), ("a.yaml~", false), ("a", false)]
        {
            assert_eq!(is_manifest(Path::new(name)), taken, "{name}");
        }
    }

    #[test]
    fn absence_is_evidence_only_in_the_same_directory_that_was_not_emptied_at_once() {
        let (a, b) = (Identity(1, 1), Identity(1, 2));
        assert_eq!(judge(a, a, 1, 5), Absence::Removed);
        assert_eq!(judge(a, a, 1, 0), Absence::Removed, "the only one there was");
        assert_eq!(judge(a, a, 3, 1), Absence::Removed);
        assert_eq!(judge(a, a, 2, 0), Absence::Unknown, "emptied at once");
        assert_eq!(judge(a, b, 1, 5), Absence::Unknown, "another directory");
    }

    #[test]
    fn a_missing_directory_is_an_error_not_an_empty_one() {
        let dir = std::env::temp_dir().join("barepod-no-such-directory");
        assert!(read(&dir).is_err());
    }
}
