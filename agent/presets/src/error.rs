//! What is wrong with a preset file, and how a request is refused.

use std::fmt;

use barepod_model::{Reason, RequestError};
use barepod_yaml::place::{FieldPath, Place};

use crate::tree::Spot;

/// Something wrong with a preset file. Displayed as
/// `postgresql.yaml:12:7: service.argv: message; hint [InvalidPreset]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetError {
    /// The file, as it was named to the catalogue.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The path of the key; empty if it concerns the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
}

impl PresetError {
    /// The code of every one of them.
    pub const REASON: Reason = Reason::InvalidPreset;

    /// Of a file that has no text to point at.
    pub(crate) fn of_file(file: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let Place { line, column } = Place::START;
        let (file, message, hint) = (file.to_owned(), message.into(), Some(hint.into()));
        Self { file, line, column, key: String::new(), message, hint }
    }
}

impl fmt::Display for PresetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", Self::REASON)
    }
}

impl std::error::Error for PresetError {}

/// A fault at a place.
#[derive(Debug)]
pub(crate) struct Fault {
    spot: Spot,
    line: usize,
    path: FieldPath,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(spot: &Spot, path: &FieldPath, message: impl Into<String>) -> Self {
        Self { spot: spot.clone(), line: spot.place.line, path: path.clone(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// In line `line` of the text that begins at its place.
    pub(crate) fn in_line(self, line: usize) -> Self {
        Self { line: self.spot.line_of(line), ..self }
    }
}

impl From<Fault> for PresetError {
    fn from(fault: Fault) -> Self {
        let Fault { spot, line, path, message, hint } = fault;
        let column = if line == spot.place.line { spot.place.column } else { 1 };
        Self { file: spot.origin.file.clone(), line, column, key: path.to_string(), message, hint }
    }
}

/// `did you mean "images"?`, if one of `known` is close to `name`.
pub(crate) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|k| (strsim::osa_distance(&name.to_lowercase(), &k.to_lowercase()), k));
    distances.min().filter(|(distance, k)| *distance <= 1 + k.len() / 4 && *distance < k.len()).map(|(_, k)| k)
}

/// Refuses a request.
pub(crate) fn refuse(reason: Reason, field: &str, message: impl Into<String>, hint: impl Into<String>) -> RequestError {
    RequestError { reason, field: field.to_owned(), message: message.into(), hint: Some(hint.into()) }
}
