//! Names made from names: container ids, links to logs, shims' directories.

use std::fmt::Write as _;

use barepod_model::{Attempt, ContainerKey, Namespace, PodName};
use sha2::{Digest, Sha256};

/// The id of one attempt of a container: 64 hexadecimal digits, as log forwarders expect of a container runtime.
#[must_use]
pub fn container_id(key: &ContainerKey, attempt: Attempt) -> String {
    hex(format!("{}\0{}\0{attempt}", key.pod, key.container).as_bytes())
}

/// The name of the link in `/var/log/containers`.
#[must_use]
pub fn log_link(namespace: &Namespace, name: &PodName, key: &ContainerKey, attempt: Attempt) -> String {
    format!("{name}_{namespace}_{}-{}.log", key.container, container_id(key, attempt))
}

/// The name of a shim's directory: 32 hexadecimal digits.
#[must_use]
pub fn shim_name(key: &ContainerKey) -> String {
    let mut name = hex(key.to_string().as_bytes());
    name.truncate(32);
    name
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use barepod_model::{ContainerName, PodUid};

    use super::*;

    fn key(container: &str) -> ContainerKey {
        ContainerKey { pod: PodUid::new("uid").unwrap(), container: ContainerName::new(container).unwrap() }
    }

    #[test]
    fn a_container_id_is_64_hex_digits_and_changes_with_each_attempt() {
        let ids = [container_id(&key("db"), Attempt(1)), container_id(&key("db"), Attempt(11))];
        assert!(ids.iter().all(|id| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_ne!(ids[0], ids[1]);
        assert_ne!(container_id(&key("db1"), Attempt(1)), container_id(&key("db"), Attempt(11)));
    }

    #[test]
    fn a_log_link_is_named_as_kubelet_names_it() {
        let link = log_link(&Namespace::new("ns").unwrap(), &PodName::new("pg-0").unwrap(), &key("db"), Attempt(0));
        assert_eq!(link, format!("pg-0_ns_db-{}.log", container_id(&key("db"), Attempt(0))));
    }

    #[test]
    fn shim_names_differ_by_container() {
        assert_eq!(shim_name(&key("a")).len(), 32);
        assert_ne!(shim_name(&key("a")), shim_name(&key("b")));
    }
}
