//! Pseudo-terminals.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::result::{check, done};
use crate::{descriptor, path};

/// `/dev/ptmx`, in the kernel's list of devices.
const TTYAUX_MAJOR: u32 = 5;
const PTMX_MINOR: u32 = 2;

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// The side of whoever shows it.
    pub controller: File,
    /// The side of the program.
    pub terminal: File,
}

/// Makes one, on the host's `/dev/ptmx`.
///
/// # Errors
/// As posix_openpt(3), ioctl(2).
pub fn open() -> io::Result<Pair> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: a new descriptor that nobody else owns.
    pair(unsafe { File::from_raw_fd(fd) })
}

/// Makes one on the `/dev/pts` of whoever has this directory as the root, so that its programs can name it.
///
/// # Errors
/// As openat2(2), ioctl(2); `ENODEV` when what is there is no such device.
pub fn open_in(root: BorrowedFd<'_>) -> io::Result<Pair> {
    let found = File::from(path::refer_inside(root, Path::new("/dev/pts/ptmx"))?);
    let metadata = found.metadata()?;
    if !metadata.file_type().is_char_device() || metadata.rdev() != libc::makedev(TTYAUX_MAJOR, PTMX_MINOR) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY);
    pair(options.open(descriptor::path_of(found.as_fd()))?)
}

fn pair(controller: File) -> io::Result<Pair> {
    let fd = controller.as_raw_fd();
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    done(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK as _, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags and gives a new descriptor, without any path.
    let peer: RawFd = check(unsafe { libc::ioctl(fd, libc::TIOCGPTPEER as _, flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(Pair { controller, terminal: unsafe { OwnedFd::from_raw_fd(peer) }.into() })
}

/// Makes this terminal the controlling one of this session, which has none.
///
/// # Errors
/// As ioctl(2).
pub fn control(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    done(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) })
}

/// Sets its size; its foreground programs get SIGWINCH.
///
/// # Errors
/// As ioctl(2).
pub fn resize(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    done(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) })
}

/// Its size.
///
/// # Errors
/// As ioctl(2): `ENOTTY` when it is no terminal.
pub fn size(terminal: impl AsFd) -> io::Result<Size> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize.
    done(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) })?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Gives it to a user.
///
/// # Errors
/// As fchown(2).
pub fn give_to(terminal: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::fchown(terminal.as_fd().as_raw_fd(), uid, gid) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_the_program_writes_is_shown_and_sizes_are_kept() {
        let mut pair = open().unwrap();
        resize(&pair.controller, Size { rows: 7, columns: 77 }).unwrap();

        pair.terminal.write_all(b"hi\n").unwrap();
        let mut shown = [0; 4];
        pair.controller.read_exact(&mut shown).unwrap();

        assert_eq!(&shown, b"hi\r\n");
        assert_eq!(size(&pair.terminal).unwrap(), Size { rows: 7, columns: 77 });
    }
}
