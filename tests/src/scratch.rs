//! Scratch places: directories with short paths, and ports that are free.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory of its own for one test, removed with all it holds at the end. The path is short, because a unix socket's
/// path must fit 108 bytes, and open to every user, because services run as users of their own.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new directory where temporary files go, its name `bp-` and some letters, of mode 0755.
    pub fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// The same in another directory.
    pub fn within(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o755);
        tempfile::Builder::new().prefix("bp-").permissions(mode).tempdir_in(directory).map(Self)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path inside; nothing is created.
    pub fn join(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(below)
    }
}

/// A TCP port of the loopback address that nobody listened on a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_open_to_all_and_gone_afterwards() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(scratch.join("file"), "content").unwrap();

        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        drop(scratch);

        assert!(!path.exists());
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();

        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
