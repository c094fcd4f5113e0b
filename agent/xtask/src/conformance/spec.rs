//! A spec of the suite, and the groups that are counted.

use std::fmt::{Display, Formatter, Result};

use serde::{Deserialize, Serialize};

/// A spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spec {
    /// All its texts, as the suite itself joins them.
    pub(super) name: String,
    /// Where it is written, from `test/e2e` on.
    pub(super) file: String,
}

/// A set of specs that is counted by itself. A spec may be in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// `[Conformance]` of `test/e2e/common/node`.
    Node,
    /// `[Conformance]` of `test/e2e/common/storage`.
    Storage,
    /// `[NodeConformance]`, wherever it is.
    NodeConformance,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Node, Self::Storage, Self::NodeConformance];

    /// Whether a spec counts there.
    pub(super) fn has(self, spec: &Spec) -> bool {
        let conformance = spec.name.contains("[Conformance]");
        match self {
            Self::Node => conformance && spec.file.starts_with("test/e2e/common/node/"),
            Self::Storage => conformance && spec.file.starts_with("test/e2e/common/storage/"),
            Self::NodeConformance => spec.name.contains("[NodeConformance]"),
        }
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Node => "common/node, [Conformance]",
            Self::Storage => "common/storage, [Conformance]",
            Self::NodeConformance => "[NodeConformance]",
        })
    }
}

/// What came of a spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// How long it took.
    pub(super) seconds: f64,
}

/// The suite's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Passed,
    /// With the suite's reason, on one line.
    Failed(String),
    /// The suite itself found that it does not apply, with its reason.
    Skipped(String),
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.verdict {
            Verdict::Passed => f.write_str("passed"),
            Verdict::Failed(reason) => write!(f, "FAILED: {reason}"),
            Verdict::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}
