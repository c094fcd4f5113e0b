//! Directories in volumes that must belong to the container's user.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barepod_model::{Credentials, OwnedDir};

use super::beneath::Links;
use super::error::{VolumeError, at};
use super::{around, beneath};
use crate::view::Placement;

/// Makes `owned` if it is missing and gives it to `user` if it is empty. What holds somebody else's files is not touched:
/// a wrong chown over a database is worse than a clear error.
pub(super) fn take(placements: &[Placement], owned: &OwnedDir, user: &Credentials) -> Result<(), VolumeError> {
    let Some((placement, rest)) = around(placements, &owned.path) else {
        return Err(VolumeError::NoVolume { path: owned.path.clone() });
    };
    let path = if rest.as_os_str().is_empty() { placement.source.clone() } else { placement.source.join(rest) };
    let failed = |source| at(&placement.what, &path, source);
    let root = open_root(placement).map_err(failed)?;
    let directory = beneath::make(root, rest, owned.mode, user.uid, user.gid).map_err(failed)?;
    let owner = directory.metadata().map_err(failed)?.uid();
    if owner == user.uid {
        return Ok(());
    }
    if !is_empty(&directory).map_err(failed)? {
        return Err(VolumeError::ForeignOwner {
            what: placement.what.clone(),
            path,
            owner,
            wanted: user.uid,
            group: user.gid,
        });
    }
    beneath::give(&directory, owned.mode, user.uid, user.gid).map_err(failed)
}

fn open_root(placement: &Placement) -> std::io::Result<File> {
    match &placement.within {
        None => beneath::root(&placement.source, Links::of(placement)),
        Some(root) => {
            let rest = placement.source.strip_prefix(root).unwrap_or(Path::new(""));
            beneath::directory(beneath::root(root, Links::of(placement))?, rest)?
                .ok_or_else(|| std::io::ErrorKind::NotFound.into())
        }
    }
}

/// Nothing in it but what mkfs leaves on a new disk.
fn is_empty(directory: &File) -> std::io::Result<bool> {
    use std::os::fd::AsRawFd as _;
    for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}
