//! File systems that a test mounts: small ones, to be filled.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A tmpfs, unmounted at the end.
#[derive(Debug)]
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts an empty one over a directory, which is made if it is missing.
    ///
    /// # Errors
    /// As mkdir(2), mount(2).
    pub fn over(directory: &Path, bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let options = format!("size={bytes},mode=0755");
        mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
        Ok(Self(directory.to_owned()))
    }

    /// Takes all the space that is left; also what has become free since it was last called.
    ///
    /// # Errors
    /// As write(2), but for the want of space.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(self.ballast())?;
        for length in [4096, 1] {
            while let Err(error) = take(&mut file, length) {
                match error.kind() {
                    io::ErrorKind::StorageFull => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

/// Writes until it fails, which is how it ends.
fn take(file: &mut std::fs::File, length: usize) -> io::Result<()> {
    use io::Write as _;
    let zeros = vec![0; length];
    loop {
        file.write_all(&zeros)?;
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_file_system_takes_nothing_until_it_is_freed() {
        let scratch = crate::Scratch::new().unwrap();
        let small = Tmpfs::over(&scratch.join("small"), 1 << 16).unwrap();

        small.fill().unwrap();
        assert_eq!(std::fs::write(scratch.join("small/x"), "x").unwrap_err().kind(), io::ErrorKind::StorageFull);

        small.free().unwrap();
        std::fs::write(scratch.join("small/x"), "x").unwrap();
    }
}
