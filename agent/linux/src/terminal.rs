//! A terminal for a process in a container: our side of it, read and written without blocking.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use barepod_model::Credentials;
use barepod_sys::terminal::{self, Size};
use barepod_sys::{path, proc};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The side that is not the process's.
#[derive(Debug)]
pub struct Master(AsyncFd<File>);

/// A new terminal of a container's own, for its user: our side, and the process's. The container is known by its main
/// process and when that began.
///
/// # Errors
/// As openat2(2), ioctl(2); `ESRCH` when that process has ended.
pub fn open(pid: u32, start_ticks: u64, user: &Credentials) -> io::Result<(Master, OwnedFd)> {
    let proc = Path::new("/proc");
    let root = path::refer(&proc.join(pid.to_string()).join("root"))?;
    if proc::stat(proc, pid)?.start_ticks != start_ticks {
        return Err(nix::errno::Errno::ESRCH.into());
    }
    let pair = terminal::open_in(root.as_fd())?;
    terminal::give_to(&pair.terminal, user.uid, user.gid)?;
    fcntl(&pair.controller, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may change their descriptor; a File does not"
    )]
    let controller = AsyncFd::new(pair.controller)?;
    Ok((Master(controller), pair.terminal.into()))
}

impl Master {
    /// Tells the process the size of the terminal; it gets SIGWINCH.
    ///
    /// # Errors
    /// As ioctl(2).
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        terminal::resize(self.0.get_ref().as_fd(), Size { columns, rows })
    }
}

impl AsyncRead for &Master {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let read = guard.try_io(|fd| Ok(unistd::read(fd.get_ref(), buffer.initialize_unfilled())?));
            if let Ok(result) = read {
                buffer.advance(result?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for &Master {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|fd| Ok(unistd::write(fd.get_ref(), data)?)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
