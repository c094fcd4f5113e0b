//! What is wrong with a preset file, and how a request is refused.

use std::fmt;

use barepod_model::{Reason, RequestError};
use serde_saphyr::Location;

/// Something wrong with a preset file. Displayed as `postgresql.yaml:12:7: message; hint [InvalidPreset]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetError {
    /// The file, as it was named to the catalogue.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
}

impl PresetError {
    /// The code of every one of them.
    pub const REASON: Reason = Reason::InvalidPreset;
}

impl fmt::Display for PresetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", Self::REASON)
    }
}

impl std::error::Error for PresetError {}

/// A fault in a preset before it is known in which file.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Location,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(at: Location, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn in_file(self, file: &str) -> PresetError {
        let Self { at, message, hint } = self;
        PresetError { file: file.to_owned(), line: at.line().max(1), column: at.column().max(1), message, hint }
    }
}

/// Refuses a request.
pub(crate) fn refuse(reason: Reason, field: &str, message: impl Into<String>, hint: impl Into<String>) -> RequestError {
    RequestError { reason, field: field.to_owned(), message: message.into(), hint: Some(hint.into()) }
}
