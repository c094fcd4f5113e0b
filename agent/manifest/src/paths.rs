//! Paths in a manifest: normalised text, never the file system.

use std::path::{Component, Path, PathBuf};

use barepod_model::Reason;

use crate::error::Finding;
use crate::place::FieldPath;

/// An absolute path without `..`, with `.` and doubled slashes taken out.
pub(crate) fn absolute(value: &str, path: &FieldPath) -> Result<PathBuf, Finding> {
    let found = normal(value, path)?;
    if found.is_absolute() {
        return Ok(found);
    }
    Err(Finding::new(Reason::InvalidValue, path, format!("{value:?} is not an absolute path"))
        .hint("begin it with '/'"))
}

/// A relative path without `..`.
pub(crate) fn relative(value: &str, path: &FieldPath) -> Result<PathBuf, Finding> {
    let found = normal(value, path)?;
    if found.is_relative() {
        return Ok(found);
    }
    Err(Finding::new(Reason::InvalidValue, path, format!("{value:?} is not a relative path"))
        .hint("remove the first '/'"))
}

fn normal(value: &str, path: &FieldPath) -> Result<PathBuf, Finding> {
    let bad = |message: String| Finding::new(Reason::InvalidValue, path, message);
    if value.contains('\0') {
        return Err(bad("a path cannot hold a NUL character".to_owned()));
    }
    if Path::new(value).components().any(|c| c == Component::ParentDir) {
        return Err(bad(format!("{value:?} contains '..'")).hint("write the path that is meant"));
    }
    Ok(Path::new(value).components().filter(|c| *c != Component::CurDir).collect())
}
