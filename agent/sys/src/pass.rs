//! Open files handed from process to process over a socket (`SCM_RIGHTS`), or taken from one (pidfd_getfd, Linux 5.6).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::result::check;

/// Room for one descriptor's message, aligned as its head has to be.
#[repr(C)]
union Room {
    _head: libc::cmsghdr,
    // SAFETY: CMSG_SPACE only computes.
    bytes: [u8; unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as libc::c_uint) } as usize],
}

/// Sends a copy of a descriptor with one byte. It lies in the socket until it is received, whoever lives then.
///
/// # Errors
/// As sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, passed: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = [0_u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid value of this union of numbers.
    let mut room: Room = unsafe { std::mem::zeroed() };
    let mut message = message(&mut vector, &mut room);
    // SAFETY: the message's control buffer is `room`, large enough for one head and one descriptor.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) as _;
        libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(passed.as_raw_fd());
    }
    // SAFETY: everything the message points to is live.
    check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_NOSIGNAL) }).map(|_| ())
}

/// Takes what [`send`] sent; `None` when nothing has come.
///
/// # Errors
/// As recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid value of this union of numbers.
    let mut room: Room = unsafe { std::mem::zeroed() };
    let mut message = message(&mut vector, &mut room);
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: everything the message points to is live and writable.
    match check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) }) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    }
    // SAFETY: the kernel has filled the control buffer, which is live; it is looked at as far as its head says.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null() || (*head).cmsg_level != libc::SOL_SOCKET || (*head).cmsg_type != libc::SCM_RIGHTS {
            return Ok(None);
        }
        let number = libc::CMSG_DATA(head).cast::<RawFd>().read_unaligned();
        // New in this process, and nobody else's.
        Ok(Some(OwnedFd::from_raw_fd(number)))
    }
}

/// A copy of a descriptor that another process has under this number.
///
/// # Errors
/// As pidfd_getfd(2): `EBADF` when it has none, `EPERM` without the right to trace it.
pub fn take(process: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn message(vector: &mut libc::iovec, room: &mut Room) -> libc::msghdr {
    // SAFETY: all-zero is a valid value of this plain structure of numbers and null pointers.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut *room).cast();
    message.msg_controllen = size_of::<Room>() as _;
    message
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_sent_is_received_though_its_sender_has_closed_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert!(receive(theirs.as_fd()).unwrap().is_none());

        send(ours.as_fd(), writer.as_fd()).unwrap();
        drop((ours, writer));
        let received = receive(theirs.as_fd()).unwrap().unwrap();

        std::fs::File::from(received).write_all(b"here").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "here");
    }

    #[test]
    fn a_descriptor_of_a_process_is_taken_by_its_number() {
        let (mut reader, writer) = io::pipe().unwrap();
        let own = crate::pidfd::open(std::process::id()).unwrap();

        let copy = take(own.as_fd(), writer.as_raw_fd()).unwrap();
        drop(writer);
        std::fs::File::from(copy).write_all(b"x").unwrap();

        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
