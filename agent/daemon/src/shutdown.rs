//! Whether the host goes down, kept over the daemon's own life: in a file where only this boot finds it.

use std::io;
use std::path::{Path, PathBuf};

use barepod_model::BootId;

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    path: PathBuf,
    boot: BootId,
}

impl Marker {
    /// In the directory for what lasts as long as the host is up.
    pub(crate) fn new(run: &Path, boot: &BootId) -> Self {
        Self { path: run.join("shutdown"), boot: boot.clone() }
    }

    /// Whether the host goes down. What was written under another boot is of no account, wherever it has survived.
    pub(crate) fn is_set(&self) -> bool {
        fs_err::read_to_string(&self.path).is_ok_and(|boot| boot == self.boot.0)
    }

    /// Writes down that it does, or that it does not.
    ///
    /// # Errors
    /// The file cannot be written or removed.
    pub(crate) fn set(&self, goes_down: bool) -> io::Result<()> {
        if goes_down {
            return fs_err::write(&self.path, &self.boot.0);
        }
        match fs_err::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_is_remembered_for_as_long_as_the_host_is_up() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker::new(dir.path(), &BootId("this".to_owned()));
        assert!(!marker.is_set());
        marker.set(true).unwrap();
        assert!(marker.is_set());
        assert!(!Marker::new(dir.path(), &BootId("the next".to_owned())).is_set());
        marker.set(false).unwrap();
        marker.set(false).unwrap();
        assert!(!marker.is_set());
    }
}
