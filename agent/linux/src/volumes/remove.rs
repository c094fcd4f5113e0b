//! Removing a tree that strangers have written: no link is followed, no mount is entered, no depth is too deep.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{self, Links};
use super::error::{VolumeError, at};

/// Each level holds a descriptor and some stack; deeper directories are moved up first.
const MAX_DEPTH: usize = 64;

/// Removes `path` and all that is in it. Nothing there is success.
pub(super) fn tree(path: &Path) -> Result<(), VolumeError> {
    let failed = |errno: Errno| match errno {
        Errno::EXDEV => VolumeError::Mounted { path: path.to_owned() },
        errno => at("removing", path, errno.into()),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::EINVAL));
    };
    let parent = match beneath::root(parent, Links::Trusted) {
        Ok(parent) => parent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("removing", path, error)),
    };
    let name = CString::new(name.as_encoded_bytes()).map_err(|_| failed(Errno::EINVAL))?;
    let mut remover = Remover { moved: 0 };
    match remover.entry(&parent, &name, &parent, 0) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

struct Remover {
    moved: usize,
}

impl Remover {
    /// Removes one name. `top` is where too deep directories are moved to.
    fn entry(&mut self, parent: &impl AsFd, name: &CStr, top: &impl AsFd, depth: usize) -> nix::Result<()> {
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            // Linux says EISDIR, POSIX says EPERM.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            done => return done,
        }
        let directory = open(parent, name)?;
        if depth > MAX_DEPTH {
            return self.shorten(parent, name, top);
        }
        self.contents(directory, top, depth)?;
        unlinkat(parent, name, UnlinkatFlags::RemoveDir)
    }

    fn contents(&mut self, mut directory: Dir, top: &impl AsFd, depth: usize) -> nix::Result<()> {
        loop {
            let names = names(&mut directory)?;
            for name in &names {
                match depth {
                    // Whatever is too deep is moved here, to be found when this is read again.
                    0 => self.entry(&directory, name, &directory, depth + 1)?,
                    _ => self.entry(&directory, name, top, depth + 1)?,
                }
            }
            if depth > 0 || names.is_empty() {
                return Ok(());
            }
        }
    }

    fn shorten(&mut self, parent: &impl AsFd, name: &CStr, top: &impl AsFd) -> nix::Result<()> {
        loop {
            self.moved += 1;
            let to = format!(".barepod-removing-{}", self.moved);
            match renameat(parent, name, top, to.as_str()) {
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                done => return done,
            }
        }
    }
}

fn names(directory: &mut Dir) -> nix::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The directory itself, on the same mount: a bind of the same device is another mount too.
fn open(parent: &impl AsFd, name: &CStr) -> nix::Result<Dir> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    Dir::from_fd(openat2(parent, name, OpenHow::new().flags(flags).resolve(resolve))?)
}
