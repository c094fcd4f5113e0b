//! The digest of an authority's public key, by which who joins knows the cluster.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};

/// SHA-256 of a certificate's public key (its SubjectPublicKeyInfo), as `kubeadm join --discovery-token-ca-cert-hash` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHash(Vec<u8>);

/// Why a text is no such digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no hash of an authority's key: one is `sha256:` and 64 hexadecimal digits; \
     `kubeadm token create --print-join-command` in the cluster prints it"
)]
pub struct NoKeyHash(String);

impl KeyHash {
    /// Of a public key.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(digest(&SHA256, key).as_ref().to_vec())
    }
}

impl FromStr for KeyHash {
    type Err = NoKeyHash;

    fn from_str(text: &str) -> Result<Self, NoKeyHash> {
        let wrong = || NoKeyHash(text.to_owned());
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
        (0..64).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

/// Small digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_and_written_as_kubeadm_does() {
        let text = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(text.parse::<KeyHash>().unwrap().to_string(), text);
        for wrong in [String::new(), "ab".repeat(32), format!("sha256:{}", "a".repeat(63)), text.replace('a', "ä")] {
            assert_eq!(wrong.parse::<KeyHash>(), Err(NoKeyHash(wrong.clone())));
        }
    }
}
