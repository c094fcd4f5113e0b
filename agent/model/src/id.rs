//! Names and identities. Each is a newtype that cannot hold an invalid value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that Kubernetes would refuse, with what it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What the value names, e.g. `pod name`.
    pub what: &'static str,
    /// The refused value.
    pub value: String,
    /// The rule it breaks, in words for a person.
    pub rule: &'static str,
}

const LABEL_RULE: &str =
    "use lower case letters, digits and '-', at most 63, beginning and ending with a letter or digit";
const SUBDOMAIN_RULE: &str =
    "use lower case letters, digits, '-' and '.', at most 253, each part beginning and ending with a letter or digit";

/// DNS-1123 label, as apimachinery's `IsDNS1123Label`.
fn is_label(s: &str) -> bool {
    s.len() <= 63 && is_part(s)
}

fn is_part(s: &str) -> bool {
    let bytes = s.as_bytes();
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !bytes.is_empty()
        && bytes.iter().all(|&b| alnum(b) || b == b'-')
        && alnum(bytes[0])
        && alnum(bytes[bytes.len() - 1])
}

/// DNS-1123 subdomain, as apimachinery's `IsDNS1123Subdomain`, for which a part may be longer than a label.
fn is_subdomain(s: &str) -> bool {
    s.len() <= 253 && s.split('.').all(is_part)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks `value`.
            ///
            /// # Errors
            /// The rule that `value` breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                if $check(&value) { Ok(Self(value)) } else { Err(InvalidName { what: $what, value, rule: $rule }) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A Kubernetes namespace (DNS-1123 label).
    Namespace, "namespace", is_label, LABEL_RULE
);
name!(
    /// A pod's name (DNS-1123 subdomain).
    PodName, "pod name", is_subdomain, SUBDOMAIN_RULE
);
name!(
    /// A container's name (DNS-1123 label), unique within its pod.
    ContainerName, "container name", is_label, LABEL_RULE
);

const UID_RULE: &str = "use letters, digits and '-', at most 63";

fn is_uid(s: &str) -> bool {
    !s.is_empty() && s.len() <= 63 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

name!(
    /// A pod's identity for its whole life. Kubernetes' UID where Kubernetes made the pod, else one drawn by the source.
    /// Opaque, but safe as a path component.
    PodUid, "pod UID", is_uid, UID_RULE
);

/// The number of a container's process: 0 is the first, each restart adds one. Never reused within a pod.
///
/// It is also Kubernetes' `restartCount` and the number in the log file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The attempt after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One container of one pod, over all its attempts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerKey {
    /// The pod.
    pub pod: PodUid,
    /// The container's name in it.
    pub container: ContainerName,
}

impl fmt::Display for ContainerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pod, self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dns_1123() {
        assert!(PodName::new("db-0.example").is_ok());
        assert!(ContainerName::new("db-0.example").is_err());
        assert!(Namespace::new("").is_err());
        assert!(Namespace::new("-a").is_err());
        assert!(PodName::new("Upper").is_err());
        assert!(ContainerName::new("a".repeat(64)).is_err());
        assert!(PodName::new("a".repeat(253)).is_ok(), "a part of a subdomain may be longer than a label");
        assert!(PodName::new("a".repeat(254)).is_err());
    }

    #[test]
    fn a_uid_cannot_leave_its_directory() {
        assert!(PodUid::new("../etc").is_err());
        assert!(PodUid::new("0d5e5a46-7bd4-4a7e-9d2a-0ab5c4e7a111").is_ok());
    }
}
