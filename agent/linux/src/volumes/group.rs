//! `fsGroup`: a pod's volumes are given to its group, by kubelet's rules.
//!
//! Everything in the volume belongs to the group afterwards, may be read and written by it, and directories hand the group
//! on. Volumes that live with the pod and claims are gone through; a `hostPath` is the host's and stays as it is, and so
//! does what is mounted read-only for good. Unlike kubelet's way, a preset's own data are left out: a database that finds
//! its directory open to a group refuses to start.
//!
//! No symbolic link is followed: whoever writes in a volume may put one there at any moment.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use barepod_model::{Container, FsGroup, FsGroupChangePolicy, Pod, Volume, VolumeKind};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmodat, fstat};
use nix::unistd::{Gid, fchownat};

use super::beneath::{self, Links};

/// What the group may do with files and, besides, with directories.
const FILE: u32 = 0o660;
const DIRECTORY: u32 = 0o2770;
/// Directories in each other that are gone through: each holds a descriptor of the daemon's, and a pod can make as many as
/// it likes.
const MAX_DEPTH: usize = 256;

/// Gives a volume that lies at `root` to the group, if it is of a kind that is given away.
pub(super) fn give(pod: &Pod, volume: &Volume, root: &Path) -> io::Result<()> {
    let Some(group) = pod.fs_group.filter(|_| is_given(&volume.kind)) else { return Ok(()) };
    let kept = kept(pod, &volume.name);
    if kept.contains(Path::new("")) || (group.policy == FsGroupChangePolicy::OnRootMismatch && fits(root, group)?) {
        return Ok(());
    }
    let walk = Walk { gid: group.gid, kept };
    walk.directory(beneath::root(root, Links::Trusted)?.into(), Path::new(""), 0)
}

fn is_given(kind: &VolumeKind) -> bool {
    match kind {
        VolumeKind::EmptyDir { .. } | VolumeKind::Claim { read_only: false, .. } => true,
        // Made files get their group as they are made.
        VolumeKind::Claim { read_only: true, .. } | VolumeKind::HostPath { .. } | VolumeKind::Projected(_) => false,
    }
}

/// Directories of the volume that a preset's service owns, by their path in it.
fn kept(pod: &Pod, volume: &str) -> BTreeSet<PathBuf> {
    pod.containers.iter().flat_map(|container| kept_by(container, volume)).collect()
}

fn kept_by<'a>(container: &'a Container, volume: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    container.launch.owned_dirs.iter().filter_map(move |owned| {
        let around = container.launch.mounts.iter().filter(|mount| owned.path.starts_with(&mount.path));
        let mount = around.max_by_key(|mount| mount.path.components().count())?;
        let rest = owned.path.strip_prefix(&mount.path).ok()?;
        (mount.volume == volume).then(|| mount.sub_path.join(rest).components().collect())
    })
}

/// Whether the root is as the walk leaves it, which is then taken for done.
fn fits(root: &Path, group: FsGroup) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(root)?;
    Ok(metadata.gid() == group.gid && metadata.mode() & DIRECTORY == DIRECTORY)
}

/// What is in a directory that is opened in any way.
fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut names = Vec::new();
    for entry in Dir::from_fd(openat(directory, ".", flags, Mode::empty())?)?.iter() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

struct Walk {
    gid: u32,
    kept: BTreeSet<PathBuf>,
}

impl Walk {
    /// What is in a directory first, itself last: a walk that was cut short is done again (`OnRootMismatch`).
    fn directory(&self, directory: OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            let message = format!("fsGroup: directories lie in each other more than {MAX_DEPTH} deep");
            return Err(io::Error::other(message));
        }
        for name in names(&directory)? {
            let name = Path::new(OsStr::from_bytes(name.as_bytes()));
            if !self.kept.contains(&path.join(name)) {
                self.entry(&directory, name, &path.join(name), depth + 1)?;
            }
        }
        self.one(&directory, DIRECTORY)
    }

    fn entry(&self, parent: impl AsFd, name: &Path, path: &Path, depth: usize) -> io::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let entry = match openat(parent, name, flags, Mode::empty()) {
            // Gone since it was listed.
            Err(nix::errno::Errno::ENOENT) => return Ok(()),
            entry => entry?,
        };
        match SFlag::from_bits_truncate(fstat(&entry)?.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => self.directory(entry, path, depth),
            SFlag::S_IFLNK => self.own(&entry),
            _ => self.one(&entry, FILE),
        }
    }

    /// The owner first: a change of owner may take set-id bits away.
    fn one(&self, file: &OwnedFd, wanted: u32) -> io::Result<()> {
        self.own(file)?;
        let mode = fstat(file)?.st_mode & 0o7777;
        if mode & wanted != wanted {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let flags = nix::sys::stat::FchmodatFlags::FollowSymlink;
            fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), Mode::from_bits_truncate(mode | wanted), flags)?;
        }
        Ok(())
    }

    fn own(&self, file: &OwnedFd) -> io::Result<()> {
        if fstat(file)?.st_gid != self.gid {
            fchownat(file, "", None, Some(Gid::from_raw(self.gid)), AtFlags::AT_EMPTY_PATH)?;
        }
        Ok(())
    }
}
