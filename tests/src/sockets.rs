//! Which sockets a process holds, and which of them could speak with another host.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};

use barepod_sys::{descriptor, pidfd};
use nix::libc;

/// Families whose sockets stay on this host; by netlink's the kernel is asked for the host's own addresses.
const LOCAL: [libc::c_int; 2] = [libc::AF_UNIX, libc::AF_NETLINK];

/// The sockets of a process that reach beyond this host, bound or not: number, inode and family of each. None where the
/// process has ended.
///
/// # Errors
/// /proc cannot be read, or the process may not be looked into.
pub fn foreign(pid: u32) -> io::Result<Vec<String>> {
    let Some(process) = unless_gone(pidfd::open(pid))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (number, name) in held(pid)? {
        let family = family(process.as_fd(), number)?;
        if let Some(family) = family.filter(|family| !LOCAL.contains(family)) {
            found.push(format!("{number} {name} of family {family}"));
        }
    }
    Ok(found)
}

/// Of the socket that the process has under this number now; none where that was closed since, or is no socket any more.
fn family(process: BorrowedFd<'_>, number: RawFd) -> io::Result<Option<libc::c_int>> {
    let Some(copy) = unless_gone(pidfd::descriptor_of(process, number))? else { return Ok(None) };
    match descriptor::socket_domain(copy) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Ok(None),
        other => other.map(Some),
    }
}

/// Number and `socket:[INODE]` of each socket.
fn held(pid: u32) -> io::Result<Vec<(RawFd, String)>> {
    let Some(entries) = unless_gone(std::fs::read_dir(format!("/proc/{pid}/fd")))? else { return Ok(Vec::new()) };
    let mut sockets = Vec::new();
    for entry in entries.flatten() {
        // Closed since: not held.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(number), Some(name)) = (number, target.to_str().filter(|name| name.starts_with("socket:["))) {
            sockets.push((number, name.to_owned()));
        }
    }
    Ok(sockets)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        // EINVAL is a zombie's, and EBADF that of a descriptor.
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH | libc::EINVAL | libc::EBADF) => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

    use super::*;

    fn numbers() -> Vec<i32> {
        let sockets = foreign(std::process::id()).unwrap();
        sockets.iter().map(|socket| socket.split_once(' ').unwrap().0.parse().unwrap()).collect()
    }

    #[test]
    fn internet_sockets_are_foreign_even_before_they_are_bound_and_those_of_this_host_are_not() {
        let (unix, _other) = UnixStream::pair().unwrap();
        let unbound_unix = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None).unwrap();
        let netlink =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute).unwrap();
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let unbound = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::empty(), None).unwrap();

        let found = numbers();

        assert!([tcp.as_raw_fd(), udp.as_raw_fd(), unbound.as_raw_fd()].iter().all(|fd| found.contains(fd)));
        let local = [unix.as_raw_fd(), unbound_unix.as_raw_fd(), netlink.as_raw_fd()];
        assert!(local.iter().all(|fd| !found.contains(fd)));
    }

    #[test]
    fn a_process_that_is_not_there_holds_nothing() {
        assert!(foreign(u32::MAX >> 1).unwrap().is_empty());
    }
}
