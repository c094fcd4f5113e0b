//! Which sockets a process holds, and which of them could speak with another host.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// For so long a suspect that is listed nowhere is looked at: the kernel is asked things over sockets that live for moments.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tables of sockets that stay on this host, with the column of the inode. Unix sockets are listed from their beginning,
/// netlink's, by which the kernel is asked for the host's own addresses, as soon as they are bound.
const LOCAL: [(&str, usize); 2] = [("unix", 6), ("netlink", 9)];

/// Tables of those that do not.
const FOREIGN: [(&str, usize); 7] =
    [("tcp", 9), ("tcp6", 9), ("udp", 9), ("udp6", 9), ("raw", 9), ("raw6", 9), ("packet", 8)];

/// The sockets of a process that reach beyond this host: as descriptor and inode. None where the process has ended.
///
/// One that is bound to nothing yet is listed nowhere, so what stays and is in no list of local ones is foreign.
///
/// # Errors
/// /proc cannot be read.
pub fn foreign(pid: u32) -> io::Result<Vec<String>> {
    let begin = Instant::now();
    let mut suspects = held(pid)?;
    loop {
        suspects = unlisted(pid, suspects, &LOCAL)?;
        if suspects.is_empty() || unlisted(pid, suspects.clone(), &FOREIGN)?.len() < suspects.len() {
            return Ok(suspects);
        }
        // One that has been closed is judged no more.
        let still = held(pid)?;
        suspects.retain(|socket| still.contains(socket));
        if begin.elapsed() > PATIENCE {
            return Ok(suspects);
        }
        std::thread::yield_now();
    }
}

/// Those of some sockets that are in none of these tables; none where the process has ended.
fn unlisted(pid: u32, mut sockets: Vec<String>, tables: &[(&str, usize)]) -> io::Result<Vec<String>> {
    for (table, column) in tables {
        let Some(text) = unless_gone(std::fs::read_to_string(format!("/proc/{pid}/net/{table}")))? else {
            continue;
        };
        sockets.retain(|socket| !is_listed(&text, *column, inode(socket)));
    }
    Ok(sockets)
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
