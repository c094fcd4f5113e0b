//! The guest's serial console: a file in the cache that outlives a failed test.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{Failure, VmError};

/// So many consoles of failed guests are kept; older ones go.
const KEPT: usize = 30;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The file that QEMU writes the console to.
#[derive(Debug)]
pub(super) struct Console(PathBuf);

impl Console {
    /// A new empty file in `<cache>/vm/console`.
    pub(super) fn create() -> io::Result<Self> {
        let directory = crate::cache::directory().join("vm/console");
        fs_err::create_dir_all(&directory)?;
        prune(&directory, KEPT)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}-{number}.log", std::process::id()));
        fs_err::File::create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The failure with this console beside it.
    pub(super) fn blame(&self, failure: Failure) -> VmError {
        VmError { failure, console: Some(self.0.clone()) }
    }

    /// Nobody will want to read it.
    pub(super) fn discard(&self) -> io::Result<()> {
        fs_err::remove_file(&self.0)
    }
}

fn prune(directory: &Path, keep: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        // Another test may remove its console at this moment; then there is nothing to prune.
        if let Ok(metadata) = entry.metadata() {
            files.push((metadata.modified()?, entry.path()));
        }
    }
    files.sort();
    for (_, path) in files.iter().rev().skip(keep) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_consoles_are_kept() {
        let scratch = crate::Scratch::new().unwrap();
        let now = std::time::SystemTime::now();
        for age in 0..5 {
            let file = std::fs::File::create(scratch.join(age.to_string())).unwrap();
            file.set_modified(now - std::time::Duration::from_secs(age)).unwrap();
        }

        prune(scratch.path(), 2).unwrap();

        let mut left: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0", "1"]);
    }
}
