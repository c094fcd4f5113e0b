//! What the agent's configuration says in `plugin "barepod-nomad-driver" { config { ... } }`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cty::{self, Malformed};
use crate::schema::{attr, attr_or, object};
use crate::wire::hclspec::Spec;

/// Where the daemon listens unless something else is said.
const SOCKET: &str = "/run/barepod/barepod.sock";

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// Logs are not passed on to Nomad: they are kept by the daemon alone.
    pub(crate) disable_log_collection: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Written {
    socket: Option<PathBuf>,
    disable_log_collection: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(Written::default())
    }
}

impl From<Written> for Settings {
    fn from(written: Written) -> Self {
        Self {
            socket: written.socket.unwrap_or_else(|| SOCKET.into()),
            disable_log_collection: written.disable_log_collection.unwrap_or_default(),
        }
    }
}

impl Settings {
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Malformed> {
        cty::decode::<Written>(value).map(Self::from)
    }

    pub(crate) fn schema() -> Spec {
        object([attr("socket", "string"), attr_or("disable_log_collection", "bool", "false")])
    }
}
