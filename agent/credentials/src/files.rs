//! Files with secrets: for their owner alone, and written in one stroke.

use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use fs_err as fs;
use nix::unistd::{Gid, Uid, User};
use serde::Deserialize;

/// Whom files are given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    uid: Uid,
    gid: Gid,
}

/// The bridge's user, where barepod.yaml names no other.
const BRIDGE: &str = "barepod";

/// What barepod.yaml says of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Configuration {
    bridge_user: Option<String>,
}

impl Owner {
    /// The bridge's user, where there is one and this process may give files away.
    pub fn bridge(configuration: &Path) -> Option<Self> {
        let text = read(configuration).ok().flatten().unwrap_or_default();
        let configuration: Configuration = serde_saphyr::from_str(&text).unwrap_or_default();
        let name = configuration.bridge_user.unwrap_or_else(|| BRIDGE.to_owned());
        let user = User::from_name(&name).ok().flatten().filter(|_| Uid::effective().is_root())?;
        Some(Self { uid: user.uid, gid: user.gid })
    }

    fn give(self, path: &Path) -> io::Result<()> {
        Ok(nix::unistd::chown(path, Some(self.uid), Some(self.gid))?)
    }
}

/// Makes a directory that only its owner may enter, with those above it. One that is there stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn make_directory(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    owner.map_or(Ok(()), |owner| owner.give(path))
}

/// Writes a file, 0600: whoever reads it finds all of the old one or all of the new one, also after a power cut.
///
/// # Errors
/// It cannot be written, or given away.
pub fn write(path: &Path, text: &str, owner: Option<Owner>) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // One that a process left behind may be of another mode.
    remove(new)?;
    let mut file =
        fs::OpenOptions::from_options(std::fs::File::options().write(true).create_new(true).mode(0o600).clone())
            .open(new)?;
    file.write_all(text.as_bytes())?;
    if let Some(owner) = owner {
        owner.give(new)?;
    }
    file.sync_all()?;
    fs::rename(new, path)?;
    match path.parent() {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file; whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a file, if there is one.
///
/// # Errors
/// There is one, and it cannot be read.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a/b");
        make_directory(&below, None).unwrap();
        let path = below.join("file");
        for text in ["one", "two"] {
            // As left behind by somebody who died.
            std::fs::write(below.join("file.new"), "rest").unwrap();
            write(&path, text, None).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&below)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);
    }
}
