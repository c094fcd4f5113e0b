//! Names of log files. An attempt writes `<n>.log`; a full one becomes `<n>.log.YYYYMMDD-HHMMSS`, as kubelet names them,
//! with `.1`, `.2`, ... behind it when several fall in one second.

use std::io;
use std::path::{Path, PathBuf};

use crate::cri::put_digits;
use crate::time::Civil;

/// The file that is written.
#[must_use]
pub fn current(directory: &Path, attempt: u32) -> PathBuf {
    directory.join(format!("{attempt}.log"))
}

/// A name for the current file when it is full, that nothing has yet.
#[must_use]
pub fn rotated_name(directory: &Path, attempt: u32, wall_ns: i64) -> PathBuf {
    let stem = format!("{attempt}.log.{}", stamp(wall_ns));
    let mut candidate = directory.join(&stem);
    let mut number = 0_u32;
    while candidate.symlink_metadata().is_ok() {
        number += 1;
        candidate = directory.join(format!("{stem}.{number}"));
    }
    candidate
}

/// The full files of an attempt, oldest first.
///
/// # Errors
/// As reading the directory.
pub fn rotated(directory: &Path, attempt: u32) -> io::Result<Vec<PathBuf>> {
    let start = format!("{attempt}.log.");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(order) = name.to_str().and_then(|name| name.strip_prefix(&start)).and_then(order) {
            found.push((order, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Removes the oldest full files, so that with the current one `max_files` are left (at least 2).
///
/// # Errors
/// The first failure; the others are tried all the same.
pub fn prune(directory: &Path, attempt: u32, max_files: u32) -> io::Result<()> {
    let kept = max_files.max(2) as usize - 1;
    let files = rotated(directory, attempt)?;
    let surplus = files.len().saturating_sub(kept);
    files[..surplus].iter().map(std::fs::remove_file).fold(Ok(()), Result::and)
}

fn stamp(wall_ns: i64) -> String {
    let civil = Civil::from_unix_ns(wall_ns);
    let mut text = *b"00000000-000000";
    for (range, value) in [
        (0..4, civil.year.clamp(0, 9999) as u32),
        (4..6, civil.month),
        (6..8, civil.day),
        (9..11, civil.hour),
        (11..13, civil.minute),
        (13..15, civil.second),
    ] {
        put_digits(&mut text[range], value);
    }
    text.iter().map(|&byte| char::from(byte)).collect()
}

/// Second and number; `None` for files of others, such as compressed ones.
fn order(suffix: &str) -> Option<(String, u32)> {
    let (stamp, number) = suffix.split_once('.').unwrap_or((suffix, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = stamp.split_once('-')?;
    (date.len() == 8 && time.len() == 6 && digits(date) && digits(time)).then_some(())?;
    Some((stamp.to_owned(), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    const TIME: i64 = 1_767_323_045_000_000_006;

    #[test]
    fn files_of_one_second_get_numbers_and_keep_their_order() {
        let scratch = Scratch::new();
        let mut made = Vec::new();
        for _ in 0..12 {
            let path = rotated_name(scratch.path(), 3, TIME);
            std::fs::write(&path, "").unwrap();
            made.push(path);
        }

        assert!(made[0].ends_with("3.log.20260102-030405") && made[11].ends_with("3.log.20260102-030405.11"));
        assert_eq!(rotated(scratch.path(), 3).unwrap(), made);
    }

    #[test]
    fn files_of_others_are_neither_listed_nor_removed() {
        let scratch = Scratch::new();
        for name in
            ["3.log", "13.log.20260102-030405", "3.log.20260102-030405.gz", "3.log.old", "3.log.20260102-030405"]
        {
            std::fs::write(scratch.path().join(name), "").unwrap();
        }

        assert_eq!(rotated(scratch.path(), 3).unwrap(), [scratch.path().join("3.log.20260102-030405")]);
    }

    #[test]
    fn pruning_leaves_the_newest() {
        let scratch = Scratch::new();
        for second in 0..5 {
            std::fs::write(rotated_name(scratch.path(), 1, TIME + second * 1_000_000_000), "").unwrap();
        }

        prune(scratch.path(), 1, 3).unwrap();

        let left = rotated(scratch.path(), 1).unwrap();
        assert_eq!(left.len(), 2);
        assert!(left[1].ends_with("1.log.20260102-030409"));
    }
}
