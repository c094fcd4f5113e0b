//! Paths that are resolved below a directory and never leave it (openat2, Linux 5.6), and what is made in directories.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use crate::result::{c_path, c_string, check, done};

/// What an existing file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Opens a directory or file only to refer to it (`O_PATH`), following symbolic links.
///
/// # Errors
/// As open(2).
pub fn refer(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: a live C string.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same, with `root` as the root of the whole resolution: absolute paths, `..` and symbolic links stay inside it, and
/// magic links of `/proc` are refused.
///
/// # Errors
/// As openat2(2).
pub fn refer_inside(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    open_how(root.as_raw_fd(), path, libc::O_PATH, resolve)
}

/// The same of an absolute path that must not lead through any link.
///
/// # Errors
/// As openat2(2): `ELOOP` for a link.
pub fn refer_without_links(path: &Path) -> io::Result<OwnedFd> {
    open_how(libc::AT_FDCWD, path, libc::O_PATH, libc::RESOLVE_NO_SYMLINKS)
}

/// What `name`, without slash, in `parent` is, be it a link.
///
/// # Errors
/// As openat2(2).
pub fn refer_to_itself(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = single(name)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a live C string.
    let fd = check(unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open_how(root: RawFd, path: &Path, flags: libc::c_int, resolve: u64) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: all-zero is a valid value of this plain structure of numbers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    let size = size_of::<libc::open_how>();
    loop {
        // SAFETY: path and structure are live; the size is that of the structure.
        let fd = unsafe { libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size) };
        match check(fd) {
            // SAFETY: a new descriptor that nobody else owns.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
            // a rename elsewhere crossed a `..`: the kernel asks to try again
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What it is.
///
/// # Errors
/// As fstat(2).
pub fn kind(file: BorrowedFd<'_>) -> io::Result<Kind> {
    let mode = status(file)?.st_mode;
    Ok(if mode & libc::S_IFMT == libc::S_IFDIR { Kind::Directory } else { Kind::Other })
}

fn status(file: BorrowedFd<'_>) -> io::Result<libc::stat> {
    // SAFETY: all-zero is a valid value of this plain structure of numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is live and written within its bounds.
    done(unsafe { libc::fstat(file.as_raw_fd(), &raw mut stat) })?;
    Ok(stat)
}

/// Makes a directory called `name`, without slash, in `parent`.
///
/// # Errors
/// As mkdirat(2).
pub fn make_directory(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = single(name)?;
    // SAFETY: a live C string.
    done(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) })
}

/// Makes an empty file called `name`, without slash, in `parent`.
///
/// # Errors
/// As mknodat(2).
pub fn make_file(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = single(name)?;
    // SAFETY: a live C string.
    done(unsafe { libc::mknodat(parent.as_raw_fd(), name.as_ptr(), libc::S_IFREG | mode as libc::mode_t, 0) })
}

/// Makes a symbolic link called `name`, without slash, in `parent`.
///
/// # Errors
/// As symlinkat(2).
pub fn make_link(parent: BorrowedFd<'_>, name: &str, text: &str) -> io::Result<()> {
    let name = single(name)?;
    let text = c_string(text)?;
    // SAFETY: live C strings.
    done(unsafe { libc::symlinkat(text.as_ptr(), parent.as_raw_fd(), name.as_ptr()) })
}

/// Makes a FIFO.
///
/// # Errors
/// As mkfifo(3).
pub fn make_fifo(path: &Path, mode: u32) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: a live C string.
    done(unsafe { libc::mkfifo(path.as_ptr(), mode as libc::mode_t) })
}

/// Gives an opened file, directory or link to a user, unless it is the user's.
///
/// # Errors
/// As fchownat(2).
pub fn give(file: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let now = status(file)?;
    if (now.st_uid, now.st_gid) == (uid, gid) {
        return Ok(());
    }
    // SAFETY: a live C string; with this flag the descriptor itself is meant.
    done(unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) })
}

/// Sets the mode of an opened file or directory, whatever the umask was, unless it has that mode. One that was opened with
/// `O_PATH` is reached through `/proc`, since fchmod(2) refuses it. A link has no mode of its own and is an error.
///
/// # Errors
/// As chmod(2); `ELOOP` for a link.
pub fn set_mode(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let now = status(file)?.st_mode;
    if now & libc::S_IFMT == libc::S_IFLNK {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    if now & 0o7777 == mode {
        return Ok(());
    }
    let path = c_string(crate::descriptor::path_of(file))?;
    // SAFETY: a live C string.
    done(unsafe { libc::chmod(path.as_ptr(), mode as libc::mode_t) })
}

fn single(name: &str) -> io::Result<std::ffi::CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    c_string(name)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn symbolic_links_and_dots_stay_inside_the_root() {
        let outside = std::env::temp_dir().join(format!("barepod-sys-path-{}", std::process::id()));
        let root = outside.join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(outside.join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("../../../..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
        let root_fd = refer(&root).unwrap();

        let up = refer_inside(root_fd.as_fd(), Path::new("/up/../secret"));
        let absolute = refer_inside(root_fd.as_fd(), Path::new("absolute")).unwrap();

        let target = std::fs::read_link(descriptor_path(&absolute)).unwrap();
        std::fs::remove_dir_all(&outside).unwrap();
        assert_eq!(up.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(target, root.join("etc"));
    }

    fn descriptor_path(fd: &OwnedFd) -> String {
        crate::descriptor::path_of(fd.as_fd())
    }

    #[test]
    fn a_link_in_the_place_of_what_was_made_is_neither_followed_nor_changed() {
        let scratch = std::env::temp_dir().join(format!("barepod-sys-itself-{}", std::process::id()));
        std::fs::create_dir_all(scratch.join("inside")).unwrap();
        std::fs::write(scratch.join("outside"), "").unwrap();
        std::os::unix::fs::symlink(scratch.join("outside"), scratch.join("inside/name")).unwrap();
        let before = std::fs::metadata(scratch.join("outside")).unwrap().permissions();
        let inside = refer(&scratch.join("inside")).unwrap();

        let found = refer_to_itself(inside.as_fd(), "name").unwrap();
        let refused = set_mode(found.as_fd(), 0o666);
        let straight = refer_without_links(&scratch.join("inside/name"));

        let after = std::fs::metadata(scratch.join("outside")).unwrap().permissions();
        std::fs::remove_dir_all(&scratch).unwrap();
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(straight.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(after, before);
    }

    #[test]
    fn a_name_with_a_slash_or_dots_is_refused() {
        let root = refer(Path::new("/tmp")).unwrap();

        for name in ["", ".", "..", "a/b", "/a"] {
            assert_eq!(make_directory(root.as_fd(), name, 0o755).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }
}
