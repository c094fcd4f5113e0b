//! The plugin's socket, which its user alone can reach.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::UnixListener;

/// `sockaddr_un.sun_path` with its final zero.
const LONGEST: usize = 107;

/// A socket that listens. Both it and its directory are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    pub(crate) path: PathBuf,
    /// Of mode 0700: there is no moment at which another user could connect.
    _directory: TempDir,
}

impl Socket {
    /// # Errors
    /// The directory is not writable, or its path is too long for a socket.
    pub(crate) fn bind(within: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", within.display()));
        let private = std::fs::Permissions::from_mode(0o700);
        let directory =
            tempfile::Builder::new().prefix("plugin").permissions(private).tempdir_in(within).map_err(named)?;
        let path = directory.path().join("socket");
        let length = path.as_os_str().len();
        if length > LONGEST {
            let message = format!(
                "{} has {length} bytes, and a socket's path may have {LONGEST}: set PLUGIN_UNIX_SOCKET_DIR or TMPDIR to a \
                 shorter directory",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = UnixListener::bind(&path).map_err(named)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(named)?;
        Ok(Self { listener, path, _directory: directory })
    }
}

/// Where sockets of plugins go.
pub(crate) fn directory() -> PathBuf {
    match std::env::var_os("PLUGIN_UNIX_SOCKET_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => directory.into(),
        None => std::env::temp_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_its_user_can_reach_the_socket_and_it_leaves_nothing() {
        let within = tempfile::tempdir().expect("a directory");
        let socket = Socket::bind(within.path()).expect("a socket");
        let parent = socket.path.parent().expect("it is in a directory");
        assert_eq!((mode(&socket.path), mode(parent)), (0o600, 0o700));
        drop(socket);
        assert_eq!(std::fs::read_dir(within.path()).expect("it is there").count(), 0);
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_refused_with_the_likely_fix() {
        let within = tempfile::tempdir().expect("a directory");
        let deep = within.path().join("d".repeat(100));
        std::fs::create_dir(&deep).expect("made");
        let error = Socket::bind(&deep).expect_err("too long").to_string();
        assert!(error.contains("107") && error.contains("PLUGIN_UNIX_SOCKET_DIR"), "{error}");
    }
}
