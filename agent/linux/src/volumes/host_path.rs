//! `hostPath` volumes, checked as Kubernetes checks them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use barepod_model::HostPathType;

use super::error::{VolumeError, at, refused};
use super::{Warnings, links, title};
use crate::Dirs;

/// Makes and checks what the type says. A path without a type that does not exist becomes a directory, as container
/// runtimes have it, with a warning: it is often a mistyped path.
pub(super) fn check(dirs: &Dirs, volume: &str, path: &Path, kind: HostPathType) -> Result<Warnings, VolumeError> {
    if !path.is_absolute() {
        return Err(refused(volume, "a hostPath must be absolute"));
    }
    refuse_own(dirs, volume, path)?;
    links::check(volume, path)?;
    let failed = |source| at(&title(volume), path, source);
    let mut warnings = Warnings::new();
    if !path.try_exists().map_err(failed)? {
        match kind {
            HostPathType::DirectoryOrCreate => make_directory(path).map_err(failed)?,
            HostPathType::FileOrCreate => make_file(path).map_err(failed)?,
            HostPathType::Unset => {
                make_directory(path).map_err(failed)?;
                warnings.push(format!(
                    "volume {volume:?}: hostPath {} did not exist and was made as a directory; set hostPath.type if it must exist",
                    path.display()
                ));
            }
            HostPathType::Directory
            | HostPathType::File
            | HostPathType::Socket
            | HostPathType::CharDevice
            | HostPathType::BlockDevice => {}
        }
    }
    check_type(volume, path, kind)?;
    Ok(warnings)
}

/// Where the path really leads, which must not be into barepod's own directories.
pub(super) fn real(dirs: &Dirs, volume: &str, path: &Path) -> Result<PathBuf, VolumeError> {
    links::check(volume, path)?;
    let real = fs::canonicalize(path).map_err(|source| at(&title(volume), path, source))?;
    refuse_own(dirs, volume, &real)?;
    Ok(real)
}

fn refuse_own(dirs: &Dirs, volume: &str, path: &Path) -> Result<(), VolumeError> {
    let lies_in = |own: &PathBuf| path.starts_with(own);
    match dirs.secret().into_iter().find(lies_in) {
        None => Ok(()),
        Some(own) => Err(VolumeError::OwnDirectory { volume: volume.to_owned(), path: path.to_owned(), own }),
    }
}

fn check_type(volume: &str, path: &Path, kind: HostPathType) -> Result<(), VolumeError> {
    let found = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(at(&title(volume), path, error)),
    };
    let is = |check: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(check);
    let (fits, expected, hint) = match kind {
        HostPathType::Unset => return Ok(()),
        HostPathType::DirectoryOrCreate | HostPathType::Directory => {
            (is(fs::FileType::is_dir), "directory", "make it, or use type DirectoryOrCreate")
        }
        HostPathType::FileOrCreate | HostPathType::File => {
            (is(fs::FileType::is_file), "file", "make it, or use type FileOrCreate")
        }
        HostPathType::Socket => (is(FileTypeExt::is_socket), "socket", "start the service that listens on it"),
        HostPathType::CharDevice => (is(FileTypeExt::is_char_device), "character device", "check the device's path"),
        HostPathType::BlockDevice => (is(FileTypeExt::is_block_device), "block device", "check the device's path"),
    };
    if fits {
        return Ok(());
    }
    Err(VolumeError::HostPathType { volume: volume.to_owned(), path: path.to_owned(), expected, hint })
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Not its directory: Kubernetes does not make that either.
fn make_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map(drop)
}
