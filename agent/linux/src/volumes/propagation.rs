//! Whether what is mounted below a directory reaches other mount namespaces.

use std::path::Path;

use super::error::{VolumeError, at};
use super::title;
use crate::disk;

/// kubelet's check (`ensureShared` of containerd's and CRI-O's): what is no shared mount here would let nothing out, in silence.
pub(super) fn check(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let failed = |cause| at(&title(volume), path, cause);
    let path = path.canonicalize().map_err(failed)?;
    let mounts = disk::mounts(Path::new("/proc/self/mountinfo")).map_err(failed)?;
    match disk::below(&mounts, &path) {
        Some(mount) if !mount.is_shared => {
            Err(VolumeError::NotShared { volume: volume.to_owned(), path, mount: mount.point.clone() })
        }
        _ => Ok(()),
    }
}
