//! Which sockets a process holds, and which of them could speak with another host.

use std::io;
use std::path::Path;

/// How often a suspect is looked at. One that is made, listed and closed while the table is read may look foreign once, and
/// its number may be another one's by the second look; one that is foreign stays so.
const LOOKS: usize = 5;

/// The sockets of a process that reach beyond this host's kernel: as descriptor and inode. None where the process has ended.
///
/// Unix sockets are listed from their beginning, and netlink's, by which the kernel is asked for the host's own addresses, as
/// soon as they are bound; of all others a socket that is bound to nothing yet is listed nowhere. So what is found in neither
/// list is foreign.
///
/// # Errors
/// /proc cannot be read.
pub fn foreign(pid: u32) -> io::Result<Vec<String>> {
    let mut suspects = held(pid)?;
    for _ in 0..LOOKS {
        if suspects.is_empty() {
            return Ok(suspects);
        }
        for (table, column) in [("unix", 6), ("netlink", 9)] {
            let Some(text) = unless_gone(std::fs::read_to_string(format!("/proc/{pid}/net/{table}")))? else {
                return Ok(Vec::new());
            };
            suspects.retain(|socket| !is_listed(&text, column, inode(socket)));
        }
        // One that was closed between the two looks is judged by neither.
        let still = held(pid)?;
        suspects.retain(|socket| still.contains(socket));
    }
    Ok(suspects)
}

/// `NUMBER socket:[INODE]` of each.
fn held(pid: u32) -> io::Result<Vec<String>> {
    let Some(entries) = unless_gone(std::fs::read_dir(format!("/proc/{pid}/fd")))? else { return Ok(Vec::new()) };
    let mut sockets = Vec::new();
    for entry in entries.flatten() {
        // Closed since: not held.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if is_socket(&target) {
            sockets.push(format!("{} {}", entry.file_name().to_string_lossy(), target.display()));
        }
    }
    Ok(sockets)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ESRCH)) => Ok(None),
        // Of a zombie.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_socket(target: &Path) -> bool {
    target.to_str().is_some_and(|target| target.starts_with("socket:["))
}

fn inode(socket: &str) -> &str {
    socket.rsplit_once('[').map_or("", |(_, rest)| rest.trim_end_matches(']'))
}

/// Whether a line of a table of sockets has this inode in its column.
fn is_listed(table: &str, column: usize, inode: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().nth(column) == Some(inode))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};

    use super::*;

    fn numbers() -> Vec<i32> {
        let sockets = foreign(std::process::id()).unwrap();
        sockets.iter().map(|socket| socket.split_once(' ').unwrap().0.parse().unwrap()).collect()
    }

    #[test]
    fn internet_sockets_are_foreign_even_before_they_are_bound_and_those_of_this_host_are_not() {
        let (unix, _other) = UnixStream::pair().unwrap();
        let netlink =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute).unwrap();
        bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let unbound = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::empty(), None).unwrap();

        let found = numbers();

        assert!([tcp.as_raw_fd(), udp.as_raw_fd(), unbound.as_raw_fd()].iter().all(|fd| found.contains(fd)));
        assert!(!found.contains(&unix.as_raw_fd()) && !found.contains(&netlink.as_raw_fd()));
    }

    #[test]
    fn a_process_that_is_not_there_holds_nothing() {
        assert!(foreign(u32::MAX >> 1).unwrap().is_empty());
    }
}
