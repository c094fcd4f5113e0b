//! Filters of system calls: profiles as container runtimes write them (OCI and Docker JSON), compiled to the kernel's
//! programs.
//!
//! ```text
//!   JSON ──[profile]──▶ Profile ──[rules]──▶ rules by number, for each architecture ──[program]──▶ Filter
//!         file:line:column                   names looked up, capabilities and kernel considered    sock_filter ...
//! ```
//!
//! barepod's own profile is JSON as well: [`RUNTIME_DEFAULT`].

mod architecture;
mod profile;
mod program;
mod rules;

#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

pub use profile::{Profile, ProfileError};

/// What `RuntimeDefault` means: calls that services need, without those that reach beyond a container.
pub const RUNTIME_DEFAULT: &str = include_str!("seccomp/default.json");

/// Where `RuntimeDefault` is, in errors.
const BUILT_IN: &str = "RuntimeDefault";

/// A compiled profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// One `sock_filter` after another, in this machine's byte order.
    pub program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Names that the profile lets through and that no system call known here has.
    pub unknown: Vec<String>,
}

/// What a profile may make depend on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Capabilities that the process may have, by kernel number.
    pub capabilities: &'a [u32],
    /// Version of the kernel: 6.1 is (6, 1).
    pub kernel: (u32, u32),
}

/// Compiles barepod's own profile.
///
/// # Errors
/// A fault in it, which its tests would have found.
pub fn runtime_default(situation: &Situation<'_>) -> Result<Filter, ProfileError> {
    Profile::parse(Path::new(BUILT_IN), RUNTIME_DEFAULT)?.compile(situation)
}

/// Reads and compiles a profile of the host's: `name` is its path below `directory`.
///
/// # Errors
/// It is not there, or not what it should be, with line and column.
pub fn localhost(directory: &Path, name: &Path, situation: &Situation<'_>) -> Result<Filter, ProfileError> {
    let file = place(directory, name)?;
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|source| ProfileError::Read { file: file.clone(), source })?;
    Profile::parse(&file, &text)?.compile(situation)
}

/// Manifests are checked before; this is the last gate before the file system.
fn place(directory: &Path, name: &Path) -> Result<PathBuf, ProfileError> {
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !name.as_os_str().is_empty() {
        Ok(directory.join(name))
    } else {
        Err(ProfileError::Name { name: name.to_owned() })
    }
}
