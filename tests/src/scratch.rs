//! Scratch places: directories with short paths, and ports that are free.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// A directory of its own for one test, removed with all it holds at the end. The path is short, because a unix socket's
/// path must fit 108 bytes, and open to every user, because services run as users of their own.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new directory where temporary files go, its name `bp-` and some letters, of mode 0755.
    pub fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// The same in another directory.
    pub fn within(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o755);
        tempfile::Builder::new().prefix("bp-").permissions(mode).tempdir_in(directory).map(Self)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path inside; nothing is created.
    pub fn join(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(below)
    }
}

/// A TCP port of the loopback address that nobody listened on a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Where ports for servers are looked for: below those that the kernel gives to who connects to somebody.
const STEADY: std::ops::Range<u16> = 12_000..32_000;

/// TCP ports of an address for servers that are ended and started again: free now, and, unlike those of [`free_port`], not
/// given away by the kernel meanwhile. No two of one process are the same.
///
/// # Errors
/// The address is not of this host, or no port of it is free.
pub fn steady_port(address: IpAddr) -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(STEADY.end - STEADY.start);
    // Tests that run at the same time begin at different places.
    let first = std::process::id().wrapping_mul(97);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ports {
        let offset = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % ports;
        let port = STEADY.start + u16::try_from(offset).unwrap_or_default();
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_open_to_all_and_gone_afterwards() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        std::fs::write(scratch.join("file"), "content").unwrap();

        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        drop(scratch);

        assert!(!path.exists());
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();

        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    #[test]
    fn steady_ports_are_below_those_of_clients_and_each_is_another() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let lowest = range.split_whitespace().next().unwrap().parse::<u16>().unwrap();

        let ports = [0; 3].map(|_| steady_port(Ipv4Addr::LOCALHOST.into()).unwrap());

        assert!(ports.iter().all(|port| *port < lowest), "{ports:?} of clients from {lowest}");
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2], "{ports:?}");
    }

    #[test]
    fn an_address_of_another_host_has_no_free_port() {
        let error = steady_port([192, 0, 2, 1].into()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
