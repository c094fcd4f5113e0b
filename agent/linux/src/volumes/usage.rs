//! How much of a disk a directory takes that strangers write to: no link is followed, no mount is entered, no depth is too
//! deep. A walk looks at each file once and reads none.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barepod_model::Bytes;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::beneath;

/// A path may have 4095 bytes: what lies deeper is reached from further down.
const LONGEST: usize = 2000;

/// What a directory takes of its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskUse {
    /// Its blocks.
    pub bytes: Bytes,
    /// Its files and directories.
    pub inodes: u64,
}

/// What `directory` takes, itself included; nothing if it is not there. Files of several names count once.
///
/// # Errors
/// The directory itself cannot be read. What vanishes meanwhile, or cannot be entered, counts for nothing.
pub fn disk_usage(directory: &Path) -> io::Result<DiskUse> {
    let top = match beneath::root(directory, beneath::Links::Trusted) {
        Ok(top) => top,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DiskUse::default()),
        Err(error) => return Err(error),
    };
    let mut walk = Walk { seen: HashSet::new(), blocks: 0, inodes: 0, left: Vec::new() };
    walk.left.push((Rc::new(top), PathBuf::from(".")));
    while let Some((base, path)) = walk.left.pop() {
        match walk.directory(&base, &path) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV | Errno::EACCES) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // stat(2) counts in units of 512 bytes, whatever the file system does.
    Ok(DiskUse { bytes: Bytes(walk.blocks * 512), inodes: walk.inodes })
}

struct Walk {
    /// Files of several names.
    seen: HashSet<(u64, u64)>,
    blocks: u64,
    inodes: u64,
    /// Directories to look into, each below one that is open.
    left: Vec<(Rc<std::fs::File>, PathBuf)>,
}

impl Walk {
    fn directory(&mut self, base: &Rc<std::fs::File>, path: &Path) -> nix::Result<()> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOATIME;
        let opened = openat2(base.as_fd(), path, OpenHow::new().flags(flags).resolve(resolve))?;
        let deep = path.as_os_str().len() > LONGEST;
        let (base, path) = match deep {
            true => (Rc::new(std::fs::File::from(opened.try_clone().map_err(|_| Errno::EMFILE)?)), Path::new(".")),
            false => (Rc::clone(base), path),
        };
        let mut directory = Dir::from_fd(opened)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            names.push(entry?.file_name().to_owned());
        }
        for name in names.iter().filter(|name| name.as_c_str() != c"..") {
            let Ok(stat) = fstatat(&directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let is_directory = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
            let itself = name.as_c_str() == c".";
            // A directory is counted when it is looked into.
            if itself || !is_directory {
                self.count(&stat, is_directory);
            }
            if is_directory && !itself {
                let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.to_bytes());
                self.left.push((Rc::clone(&base), path.join(name)));
            }
        }
        Ok(())
    }

    fn count(&mut self, stat: &FileStat, is_directory: bool) {
        if is_directory || stat.st_nlink < 2 || self.seen.insert((stat.st_dev, stat.st_ino)) {
            self.inodes += 1;
            self.blocks += u64::try_from(stat.st_blocks).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn used(path: &Path) -> u64 {
        disk_usage(path).unwrap().bytes.0
    }

    #[test]
    fn what_is_written_counts_and_holes_do_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), vec![1; MIB as usize]).unwrap();
        fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        fs::File::open(dir.path().join("a/b/file")).unwrap().sync_all().unwrap();
        assert!((MIB..MIB + 65_536).contains(&used(dir.path())), "{}", used(dir.path()));
        assert_eq!(used(&dir.path().join("missing")), 0);
    }

    #[test]
    fn a_file_of_two_names_counts_once_and_a_link_leads_nowhere() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for place in [dir.path(), other.path()] {
            fs::write(place.join("file"), vec![1; MIB as usize]).unwrap();
            fs::File::open(place.join("file")).unwrap().sync_all().unwrap();
        }
        fs::hard_link(dir.path().join("file"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join("out")).unwrap();
        assert!(used(dir.path()) < 2 * MIB, "{}", used(dir.path()));
        assert_eq!(disk_usage(dir.path()).unwrap().inodes, 3, "the directory, the file and the link");
    }

    #[test]
    fn nothing_is_too_deep_to_be_counted() {
        let dir = tempfile::tempdir().unwrap();
        let before = std::env::current_dir().unwrap();
        let name = "d".repeat(200);
        let mut place = beneath::root(dir.path(), beneath::Links::Trusted).unwrap();
        for _ in 0..50 {
            place = beneath::make(place, Path::new(&name), 0o700, me(), group()).unwrap();
        }
        let proc = format!("/proc/self/fd/{}/file", std::os::fd::AsRawFd::as_raw_fd(&place));
        fs::write(&proc, vec![1; MIB as usize]).unwrap();
        fs::File::open(&proc).unwrap().sync_all().unwrap();
        assert!(used(dir.path()) >= MIB);
        super::super::remove::tree(dir.path()).unwrap();
        assert_eq!(before, std::env::current_dir().unwrap());
    }

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn group() -> u32 {
        nix::unistd::getegid().as_raw()
    }
}
