//! Single words of a preset file that are checked as they are read.

use std::path::{Component, PathBuf};

use barepod_model::CAPABILITIES;
use serde_json::json;

use crate::read::{Definitions, Faults, Read, Text, Word, mismatch, one_of};
use crate::tree::{Branch, Tree};

/// A path that begins with `/` and has no `..`.
#[derive(Debug, Clone)]
pub(crate) struct AbsolutePath(pub(crate) PathBuf);

impl Word for AbsolutePath {
    fn word(text: &str) -> Result<Self, (String, String)> {
        let path = PathBuf::from(text);
        if path.is_absolute() && !path.components().any(|c| c == Component::ParentDir) {
            Ok(Self(path))
        } else {
            Err((format!("{text:?} is not an absolute path without '..'"), "begin it with /".to_owned()))
        }
    }

    fn describe() -> serde_json::Value {
        json!({ "pattern": "^/" })
    }
}

/// Permissions, written in octal between quotes: `"0400"`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileMode(pub(crate) u32);

impl Word for FileMode {
    fn word(text: &str) -> Result<Self, (String, String)> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err((format!("{text:?} is not a mode"), "write it in octal, e.g. \"0400\"".to_owned())),
        }
    }

    fn describe() -> serde_json::Value {
        json!({ "pattern": "^[0-7]{3,5}$" })
    }
}

/// A signal by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal(pub(crate) i32);

impl Word for Signal {
    fn word(text: &str) -> Result<Self, (String, String)> {
        let all: Vec<(&str, i32)> =
            nix::sys::signal::Signal::iterator().map(|signal| (signal.as_str(), signal as i32)).collect();
        one_of(text, "signal", &all).map(Self).map_err(|(message, hint)| {
            match all.iter().find(|(name, _)| name[3..] == *text) {
                Some((name, _)) => (message, format!("did you mean {name}?")),
                None => (message, hint),
            }
        })
    }

    fn describe() -> serde_json::Value {
        json!({ "pattern": "^SIG[A-Z0-9]+$" })
    }
}

/// A capability by Kubernetes' name, which has no `CAP_`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capability(pub(crate) u32);

impl Word for Capability {
    fn word(text: &str) -> Result<Self, (String, String)> {
        let all: Vec<(&str, u32)> = CAPABILITIES.into_iter().zip(0..).collect();
        one_of(text.strip_prefix("CAP_").unwrap_or(text), "capability", &all).map(Self)
    }

    fn describe() -> serde_json::Value {
        json!({ "enum": CAPABILITIES.as_slice() })
    }
}

/// A resource limit by the name that `ulimit` and systemd give it, as Linux' number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resource(pub(crate) u32);

const RESOURCES: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

impl Resource {
    /// Its name in preset files.
    pub(crate) fn name(self) -> &'static str {
        RESOURCES.iter().find(|(_, number)| *number == self.0).map_or("limit", |(name, _)| name)
    }
}

impl Word for Resource {
    fn word(text: &str) -> Result<Self, (String, String)> {
        one_of(text, "resource limit", &RESOURCES).map(Self)
    }

    fn describe() -> serde_json::Value {
        json!({ "enum": RESOURCES.map(|(name, _)| name) })
    }
}

/// The value of a resource limit: a number, or `infinity`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) u64);

impl Read for Limit {
    fn read(tree: &Tree, path: &barepod_yaml::place::FieldPath, faults: &mut Faults) -> Option<Self> {
        match &tree.value {
            Branch::Number(number) if number.is_u64() => number.as_u64().map(Self),
            Branch::Text(text) if text == "infinity" => Some(Self(u64::MAX)),
            _ => mismatch(tree, path, "a whole number or infinity", faults),
        }
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "infinity" }] })
    }
}

/// A port: a number, or a template.
#[derive(Debug, Clone)]
pub(crate) struct PortText(pub(crate) Text);

impl Read for PortText {
    fn read(tree: &Tree, path: &barepod_yaml::place::FieldPath, faults: &mut Faults) -> Option<Self> {
        let value = match &tree.value {
            Branch::Number(number) => number.to_string(),
            Branch::Text(text) => text.clone(),
            _ => return mismatch(tree, path, "a port", faults),
        };
        Some(Self(Text { value, spot: tree.spot.clone(), path: path.clone() }))
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }] })
    }
}

/// An enum whose variants are words.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub(crate) enum $name:ident as $what:literal {
            $( $(#[doc = $doc:literal])+ $word:literal => $variant:ident, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl $crate::read::Word for $name {
            fn word(text: &str) -> Result<Self, (String, String)> {
                $crate::read::one_of(text, $what, &[$( ($word, Self::$variant) ),+])
            }

            fn describe() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),+] })
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        let number = |name| Capability::word(name).map(|c| c.0).ok();
        assert_eq!(number("NET_BIND_SERVICE"), Some(10));
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("EVERYTHING"), None);
    }
}
