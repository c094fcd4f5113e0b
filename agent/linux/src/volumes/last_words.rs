//! The file in which a container leaves its last words (`terminationMessagePath`).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use barepod_model::{Attempt, ContainerKey, TerminationMessage};

use super::error::{VolumeError, at};
use super::private;
use crate::Dirs;
use crate::view::{Manner, Place, Placement};

/// kubelet's `MaxContainerTerminationMessageLength`.
const MAX: u64 = 4096;

/// Makes the file anew, empty and writable for whoever the container runs as. Where the pod has put something of its own at
/// that path, that stays.
pub(super) fn place(
    source: &Path,
    message: &TerminationMessage,
    placements: &[Placement],
) -> Result<Option<Placement>, VolumeError> {
    if placements.iter().any(|placement| placement.path == message.path) {
        return Ok(None);
    }
    let what = format!("terminationMessagePath {}", message.path.display());
    make(source).map_err(|cause| at(&what, source, cause))?;
    Ok(Some(Placement {
        what,
        source: source.to_owned(),
        within: None,
        path: message.path.clone(),
        place: Place::File,
        read_only: false,
        devices: false,
        manner: Manner::default(),
    }))
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        private(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o666))
}

/// What the container has written, as far as it is shown; empty if there is nothing.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(dirs: &Dirs, key: &ContainerKey, attempt: Attempt) -> io::Result<String> {
    let mut text = Vec::new();
    match File::open(dirs.termination_log(key, attempt)) {
        Ok(file) => file.take(MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}
