//! What a container has logged, as its files have it.

use std::io;
use std::path::{Path, PathBuf};

use barepod_logs::files;

use crate::host::Host;
use crate::process::tail;

/// One line of a CRI log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `stdout` or `stderr`.
    pub stream: String,
    /// What was written.
    pub text: String,
}

/// All lines of one attempt of a container of a pod of the default namespace, over all its files.
///
/// # Errors
/// As reading the files. `InvalidData` for a torn line, or one that is no CRI line.
pub fn lines(host: &Host, pod: &str, container: &str, attempt: u32) -> io::Result<Vec<Line>> {
    let directory = directory(host, pod, container)?;
    let mut paths = files::rotated(&directory, attempt)?;
    paths.push(files::current(&directory, attempt));
    let mut lines = Vec::new();
    for path in paths {
        lines.extend(lines_of(&path)?);
    }
    Ok(lines)
}

/// The directory of a container's log files.
///
/// # Errors
/// There is none, or more than one pod of this name has logged.
pub fn directory(host: &Host, pod: &str, container: &str) -> io::Result<PathBuf> {
    let prefix = format!("default_{pod}_");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(host.path("var/log/barepod/pods"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path().join(container));
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        other => Err(io::Error::other(format!("{} pods named {pod} have logs", other.len()))),
    }
}

/// The end of all that a host's containers have written, as far as it can be read.
pub fn last_words(host: &Host) -> String {
    let below =
        |directory: PathBuf| std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = below(host.path("var/log/barepod/pods")).flat_map(below).flat_map(below);
    let words = files
        .filter_map(|file| Some(format!("{}:\n{}", file.display(), tail(&std::fs::read_to_string(&file).ok()?, 5))));
    words.collect::<Vec<_>>().join("\n")
}

/// The lines of one file.
///
/// # Errors
/// As [`lines`].
pub fn lines_of(path: &Path) -> io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    let torn = |line: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: no whole CRI line: {line:?}", path.display()))
    };
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(torn(text.lines().last().unwrap_or_default()));
    }
    text.lines().map(|line| parse(line).ok_or_else(|| torn(line))).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut parts = line.splitn(4, ' ');
    let (time, stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_time = time.len() == 30 && time.ends_with('Z');
    (is_time && matches!(stream, "stdout" | "stderr") && tag == "F")
        .then(|| Line { stream: stream.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_an_error_and_no_line() {
        let scratch = crate::Scratch::new().unwrap();
        let whole = "2026-01-01T00:00:00.000000000Z stdout F 1\n";
        for (text, is_sound) in [
            (whole.to_owned(), true),
            (format!("{whole}2026-01-01T00:00:00.000000000Z stdout F 2"), false),
            (format!("{whole}2026-01-01T00:002026-01-01T00:00:00.000000000Z stdout F 2\n"), false),
            (format!("{whole}2\n"), false),
        ] {
            let path = scratch.join("log");
            std::fs::write(&path, &text).unwrap();
            assert_eq!(lines_of(&path).is_ok(), is_sound, "{text}");
        }
    }
}
