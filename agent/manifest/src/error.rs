//! What is wrong with a manifest, where, and the likely fix.

use std::fmt;

use barepod_model::Reason;

use crate::place::{FieldPath, Place};

/// One thing wrong with a manifest; also the form of a warning.
///
/// Displayed on one line: `postgresql.yaml:12:7: spec.containers[0].imagee: no such field; did you mean "image"?
/// [UnknownField]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The code.
    pub reason: Reason,
    /// The file, as it was named to [`read`](crate::read).
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The field's path from the root of its object; empty if it concerns the whole file.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", self.reason)
    }
}

impl std::error::Error for ManifestError {}

/// Something found at a field, before it is known to which place and file that belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) reason: Reason,
    pub(crate) field: FieldPath,
    pub(crate) place: Option<Place>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(reason: Reason, field: &FieldPath, message: impl Into<String>) -> Self {
        Self { reason, field: field.clone(), place: None, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

impl Findings {
    /// Adds an error, unless one was already found at this very field.
    pub(crate) fn error(&mut self, finding: Finding) {
        if !self.errors.iter().any(|e| e.field == finding.field) {
            self.errors.push(finding);
        }
    }

    pub(crate) fn warn(&mut self, finding: Finding) {
        self.warnings.push(finding);
    }

    /// Takes a value or the reason why there is none.
    pub(crate) fn take<T>(&mut self, result: Result<T, Finding>) -> Option<T> {
        result.map_err(|finding| self.error(finding)).ok()
    }
}
