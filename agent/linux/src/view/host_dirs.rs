//! What there is on the host, behind a trait so that a plan can be tested without one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link, with its text.
    Link(PathBuf),
    /// Anything else: a file, socket, FIFO or device.
    File,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its permissions, with the set-id and sticky bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Something mounted on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Where.
    pub point: PathBuf,
    /// Its file system, e.g. `ext4`.
    pub file_system: String,
}

/// File systems that may hang, or mount something when they are looked at. None of them is in a view, but as a volume.
const NOT_LOCAL: [&str; 8] = ["afs", "autofs", "ceph", "cifs", "nfs", "nfs4", "smb3", "fuse.sshfs"];

/// Whether looking at what is on a file system of this kind takes no other machine.
pub(super) fn is_of_this_machine(file_system: &str) -> bool {
    !NOT_LOCAL.contains(&file_system)
}

/// Whether a path lies on a file system of this machine; not asked of the path itself, which may hang.
#[must_use]
pub fn is_local(mounts: &[HostMount], path: &Path) -> bool {
    // Of several at one place the last one is seen.
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    let nearest = above.max_by_key(|mount| mount.point.components().count());
    nearest.is_none_or(|mount| is_of_this_machine(&mount.file_system))
}

/// Whoever knows what is on the host.
pub trait HostDirs {
    /// What is at `path`, without following a link at its end; `None` if nothing is.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn node(&self, path: &Path) -> io::Result<Option<Node>>;

    /// The entries of a directory in the order of their names. Those in `unseen` are taken for directories and not looked
    /// at: a file server that is away would let whoever looks wait for it.
    ///
    /// # Errors
    /// It cannot be read.
    fn entries(&self, directory: &Path, unseen: &BTreeSet<PathBuf>) -> io::Result<Vec<(OsString, Node)>>;

    /// Everything mounted, in any order.
    ///
    /// # Errors
    /// The kernel's list cannot be read.
    fn mounts(&self) -> io::Result<Vec<HostMount>>;
}

/// The host itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host;

impl HostDirs for Host {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        match fs::symlink_metadata(path).and_then(|metadata| node(path, &metadata)) {
            Err(error) if is_absent(&error) => Ok(None),
            found => found.map(Some),
        }
    }

    fn entries(&self, directory: &Path, unseen: &BTreeSet<PathBuf>) -> io::Result<Vec<(OsString, Node)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            if unseen.contains(&path) {
                let plain = Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 };
                entries.push((entry.file_name(), plain));
                continue;
            }
            // What vanished since the directory was read is not there.
            if let Some(node) = self.node(&path)? {
                entries.push((entry.file_name(), node));
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    fn mounts(&self) -> io::Result<Vec<HostMount>> {
        let process = procfs::process::Process::myself().map_err(io::Error::other)?;
        let mounts = process.mountinfo().map_err(io::Error::other)?;
        Ok(mounts.into_iter().map(|mount| HostMount { point: mount.mount_point, file_system: mount.fs_type }).collect())
    }
}

fn node(path: &Path, metadata: &fs::Metadata) -> io::Result<Node> {
    let kind = if metadata.is_dir() {
        Kind::Directory
    } else if metadata.is_symlink() {
        Kind::Link(fs::read_link(path)?)
    } else {
        Kind::File
    };
    Ok(Node { kind, mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() })
}

/// A path that leads through a file does not exist either.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_entries_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
        let kinds: Vec<_> =
            Host.entries(dir.path(), &BTreeSet::new()).unwrap().into_iter().map(|(_, node)| node.kind).collect();
        assert_eq!(kinds, [Kind::Directory, Kind::File, Kind::Link("f".into())]);
        assert_eq!(Host.node(&dir.path().join("none")).unwrap(), None);
        assert_eq!(Host.node(&dir.path().join("f/below")).unwrap(), None);
    }

    #[test]
    fn what_lies_on_another_machine_is_known_by_the_mount_that_is_seen_there() {
        let mount =
            |point: &str, file_system: &str| HostMount { point: point.into(), file_system: file_system.to_owned() };
        let mounts = [mount("/", "ext4"), mount("/srv", "nfs4"), mount("/srv/own", "xfs"), mount("/data", "autofs")];
        let mounts = [mounts.as_slice(), &[mount("/data", "xfs")]].concat();
        for (path, expected) in
            [("/var/lib", true), ("/srv", false), ("/srv/db", false), ("/srv/own/db", true), ("/data/db", true)]
        {
            assert_eq!(is_local(&mounts, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn the_root_is_among_the_hosts_mounts() {
        assert!(Host.mounts().unwrap().iter().any(|mount| mount.point == Path::new("/")));
    }
}
