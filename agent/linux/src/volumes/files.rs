//! Files made for a container: those of its preset, and those of `/etc` that name it and its network.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use barepod_model::{Credentials, Launch, RenderedFile};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use super::error::{VolumeError, at};
use super::remove;
use crate::view::{Manner, Place, Placement};

/// Writes all of them anew into `directory`, which only root can enter, and says where they go.
pub(super) fn write(
    directory: &Path,
    launch: &Launch,
    placements: &[Placement],
    etc: [(&str, RenderedFile); 3],
) -> Result<Vec<Placement>, VolumeError> {
    remove::tree(directory)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| at("files made for the container", directory, source))?;
    let mut written = Vec::new();
    for (number, file) in launch.files.iter().enumerate() {
        let source = directory.join(number.to_string());
        written.push(write_one(source, file, &launch.user)?);
    }
    for (name, file) in etc {
        if wants(&file.path, placements, &written) {
            written.push(write_one(directory.join(name), &file, &Credentials { uid: 0, gid: 0, groups: Vec::new() })?);
        }
    }
    Ok(written)
}

fn write_one(source: PathBuf, file: &RenderedFile, owner: &Credentials) -> Result<Placement, VolumeError> {
    let what = format!("file {}", file.path.display());
    write_file(&source, file, owner).map_err(|cause| at(&what, &source, cause))?;
    Ok(Placement {
        what,
        source,
        within: None,
        path: file.path.clone(),
        place: Place::File,
        read_only: true,
        devices: false,
        manner: Manner::default(),
    })
}

/// Closed to everybody until it belongs to its reader.
fn write_file(path: &Path, file: &RenderedFile, owner: &Credentials) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    opened.write_all(file.contents.as_bytes())?;
    fchown(&opened, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(&opened, Mode::from_bits_truncate(file.mode))?;
    Ok(())
}

/// Not where the pod has put something of its own, and not in a volume over `/etc`.
fn wants(path: &Path, placements: &[Placement], written: &[Placement]) -> bool {
    !placements.iter().chain(written).any(|placement| path.starts_with(&placement.path))
}
