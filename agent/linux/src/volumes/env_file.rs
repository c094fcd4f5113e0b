//! Variables from files of volumes (`fileKeyRef`), read when a container is about to start.
//!
//! The format is kubelet's: lines `NAME='value'`, a value in single quotes taken as it is and over several lines if need be,
//! a comment behind it; blank lines and lines that begin with `#` say nothing. Of two lines with one name the first counts.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use barepod_model::{EnvFile, Launch, Pod};
use barepod_sys::{descriptor, path};

use super::error::{VolumeError, at};
use super::{title, volume_root};
use crate::Dirs;

/// As much as a ConfigMap may hold.
const MOST: u64 = 1 << 20;

/// The variables of `launch` that files hold, as `NAME=value`.
///
/// # Errors
/// `Refused` where a file is not as it should be, or lacks what is not optional.
pub fn read(dirs: &Dirs, pod: &Pod, launch: &Launch) -> Result<Vec<String>, VolumeError> {
    let mut found = Vec::new();
    for wanted in &launch.env_files {
        if let Some(value) = one(dirs, pod, wanted)? {
            found.push(format!("{}={value}", wanted.name));
        }
    }
    Ok(found)
}

fn one(dirs: &Dirs, pod: &Pod, wanted: &EnvFile) -> Result<Option<String>, VolumeError> {
    let (root, _) = volume_root(dirs, pod, &wanted.volume)?;
    let bad = |what: String| VolumeError::EnvFile {
        variable: wanted.name.clone(),
        file: wanted.path.clone(),
        volume: wanted.volume.clone(),
        what,
    };
    let text = match text(&root, &wanted.path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && wanted.optional => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(bad("it is not there".to_owned())),
        Err(error) => return Err(at(&title(&wanted.volume), &root.join(&wanted.path), error)),
    };
    match value(&text, &wanted.key).map_err(bad)? {
        Some(value) if !value.is_empty() => Ok(Some(value)),
        Some(_) | None if wanted.optional => Ok(None),
        Some(_) | None => Err(bad(format!("it has no key {:?}", wanted.key))),
    }
}

/// What is in a volume is the containers': no link leads out of it.
fn text(root: &Path, file: &Path) -> io::Result<String> {
    let root = path::refer(root)?;
    let found = path::refer_inside(root.as_fd(), file)?;
    if !File::from(found.try_clone()?).metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    File::open(descriptor::path_of(found.as_fd()))?.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// The value of a key, or what is wrong with the lines before it.
fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", number + 1);
        let (name, rest) = line.split_once('=').ok_or_else(|| wrong("there is no '='"))?;
        if name.is_empty() || name.ends_with([' ', '\t']) {
            return Err(wrong("a name stands right before '='"));
        }
        // As in a shell, where nothing follows at once, nothing is meant.
        let found = match rest.strip_prefix('\'') {
            Some(rest) => quoted(rest, &mut lines).map_err(wrong)?,
            None if rest.is_empty() => return Err(wrong("a value stands in single quotes")),
            None if rest.starts_with([' ', '\t']) => String::new(),
            None => return Err(wrong("a value stands in single quotes")),
        };
        if name == key {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn quoted<'a>(first: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut rest = first;
    loop {
        if let Some((end, after)) = rest.split_once('\'') {
            value.push_str(end);
            let after = after.trim_start_matches([' ', '\t']);
            let nothing = after.is_empty() || after.starts_with('#');
            return if nothing { Ok(value) } else { Err("something follows the closing quote") };
        }
        value.push_str(rest);
        value.push('\n');
        rest = lines.next().ok_or("the quote is never closed")?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_kubelets() {
        let text = "# comment\n\n  A='one' # more\nB='two\n lines'\nC= 'nothing'\nA='later'\n";
        for (key, wanted) in [("A", Some("one")), ("B", Some("two\n lines")), ("C", Some("")), ("D", None)] {
            assert_eq!(value(text, key), Ok(wanted.map(str::to_owned)), "{key}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [
            ("A='x'\nB", "line 2"),
            ("A = 'x'", "line 1"),
            ("='x'", "line 1"),
            ("A=x", "line 1"),
            ("A=\"x\"", "line 1"),
            ("\nA='x' y", "line 2"),
            ("A='x", "line 1"),
            ("A=", "line 1"),
        ] {
            let error = value(text, "Z").unwrap_err();
            assert!(error.starts_with(line), "{text}: {error}");
        }
    }
}
