//! A profile as it is written, and what is wrong with it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be read.
    #[error("the seccomp profile {} cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would not lie in the directory of profiles.
    #[error("{} names no seccomp profile: it must be a path below the directory of profiles", name.display())]
    Name {
        /// The name.
        name: PathBuf,
    },
    /// It is not JSON of a profile; the message has line and column.
    #[error("{}: {message}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// Something in it is not as it should be.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Place {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong, and what is right.
        message: String,
    },
    /// It makes a longer program than the kernel takes.
    #[error("{}: it makes a program of {instructions} instructions; the kernel takes at most 4096", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// How many there are.
        instructions: usize,
    },
    /// This machine's system calls are not known.
    #[error("barepod knows no system calls of this machine ({0}), so no filter can be made")]
    Machine(&'static str),
}

/// A profile whose words are known; calls and architectures are still names.
#[derive(Debug)]
pub struct Profile {
    pub(super) file: PathBuf,
    pub(super) raw: Raw,
}

/// As Docker and the OCI runtime specification have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    pub(super) default_action: Spanned<String>,
    #[serde(default)]
    pub(super) default_errno_ret: Option<u32>,
    #[serde(default)]
    pub(super) architectures: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) arch_map: Vec<RawArchitectures>,
    #[serde(default)]
    pub(super) flags: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) listener_path: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) listener_metadata: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) syscalls: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawArchitectures {
    pub(super) architecture: Spanned<String>,
    #[serde(default)]
    pub(super) sub_architectures: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) names: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) name: Option<Spanned<String>>,
    pub(super) action: Spanned<String>,
    #[serde(default)]
    pub(super) errno_ret: Option<u32>,
    /// By name; the number wins.
    #[serde(default)]
    pub(super) errno: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) args: Option<Vec<RawArgument>>,
    #[serde(default)]
    pub(super) includes: RawCondition,
    #[serde(default)]
    pub(super) excludes: RawCondition,
    #[serde(default, rename = "comment")]
    pub(super) _comment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawArgument {
    pub(super) index: Spanned<u32>,
    pub(super) value: u64,
    #[serde(default)]
    pub(super) value_two: u64,
    pub(super) op: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawCondition {
    pub(super) caps: Vec<Spanned<String>>,
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<Spanned<String>>,
}

impl Profile {
    /// Reads one; `file` is where it is from.
    ///
    /// # Errors
    /// It is no profile.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ProfileError> {
        let raw = serde_saphyr::from_str(text);
        let raw = raw.map_err(|error| ProfileError::Parse { file: file.to_owned(), message: error.to_string() })?;
        Ok(Self { file: file.to_owned(), raw })
    }

    /// An error at a place of this profile.
    pub(super) fn fault<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> ProfileError {
        let (line, column) = (at.referenced.line(), at.referenced.column());
        ProfileError::Place { file: self.file.clone(), line, column, message: message.into() }
    }
}
