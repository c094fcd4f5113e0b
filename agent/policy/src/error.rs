//! What is wrong with a policy file.

use std::fmt;

use barepod_model::Reason;
use serde_saphyr::Location;

/// Something wrong with a policy file. Displayed as `policy.yaml:12:7: message; hint [InvalidPolicy]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The file, as it was named to [`parse`](crate::parse).
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: String,
}

impl PolicyError {
    /// The code of every one of them.
    pub const REASON: Reason = Reason::InvalidPolicy;
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, hint } = self;
        write!(f, "{file}:{line}:{column}: {message}; {hint} [{}]", Self::REASON)
    }
}

impl std::error::Error for PolicyError {}

/// The same before it is known in which file.
#[derive(Debug)]
pub(crate) struct Fault {
    at: Location,
    message: String,
    hint: String,
}

impl Fault {
    pub(crate) fn new(at: Location, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: hint.into() }
    }

    pub(crate) fn in_file(self, file: &str) -> PolicyError {
        let Self { at, message, hint } = self;
        PolicyError { file: file.to_owned(), line: at.line().max(1), column: at.column().max(1), message, hint }
    }
}
