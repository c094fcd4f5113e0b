//! Paths in directories whose contents are not barepod's: resolved without leaving them and without following a link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, fchown};

use crate::view::{Place, Placement};

/// What is done about links on the way to a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// They are the administrator's or barepod's.
    Trusted,
    /// There were none when it was decided that this root may be used: one that is there now has been put there since.
    Refused,
}

impl Links {
    pub(super) fn of(placement: &Placement) -> Self {
        if placement.manner.no_links { Self::Refused } else { Self::Trusted }
    }
}

/// The directory `root` itself, whose path is trusted.
pub(super) fn root(path: &Path, links: Links) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    Ok(File::from(match links {
        Links::Trusted => open(path, flags, Mode::empty())?,
        Links::Refused => {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
            openat2(nix::fcntl::AT_FDCWD, path, how)?
        }
    }))
}

/// The directory `path` below `root`; `None` if it is not there. A link on the way is an error (`ELOOP`).
pub(super) fn directory(root: impl AsFd, path: &Path) -> io::Result<Option<File>> {
    match reach(root, path, OFlag::O_DIRECTORY | OFlag::O_RDONLY, ResolveFlag::RESOLVE_NO_SYMLINKS) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Something is at `path` below `root`, where a process that has `root` as its root would find it.
pub(super) fn exists(root_path: &Path, links: Links, path: &Path) -> io::Result<bool> {
    if path.as_os_str().is_empty() {
        return root_path.try_exists();
    }
    match reach(root(root_path, links)?, path, OFlag::O_PATH, ResolveFlag::RESOLVE_IN_ROOT) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What is at `path` below `root_path`, as [`exists`] finds it.
pub(super) fn place(root_path: &Path, links: Links, path: &Path) -> io::Result<Place> {
    let found = File::from(reach(root(root_path, links)?, path, OFlag::O_PATH, ResolveFlag::RESOLVE_IN_ROOT)?);
    Ok(if found.metadata()?.is_dir() { Place::Directory } else { Place::File })
}

/// Makes the directories of `path` below `root_path` that are missing, with the mode and the owner of `root_path`. What is
/// there stays, whatever it is.
pub(super) fn make_like_root(root_path: &Path, links: Links, path: &Path) -> io::Result<()> {
    let root = root(root_path, links)?;
    if exists(root_path, links, path)? {
        return Ok(());
    }
    let metadata = root.metadata()?;
    make(root, path, metadata.mode() & 0o7777, metadata.uid(), metadata.gid()).map(drop)
}

/// Makes the directories of `path` below `root` that are missing, and opens the last.
pub(super) fn make(root: File, path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<File> {
    let mut current = root;
    for name in path.components().filter(|part| *part != Component::CurDir) {
        let name: &Path = name.as_ref();
        current = match directory(&current, name)? {
            Some(there) => there,
            None => make_one(&current, name, mode, uid, gid)?,
        };
    }
    Ok(current)
}

fn make_one(parent: &File, name: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<File> {
    mkdirat(parent, name, Mode::S_IRWXU)?;
    let made = directory(parent, name)?.ok_or(io::ErrorKind::NotFound)?;
    give(&made, mode, uid, gid)?;
    Ok(made)
}

/// Gives an opened directory to a user. The owner first: a change of owner may take set-id bits away.
pub(super) fn give(directory: &File, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    fchown(directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(directory, Mode::from_bits_truncate(mode))?;
    Ok(())
}

fn reach(root: impl AsFd, path: &Path, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let resolve = resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let resolve =
        if resolve.contains(ResolveFlag::RESOLVE_IN_ROOT) { resolve } else { resolve | ResolveFlag::RESOLVE_BENEATH };
    openat2(root, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
}
