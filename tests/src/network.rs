//! Several hosts on one machine: network namespaces joined by a bridge, each with an address of its own.
//!
//! ```text
//!   machine            bridge 10.x.y.1        here listens what all hosts reach: a control plane
//!                     ╱       │       ╲
//!   namespaces  10.x.y.2  10.x.y.3  10.x.y.4  in each a daemon, its pods, and whatever else is of that host
//! ```
//!
//! Everything is named for the test's pid and goes with its owner. What a test has left that was killed is taken away by the
//! next one. Needs root.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::process::{self, ProcessError};

/// Names begin with it, and the pid follows. A network interface has at most 15 characters.
const PREFIX: &str = "bp-";
/// Where namespaces are by name.
const NAMESPACES: &str = "/run/netns";
/// Addresses are of 10.200.0.0/13, a /24 each.
const FIRST: u32 = 200;

/// What went wrong with a network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `ip` failed.
    #[error("the network cannot be made (it needs root and iproute2)")]
    Process(#[from] ProcessError),
    /// A list of what is there.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// All are taken.
    #[error("no range of 10.200.0.0/13 is free: see `ip address`")]
    NoRange,
}

/// A network of this test.
#[derive(Debug)]
pub struct Network {
    bridge: String,
    /// The first three numbers of its addresses.
    range: [u8; 3],
    hosts: Vec<NetworkHost>,
}

/// A host of a network: a namespace with one address.
#[derive(Clone, Debug)]
pub struct NetworkHost {
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// A network with so many hosts, fewer than 200.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(hosts: u8) -> Result<Self, NetworkError> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        remove_orphans()?;
        let name = format!("{PREFIX}{}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // From here on a failure takes away what has been made.
        let mut network = Self { bridge: name, range: free_range()?, hosts: Vec::new() };
        network.make(hosts)?;
        Ok(network)
    }

    /// The machine's own address in it, which all hosts reach.
    pub fn address(&self) -> IpAddr {
        self.of(1).into()
    }

    /// Its hosts.
    pub fn hosts(&self) -> &[NetworkHost] {
        &self.hosts
    }

    /// Pulls the cable of a host out: nobody in the network reaches it any more, and nobody is told.
    ///
    /// # Errors
    /// There is no such host.
    pub fn cut(&self, number: u8) -> Result<(), NetworkError> {
        ip(&["link", "set", &cable(&self.bridge, number), "down"])
    }

    /// Puts it in again.
    ///
    /// # Errors
    /// There is no such host.
    pub fn mend(&self, number: u8) -> Result<(), NetworkError> {
        ip(&["link", "set", &cable(&self.bridge, number), "up"])
    }

    /// Bytes that have gone through a host's cable, both ways, with all headers.
    ///
    /// # Errors
    /// There is no such host.
    pub fn bytes(&self, number: u8) -> Result<u64, NetworkError> {
        let counters = Path::new("/sys/class/net").join(cable(&self.bridge, number)).join("statistics");
        ["rx_bytes", "tx_bytes"].iter().try_fold(0, |sum, name| {
            let text = std::fs::read_to_string(counters.join(name))?;
            let count: u64 = text.trim().parse().map_err(io::Error::other)?;
            Ok(sum + count)
        })
    }

    fn make(&mut self, hosts: u8) -> Result<(), NetworkError> {
        let bridge = self.bridge.clone();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/24", self.of(1)), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        (0..hosts).try_for_each(|number| self.add(number))
    }

    fn add(&mut self, number: u8) -> Result<(), NetworkError> {
        let host = NetworkHost { namespace: format!("{}-{number}", self.bridge), address: self.of(number + 2) };
        let namespace = host.namespace.clone();
        let address = format!("{}/24", host.address);
        ip(&["netns", "add", &namespace])?;
        self.hosts.push(host);
        // Removed with its namespace, as all that is in there.
        let cable = cable(&self.bridge, number);
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        ip(&["link", "set", &cable, "master", &self.bridge, "up"])?;
        ip(&["-n", &namespace, "address", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
        // By it a program finds out which address is its host's.
        ip(&["-n", &namespace, "route", "add", "default", "via", &self.of(1).to_string()])
    }

    fn of(&self, last: u8) -> Ipv4Addr {
        let [first, second, third] = self.range;
        Ipv4Addr::new(first, second, third, last)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.bridge) {
            eprintln!("the network {} is not gone: {error}", self.bridge);
        }
    }
}

impl NetworkHost {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// A program, to be run there. Of the machine, only its network is another: it has the same pid, files and cgroups.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace().display())).arg("--").arg(program.as_ref());
        command
    }

    /// The file that stands for its network.
    pub fn namespace(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.namespace)
    }
}

/// The machine's end of a host's cable: as long as the name of an interface may be.
fn cable(bridge: &str, number: u8) -> String {
    format!("{}.{number:x}", bridge.replacen('-', "", 1))
}

fn ip(args: &[&str]) -> Result<(), NetworkError> {
    process::run(Command::new("ip").args(args))?;
    Ok(())
}

/// A bridge with its namespaces and cables, whichever of them there are.
fn remove(bridge: &str) -> Result<(), NetworkError> {
    let cables = cable(bridge, 0);
    let cables = &cables[..cables.len() - 1];
    for name in names(Path::new("/sys/class/net"))?.iter().filter(|name| name.starts_with(cables) || *name == bridge) {
        ip(&["link", "delete", name])?;
    }
    let namespaces = format!("{bridge}-");
    for name in names(Path::new(NAMESPACES))?.iter().filter(|name| name.starts_with(&namespaces)) {
        ip(&["netns", "delete", name])?;
    }
    Ok(())
}

/// What tests have left that were killed.
fn remove_orphans() -> Result<(), NetworkError> {
    let all = [names(Path::new("/sys/class/net"))?, names(Path::new(NAMESPACES))?].concat();
    let mut bridges: Vec<_> = all.iter().filter_map(|name| bridge_of_the_dead(name)).collect();
    bridges.sort_unstable();
    bridges.dedup();
    bridges.into_iter().try_for_each(remove)
}

/// The bridge `bp-PID-N` that a bridge's or namespace's name begins with, where no process has that pid.
fn bridge_of_the_dead(name: &str) -> Option<&str> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let number = rest.split('-').next()?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dead = is_number(pid) && is_number(number) && !Path::new("/proc").join(pid).exists();
    dead.then(|| &name[..PREFIX.len() + pid.len() + 1 + number.len()])
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A range that no interface of the machine has an address of; tests that run at the same time begin at different ones.
fn free_range() -> Result<[u8; 3], NetworkError> {
    let output = process::run(Command::new("ip").args(["-o", "-4", "address"]))?;
    let taken = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = std::process::id();
    let ranges = (0..8 * 256).map(|offset| first.wrapping_add(offset) % (8 * 256));
    let ranges =
        ranges.map(|range| [10, FIRST + range / 256, range % 256].map(|number| u8::try_from(number).unwrap_or(0)));
    let is_free = |[a, b, c]: &[u8; 3]| !taken.contains(&format!(" {a}.{b}.{c}."));
    ranges.into_iter().find(is_free).ok_or(NetworkError::NoRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_have_left_is_an_orphan() {
        let living = format!("bp-{}-0-1", std::process::id());

        assert_eq!(bridge_of_the_dead("bp-99999999-3"), Some("bp-99999999-3"));
        assert_eq!(bridge_of_the_dead("bp-99999999-a3-12"), Some("bp-99999999-a3"));
        for other in [living.as_str(), "bp-x-3", "bp-99999999", "eth0", "bp-", "bp-1-"] {
            assert_eq!(bridge_of_the_dead(other), None, "{other}");
        }
    }

    #[test]
    fn the_name_of_a_cable_fits_an_interface() {
        let longest = cable("bp-4194304-ff", u8::MAX);

        assert!(longest.len() <= 15, "{longest}");
    }
}
