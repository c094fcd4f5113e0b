//! What a cluster gives to a pod that it has bound to this host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use barepod_model::Contents;

/// What only a cluster has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The tokens that the pod asks for.
    pub tokens: BTreeMap<TokenRef, Contents>,
    /// The variables of the services it may use (`enableServiceLinks`).
    pub service_variables: BTreeMap<String, String>,
    /// PersistentVolumes that are directories of this host's own: each lies where a claim of its name would.
    pub provisioned: BTreeSet<String>,
}

/// A service account token, as a `serviceAccountToken` source asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRef {
    /// Who it is for; empty: the API server.
    pub audience: String,
    /// How long it is to hold, in seconds.
    pub expiration_seconds: i64,
}

impl TokenRef {
    /// What the API server's defaults fill in.
    pub const DEFAULT_EXPIRATION: i64 = 3600;
    /// The shortest that the API server grants (`validation.ValidateTokenRequest`).
    pub const LEAST_EXPIRATION: i64 = 600;
}

impl fmt::Display for TokenRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.audience.as_str() {
            "" => write!(f, "token for the API server, for {} s", self.expiration_seconds),
            audience => write!(f, "token for {audience:?}, for {} s", self.expiration_seconds),
        }
    }
}
