//! The host as pods may ask about it (downward API), found out anew whenever manifests are read.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use barepod_linux::disk;
use barepod_manifest::HostFacts;
use barepod_model::{Bytes, MilliCpu};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// Asks the kernel. What it does not tell is left at nothing.
#[must_use]
pub fn gather(state: &Path, own_labels: &BTreeMap<String, String>) -> HostFacts {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = host.map_or_else(|| "localhost".to_owned(), |name| name.to_lowercase());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    HostFacts {
        labels: labels(&name, own_labels),
        name,
        addresses: addresses(),
        cpu: MilliCpu(cpus * 1000),
        memory: Bytes(fs_err::read_to_string("/proc/meminfo").ok().and_then(|text| memory(&text)).unwrap_or(0)),
        app_armor: barepod_linux::app_armor::is_enabled(Path::new("/")),
        se_linux: barepod_linux::se_linux::is_enabled(),
        ephemeral_storage: Bytes(disk::space(state).map_or(0, |space| space.bytes)),
    }
}

/// What kubelet gives its node, and what the configuration adds.
fn labels(name: &str, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let given = [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", arch)];
    let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
    given.into_iter().chain(own.clone()).collect()
}

/// Those of the interface with the default route come first, and IPv4 before IPv6.
fn addresses() -> Vec<IpAddr> {
    let main = fs_err::read_to_string("/proc/net/route").ok().and_then(|text| default_interface(&text));
    let mut found = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        let usable =
            interface.flags.contains(InterfaceFlags::IFF_UP) && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        if let Some(address) = interface.address.filter(|_| usable).and_then(|a| ip(&a)).filter(is_global) {
            found.push((Some(&interface.interface_name) != main.as_ref(), address.is_ipv6(), address));
        }
    }
    found.sort();
    found.dedup();
    let mut addresses: Vec<_> = found.into_iter().map(|(_, _, address)| address).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// The interface of the route to everywhere, in `/proc/net/route`.
fn default_interface(table: &str) -> Option<String> {
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let everywhere = |row: &Vec<String>| row.get(1).is_some_and(|to| to == "00000000");
    table.lines().skip(1).map(columns).find(everywhere).and_then(|row| row.into_iter().next())
}

/// `MemTotal` in bytes.
fn memory(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let routes = "Iface\tDestination\tGateway\neth1\t0000A8C0\t0\neth0\t00000000\t0101A8C0\n";
        assert_eq!(default_interface(routes).as_deref(), Some("eth0"));
        assert_eq!(default_interface("Iface\n"), None);
        assert_eq!(memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
    }

    #[test]
    fn this_host_has_a_name_an_address_and_memory() {
        let facts = gather(Path::new("/"), &BTreeMap::new());
        assert!(!facts.name.is_empty() && !facts.addresses.is_empty() && facts.memory.0 > 0 && facts.cpu.0 > 0);
    }
}
