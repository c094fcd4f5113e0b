//! What a task does by this very program: it looks where it is, and times one write.

use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use barepod_linux::disk;
use serde::{Deserialize, Serialize};

/// What a directory lies on, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    /// Of its files (st_dev).
    pub(crate) device: String,
    pub(crate) file_system: String,
    pub(crate) source: String,
}

/// Looks by stat(2) and the table of mounts.
pub(crate) fn look(directory: &Path) -> Result<Place> {
    let path = fs_err::canonicalize(directory)?;
    let device = fs_err::metadata(&path)?.dev();
    let mounts = disk::mounts(Path::new("/proc/self/mountinfo")).context("the table of mounts cannot be read")?;
    let mount = disk::below(&mounts, &path).with_context(|| format!("{} lies on no mount", path.display()))?;
    Ok(Place {
        device: format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device)),
        file_system: mount.file_system.clone(),
        source: mount.source.clone(),
    })
}

const BLOCK: usize = 8192;

/// From before a file is opened until its first block is written and safe.
pub(crate) fn first_write(file: &Path) -> io::Result<Duration> {
    let block = [b'x'; BLOCK];
    let begin = Instant::now();
    let file = fs_err::OpenOptions::new().write(true).open(file)?;
    file.file().write_all_at(&block, 0)?;
    file.file().sync_data()?;
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_on_something_and_the_first_write_keeps_the_file_s_size() {
        let dir = tempfile::tempdir().unwrap();
        let place = look(dir.path()).unwrap();
        assert!(place.device.contains(':') && !place.file_system.is_empty(), "{place:?}");

        let file = dir.path().join("file");
        assert_eq!(first_write(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&file, vec![0; 3 * BLOCK]).unwrap();
        assert!(first_write(&file).unwrap() > Duration::ZERO);
        let text = std::fs::read(&file).unwrap();
        assert_eq!((text.len(), text[0], text[BLOCK]), (3 * BLOCK, b'x', 0));
    }
}
