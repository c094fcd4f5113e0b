//! What the host administrator's policy says to a pod, and what of a container nobody has to ask it for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Credentials, Pattern, Source};

/// The policy's word on one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permit {
    /// It may be there. Where rules that allow it limit the number of pods, one of them must have room; none means that
    /// it is not limited.
    Granted(Vec<Quota>),
    /// No rule allows it.
    Refused {
        /// What is lacking, and what would allow it.
        message: String,
    },
}

/// How many pods a rule of the policy allows to be there at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The rule.
    pub rule: String,
    /// So many.
    pub most: u32,
    /// Pods of these sources are counted,
    pub sources: Vec<Source>,
    /// in these namespaces.
    pub namespaces: Vec<Pattern>,
}

/// What a container has from its preset and not from its manifest. Presets are the administrator's own word: with the
/// preset all of this is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Brought {
    /// The preset's account; `None` where that is not known.
    pub user: Option<Credentials>,
    /// Its capabilities, by kernel number.
    pub capabilities: Vec<u32>,
    /// The program is the preset's own service, not one that the manifest names.
    pub service: bool,
    /// Commands of the preset's own probes.
    pub commands: BTreeSet<Vec<String>>,
    /// Variables of its environment that the manifest does not give.
    pub variables: BTreeSet<String>,
}
