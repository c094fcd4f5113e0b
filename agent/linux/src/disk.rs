//! What a directory lies on: the mount, and how much of its file system is left.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use procfs::FromRead as _;

/// A mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// What is mounted: a device, or what the file system makes of that.
    pub source: String,
    /// The file system's type.
    pub file_system: String,
    /// Options of the mount and of its file system, as `/proc/mounts` has them.
    pub options: BTreeSet<String>,
    /// What is mounted below it appears in other mount namespaces as well.
    pub is_shared: bool,
}

/// How much of a file system is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes there are.
    pub bytes: u64,
    /// Bytes that can be had without being root.
    pub bytes_available: u64,
    /// Inodes there are; 0 where the file system does not count them.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// The mounts in this table of the kernel's (`/proc/PID/mountinfo`), as they were made.
///
/// # Errors
/// It cannot be read or understood.
pub fn mounts(table: &Path) -> io::Result<Vec<Mount>> {
    let table = procfs::process::MountInfos::from_file(table).map_err(io::Error::other)?;
    Ok(table.into_iter().map(mount).collect())
}

fn mount(info: procfs::process::MountInfo) -> Mount {
    let options = info.mount_options.into_iter().chain(info.super_options);
    let option = |(name, value): (String, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name,
    };
    Mount {
        point: info.mount_point,
        source: info.mount_source.unwrap_or_default(),
        file_system: info.fs_type,
        options: options.map(option).collect(),
        is_shared: info.opt_fields.iter().any(|field| matches!(field, procfs::process::MountOptFields::Shared(_))),
    }
}

/// The mount that `path` lies on, which has no symbolic links in it: of two at one place the later one covers the other.
#[must_use]
pub fn below<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let over = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    over.max_by_key(|mount| mount.point.components().count())
}

/// How much is left at `path`, which exists.
///
/// # Errors
/// As statvfs(3).
pub fn space(path: &Path) -> io::Result<Space> {
    let found = statvfs(path)?;
    Ok(Space {
        bytes: found.blocks() * found.fragment_size(),
        bytes_available: found.blocks_available() * found.fragment_size(),
        inodes: found.files(),
        inodes_free: found.files_available(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_on_the_nearest_mount_above_it_and_the_later_one_of_two() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("mountinfo");
        let text = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                    2 1 8:2 / /var/lib ro,noatime - xfs /dev/sdb rw,attr2,logbufs=8\n\
                    3 2 0:30 / /var/lib rw - tmpfs tmpfs rw,size=4k\n";
        std::fs::write(&table, text).unwrap();
        let mounts = mounts(&table).unwrap();
        let of = |path: &str| below(&mounts, Path::new(path)).unwrap();
        assert_eq!((of("/var/log").source.as_str(), of("/var/log").file_system.as_str()), ("/dev/sda1", "ext4"));
        assert_eq!(of("/var/lib/barepod").file_system, "tmpfs");
        assert!(of("/var/log").is_shared && !of("/var/lib").is_shared);
        assert!(mounts[1].options.contains("ro") && mounts[1].options.contains("logbufs=8"));
        assert_eq!(of("/var/libs").source, "/dev/sda1", "a name that begins alike is another directory");
    }

    #[test]
    fn a_real_directory_has_space() {
        let space = space(Path::new("/")).unwrap();
        assert!(space.bytes >= space.bytes_available && space.bytes > 0);
    }
}
