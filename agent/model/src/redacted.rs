//! Text that may hold secrets: stored and used, never printed by `Debug`, so never in a log by accident.

use std::collections::BTreeMap;
use std::fmt;

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
    }
}
