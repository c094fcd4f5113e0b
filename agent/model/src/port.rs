//! A port of the host that a pod has for itself.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Pods share the host's network, so a port is one pod's. Among [`crate::Pod::data_paths`] it stands as a path: an address
/// lies in the port on all addresses, as one directory lies in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: u16,
    /// On this address alone (`hostIP`).
    pub address: Option<IpAddr>,
}

/// No data path begins so: they are absolute.
const PREFIX: &str = "port:";

impl HostPort {
    /// As a path that no two pods may have at once.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let port = PathBuf::from(format!("{PREFIX}{}", self.protocol)).join(self.number.to_string());
        match self.address {
            Some(address) => port.join(address.to_string()),
            None => port,
        }
    }

    /// The port that such a path stands for.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let mut parts = path.to_str()?.strip_prefix(PREFIX)?.split('/');
        let (protocol, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Self { protocol, number, address: parts.next().and_then(|address| address.parse().ok()) })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}/{} of {address}", self.number, self.protocol),
            None => write!(f, "{}/{}", self.number, self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_one_address_lies_in_that_on_all_and_is_read_back() {
        let all = HostPort { protocol: "TCP".to_owned(), number: 80, address: None };
        let one = HostPort { address: "::1".parse().ok(), ..all.clone() };
        assert!(one.path().starts_with(all.path()));
        assert!(!all.path().starts_with(HostPort { number: 8, ..all.clone() }.path()));
        for port in [all, one] {
            assert_eq!(HostPort::of(&port.path()), Some(port));
        }
        assert_eq!(HostPort::of(Path::new("/var/lib/x")), None);
    }
}
