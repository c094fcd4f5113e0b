//! Single words of a preset file that are checked as they are read.

use std::path::{Component, PathBuf};

use serde::Deserialize;

/// A path that begins with `/` and has no `..`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AbsolutePath(pub(crate) PathBuf);

impl TryFrom<String> for AbsolutePath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let path = PathBuf::from(&text);
        if path.is_absolute() && !path.components().any(|c| c == Component::ParentDir) {
            Ok(Self(path))
        } else {
            Err(format!("{text:?} is not an absolute path without '..'"))
        }
    }
}

/// Permissions, written in octal between quotes: `"0400"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct FileMode(pub(crate) u32);

impl TryFrom<String> for FileMode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(format!("{text:?} is not a mode: write it in octal, e.g. \"0400\"")),
        }
    }
}

/// A signal by name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Signal(pub(crate) i32);

impl TryFrom<String> for Signal {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let signal: Result<nix::sys::signal::Signal, _> = text.parse();
        signal.map(|s| Self(s as i32)).map_err(|_| format!("there is no signal {text:?}: write it as SIGTERM"))
    }
}
