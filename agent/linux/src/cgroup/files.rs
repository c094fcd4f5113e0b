//! Reading and writing a group's files, each error with its path.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::CgroupError;

/// The file's text without surrounding white space.
pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    let text = fs::read_to_string(path).map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

/// The number in the file; `None` for `max` and for a file that is not there.
pub(super) fn read_limit(path: &Path) -> Result<Option<u64>, CgroupError> {
    match read(path) {
        Ok(text) if text == "max" => Ok(None),
        Ok(text) => parse(path, &text).map(Some),
        Err(CgroupError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number in the file; `None` if it is not there.
pub(super) fn read_number(path: &Path) -> Result<Option<u64>, CgroupError> {
    match read(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(CgroupError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number after `key` in a file of `key number` lines; `None` if the file or the key is not there.
pub(super) fn read_key(path: &Path, key: &str) -> Result<Option<u64>, CgroupError> {
    let text = match read(path) {
        Ok(text) => text,
        Err(CgroupError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let line = text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key);
    line.map(|(_, number)| parse(path, number)).transpose()
}

fn parse(path: &Path, text: &str) -> Result<u64, CgroupError> {
    text.trim().parse().map_err(|_| CgroupError::Parse { path: path.to_owned(), contents: text.to_owned() })
}

/// Writes `value` in one write, as the kernel wants it, to a file that must exist.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let written =
        OpenOptions::new().write(true).truncate(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| CgroupError::Write { path: path.to_owned(), value: value.to_owned(), source })
}
