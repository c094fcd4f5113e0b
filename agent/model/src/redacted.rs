//! Text that may hold secrets: stored and used, never printed by `Debug`, so never in a log by accident.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};

/// A container's environment. `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Env(pub BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The bytes of a file. `Debug` shows their number only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Contents(pub Vec<u8>);

/// Text stays readable in the ledger, and takes no more room than it needs.
#[derive(Serialize, Deserialize)]
enum Stored {
    Text(String),
    Base64(String),
}

impl From<Contents> for Stored {
    fn from(Contents(bytes): Contents) -> Self {
        String::from_utf8(bytes).map_or_else(|e| Self::Base64(BASE64_STANDARD.encode(e.as_bytes())), Self::Text)
    }
}

impl TryFrom<Stored> for Contents {
    type Error = base64::DecodeError;
    fn try_from(stored: Stored) -> Result<Self, base64::DecodeError> {
        match stored {
            Stored::Text(text) => Ok(Self(text.into_bytes())),
            Stored::Base64(text) => BASE64_STANDARD.decode(text).map(Self),
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({} bytes)", self.0.len())
    }
}

/// An object as its author wrote it, as JSON. `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub String);

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_a_value() {
        let env = Env([("POSTGRES_PASSWORD".to_owned(), "hunter2".to_owned())].into());
        assert!(!format!("{env:?}").contains("hunter2"));
        assert!(!format!("{:?}", Manifest("hunter2".to_owned())).contains("hunter2"));
        assert!(!format!("{:?}", Contents(b"hunter2".to_vec())).contains("hunter2"));
    }

    #[test]
    fn contents_are_stored_as_they_are_text_or_not() {
        for bytes in [&b"a: 1\n"[..], b"", b"\xff\x00"] {
            let stored = serde_json::to_string(&Contents(bytes.to_vec())).unwrap();
            assert_eq!(serde_json::from_str::<Contents>(&stored).unwrap().0, bytes, "{stored}");
        }
        assert!(serde_json::from_str::<Contents>(r#"{"Base64": "?"}"#).is_err());
    }
}
