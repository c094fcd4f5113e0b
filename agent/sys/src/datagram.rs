//! Unix datagrams that say who sent them and carry open files (unix(7): `SCM_CREDENTIALS`, `SCM_RIGHTS`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::result::{check, done};

/// The most files that one datagram carries (`SCM_MAX_FD`).
const MOST_FILES: usize = 253;
/// Room for the credentials and for as many files as can come: what does not fit would be lost without a word.
const CONTROL: usize = 64 + MOST_FILES * size_of::<libc::c_int>();

/// A socket that receives.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
}

/// Who sent a datagram, as the kernel knows it, in this process's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its process id; 0 if it has none in this PID namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What came beside the bytes.
#[derive(Debug)]
pub struct Received {
    /// How long the datagram was; what did not fit into the buffer is gone.
    pub length: usize,
    /// Who sent it.
    pub sender: Option<Sender>,
    /// Files that came with it, closed when they are dropped.
    pub files: Vec<OwnedFd>,
}

impl Receiver {
    /// Binds a new socket to a path, at which nothing may be.
    ///
    /// # Errors
    /// As socket(2), bind(2), setsockopt(2).
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        let receiver = Self { socket: socket.into() };
        receiver.want_senders()?;
        Ok(receiver)
    }

    /// One that was bound before, by this process under another binary.
    #[must_use]
    pub fn resumed(socket: OwnedFd) -> Self {
        Self { socket }
    }

    fn want_senders(&self) -> io::Result<()> {
        let on: libc::c_int = 1;
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        let socket = self.socket.as_raw_fd();
        // SAFETY: the option's value is a live integer of the size that is given.
        done(unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), size) })
    }

    /// Takes the next datagram; `None` when there is none.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = [MaybeUninit::<u64>::uninit(); CONTROL / size_of::<u64>() + 1];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all-zero is a valid value of this plain structure.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
        // SAFETY: buffers of the given sizes that live beyond the call.
        match check(unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) }) {
            Ok(length) => {
                let (sender, files) = beside(&message);
                Ok(Some(Received { length: length.unsigned_abs(), sender, files }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a message that was received carries beside its bytes.
fn beside(message: &libc::msghdr) -> (Option<Sender>, Vec<OwnedFd>) {
    let (mut sender, mut files) = (None, Vec::new());
    // SAFETY: the kernel has filled the control buffer up to `msg_controllen`; the macros walk inside it.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: as above; null ends the walk.
    while let Some(part) = unsafe { header.as_ref() } {
        // SAFETY: a header's data follows it, and `cmsg_len` counts both.
        let (data, length) = unsafe {
            let data = libc::CMSG_DATA(header);
            (data, whole(part.cmsg_len).saturating_sub(data as usize - header as usize))
        };
        match (part.cmsg_level, part.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: the data is one such structure, perhaps not aligned.
                let who = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                sender = Some(Sender { pid: who.pid.unsigned_abs(), uid: who.uid, gid: who.gid });
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for at in 0..length / size_of::<libc::c_int>() {
                    // SAFETY: the data is an array of so many numbers; each is a new descriptor that nobody else owns.
                    files.push(unsafe { OwnedFd::from_raw_fd(data.cast::<libc::c_int>().add(at).read_unaligned()) });
                }
            }
            _ => {}
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    (sender, files)
}

/// The type of a length is another one in each C library.
fn whole(length: impl TryInto<usize>) -> usize {
    length.try_into().unwrap_or(0)
}

/// Sends a datagram with files to the socket at a path: what a service does to tell its manager something.
///
/// # Errors
/// As socket(2), sendmsg(2).
pub fn send(path: &Path, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    let numbers: Vec<libc::c_int> = files.iter().map(|file| file.as_raw_fd()).collect();
    let mut control = [0_u64; CONTROL / size_of::<u64>() + 1];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !numbers.is_empty() {
        if numbers.len() > MOST_FILES {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let size = size_of_val(numbers.as_slice());
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: computes with numbers only.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size as libc::c_uint) } as _;
        // SAFETY: the buffer is live, aligned, and larger than one header with so many numbers.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size as libc::c_uint) as _;
            std::ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size);
        }
    }
    // SAFETY: buffers of the given sizes that live beyond the call.
    done(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::PathBuf;

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("barepod-sys-{}-{name}", std::process::id()));
            std::fs::remove_file(&path).ok();
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    #[test]
    fn a_datagram_says_who_sent_it_and_its_files_are_closed_when_they_are_dropped() {
        let place = Place::new("files");
        let receiver = Receiver::bind(&place.0).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&place.0, b"BARRIER=1", &[writer.as_fd()]).unwrap();
        drop(writer);

        let mut buffer = [0; 64];
        let received = receiver.receive(&mut buffer).unwrap().unwrap();

        assert_eq!(&buffer[..received.length], b"BARRIER=1");
        assert_eq!(received.sender.unwrap().pid, std::process::id());
        assert_eq!(received.files.len(), 1);
        drop(received);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0, "the last writer is closed");
        assert!(receiver.receive(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn of_a_datagram_that_is_too_long_the_whole_length_is_told() {
        let place = Place::new("long");
        let receiver = Receiver::bind(&place.0).unwrap();
        send(&place.0, &[b'x'; 100], &[]).unwrap();

        let mut buffer = [0; 10];

        assert_eq!(receiver.receive(&mut buffer).unwrap().unwrap().length, 100);
    }

    #[test]
    fn as_many_files_as_can_be_sent_are_all_taken() {
        let place = Place::new("many");
        let receiver = Receiver::bind(&place.0).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(&place.0, b"x", &[null.as_fd(); MOST_FILES]).unwrap();

        let mut buffer = [0; 10];

        assert_eq!(receiver.receive(&mut buffer).unwrap().unwrap().files.len(), MOST_FILES);
    }
}
