//! Names of nodes.

use std::fmt;
use std::str::FromStr;

/// The name of a node: a DNS subdomain in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

/// Why a text is no name of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a node: one is of small letters, digits, `-` and `.`, begins and ends with a letter or digit, \
     and has 253 characters at most; give one with --node-name"
)]
pub struct NoNodeName(String);

/// What stands before a node's name in the name of its user.
const USER: &str = "system:node:";

impl NodeName {
    /// As kubelet names a node: the host's name in small letters.
    ///
    /// # Errors
    /// The host has none that would do.
    pub fn of_host() -> Result<Self, NoNodeName> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_lowercase().parse()
    }

    /// From the name of a node's user.
    pub(crate) fn of_user(user: &str) -> Option<Self> {
        user.strip_prefix(USER)?.parse().ok()
    }

    /// The name of its user.
    pub fn user(&self) -> String {
        format!("{USER}{}", self.0)
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NoNodeName;

    fn from_str(text: &str) -> Result<Self, NoNodeName> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_label = |label: &str| {
            let bytes = label.as_bytes();
            let ends_plainly = |byte: Option<&u8>| byte.copied().is_some_and(is_plain);
            ends_plainly(bytes.first())
                && ends_plainly(bytes.last())
                && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(NoNodeName(text.to_owned()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_as_a_host_in_dns() {
        for right in ["a", "host-1", "db.example.com", "10.1.2.3"] {
            assert_eq!(right.parse::<NodeName>().unwrap().as_str(), right);
        }
        for wrong in ["", "Host", "-a", "a-", "a..b", "a_b", "ä", &"a".repeat(254)] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
        assert_eq!(NodeName::of_user("system:node:host-1"), Some("host-1".parse().unwrap()));
        assert_eq!(NodeName::of_user("kubernetes-admin"), None);
    }
}
