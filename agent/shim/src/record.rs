//! What a shim writes into its directory for the one that comes after it: the newest attempt, and how it ended.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use prost::Message;

use crate::layout;
use crate::wire::{Attempt, AttemptRecord, ExitRecord, Heard};

/// Whose shim this is, as the daemon wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the container.
    pub container: String,
}

impl Identity {
    /// Reads it.
    ///
    /// # Errors
    /// As read(2); `InvalidData` when there are not two lines.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(directory.join(layout::IDENTITY))?;
        let mut lines = text.lines().filter(|line| !line.is_empty());
        match (lines.next(), lines.next()) {
            (Some(pod_uid), Some(container)) => Ok(Self { pod_uid: pod_uid.into(), container: container.into() }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "two lines are expected: pod UID and container name")),
        }
    }
}

/// The newest attempt; `None` when there was none.
///
/// # Errors
/// As read(2); `InvalidData` when it is no record.
pub fn read_attempt(directory: &Path) -> io::Result<Option<AttemptRecord>> {
    read(&directory.join(layout::ATTEMPT))
}

/// Writes it.
///
/// # Errors
/// As write(2), rename(2).
pub fn write_attempt(directory: &Path, record: &AttemptRecord) -> io::Result<()> {
    write(&directory.join(layout::ATTEMPT), record)
}

/// How an attempt ended; `None` when nobody wrote it down.
///
/// # Errors
/// As read(2); `InvalidData` when it is no record.
pub fn read_exit(directory: &Path, attempt: u32) -> io::Result<Option<Attempt>> {
    Ok(read::<ExitRecord>(&layout::exit_record(directory, attempt))?.and_then(|record| record.attempt))
}

/// Writes it.
///
/// # Errors
/// As write(2), rename(2).
pub fn write_exit(directory: &Path, attempt: &Attempt) -> io::Result<()> {
    let record = ExitRecord { attempt: Some(attempt.clone()) };
    write(&layout::exit_record(directory, attempt.attempt), &record)
}

/// What an attempt's service has said of itself; `None` when nothing was written down of that attempt.
///
/// # Errors
/// As read(2); `InvalidData` when it is no record.
pub fn read_heard(directory: &Path, attempt: u32) -> io::Result<Option<Heard>> {
    Ok(read::<Heard>(&directory.join(layout::HEARD))?.filter(|heard| heard.attempt == attempt))
}

/// Writes it.
///
/// # Errors
/// As write(2), rename(2).
pub fn write_heard(directory: &Path, heard: &Heard) -> io::Result<()> {
    write(&directory.join(layout::HEARD), heard)
}

/// The attempts of which an end is written down, in order.
///
/// # Errors
/// As reading the directory.
pub fn ended(directory: &Path) -> io::Result<Vec<u32>> {
    let mut attempts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        attempts.extend(name.to_str().and_then(|name| name.strip_prefix(layout::EXIT)?.parse::<u32>().ok()));
    }
    attempts.sort_unstable();
    Ok(attempts)
}

/// Removes what is written down of an end; what is not there need not be removed.
pub fn forget_exit(directory: &Path, attempt: u32) {
    // the directory goes with the pod in any case
    let _ = fs::remove_file(layout::exit_record(directory, attempt));
}

fn read<M: Message + Default>(path: &Path) -> io::Result<Option<M>> {
    match fs::read(path) {
        Ok(bytes) => {
            M::decode(bytes.as_slice()).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A reader sees the old record or the new one, never a part.
fn write(path: &Path, record: &impl Message) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&record.encode_to_vec())?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_record_is_read_as_it_was_written_and_its_absence_is_no_error() {
        let scratch = Scratch::new();
        let attempt = Attempt { attempt: 3, pid: 42, ..Attempt::default() };
        assert_eq!(read_exit(scratch.path(), 3).unwrap(), None);

        write_exit(scratch.path(), &attempt).unwrap();

        assert_eq!(read_exit(scratch.path(), 3).unwrap(), Some(attempt));
    }

    #[test]
    fn ends_are_listed_in_order_until_they_are_forgotten() {
        let scratch = Scratch::new();
        for attempt in [10, 9, 0] {
            write_exit(scratch.path(), &Attempt { attempt, ..Attempt::default() }).unwrap();
        }
        fs::write(scratch.path().join("exit-7.new"), "").unwrap();
        assert_eq!(ended(scratch.path()).unwrap(), [0, 9, 10]);

        forget_exit(scratch.path(), 9);

        assert_eq!(ended(scratch.path()).unwrap(), [0, 10]);
    }

    #[test]
    fn a_record_that_is_none_is_an_error_and_not_an_absence() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join(layout::ATTEMPT), [0xff; 9]).unwrap();

        assert_eq!(read_attempt(scratch.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_identity_needs_both_lines() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join(layout::IDENTITY), "uid-1\n").unwrap();
        assert!(Identity::read(scratch.path()).is_err());

        fs::write(scratch.path().join(layout::IDENTITY), "uid-1\npostgres\n").unwrap();
        assert_eq!(Identity::read(scratch.path()).unwrap().container, "postgres");
    }
}
