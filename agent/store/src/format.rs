//! A ledger file's contents: an envelope of format number and checksum around the record.
//!
//! Why a checksum: a rename is atomic, but an unsynced file may after a power cut hold blocks of zeros or old data, and
//! disks err. Most such damage breaks the JSON; damage inside a string does not, and a data path with one letter changed
//! is still a path. A hand-edited record is refused for the same reason that an edited manifest is admitted anew: what is
//! in the ledger has passed admission, and nobody has checked the edit. Reading the file by hand stays easy (`jq .record`).

use barepod_core::PodRecord;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Why a ledger file is no record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read at all.
    #[error("cannot read it: {0}")]
    Io(std::io::Error),
    /// It has no contents.
    #[error("it is empty; a power cut or a full disk may have cut it off")]
    Empty,
    /// It is not JSON, or its end is missing.
    #[error("it is not a whole JSON object ({0}); it may have been cut off")]
    NotJson(serde_json::Error),
    /// It is JSON, but has no format number.
    #[error("it has no format number: it is not a ledger file")]
    NoFormat,
    /// A format this version does not know.
    #[error("written by a newer barepod, format {found}; this one reads up to {FORMAT}: install that version again")]
    Newer {
        /// The number in the file.
        found: u32,
    },
    /// The envelope says one thing, the record another.
    #[error("its checksum does not match: it was damaged, or edited by hand")]
    Checksum,
    /// The envelope is whole, but the record in it is not one.
    #[error("its record does not have the shape of format {FORMAT}: {0}")]
    Shape(serde_json::Error),
    /// It is the record of another pod.
    #[error("it holds the record of pod {found}: it was copied or renamed")]
    OtherPod {
        /// The UID in the record.
        found: String,
    },
}

/// The only part that every format has.
#[derive(Deserialize)]
struct Head {
    format: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    sha256: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The file's bytes for `record`.
pub(crate) fn encode(record: &PodRecord) -> Result<Vec<u8>, serde_json::Error> {
    let record = serde_json::value::to_raw_value(record)?;
    let mut bytes = serde_json::to_vec(&Envelope { format: FORMAT, sha256: checksum(&record), record: &record })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record in `bytes`, which must be of the pod `uid`.
pub(crate) fn decode(uid: &str, bytes: &[u8]) -> Result<PodRecord, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    let head: Head = serde_json::from_slice(bytes).map_err(ReadError::NotJson)?;
    match head.format {
        None | Some(0) => return Err(ReadError::NoFormat),
        Some(FORMAT) => {}
        Some(found) => return Err(ReadError::Newer { found }),
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(ReadError::Shape)?;
    if checksum(envelope.record) != envelope.sha256 {
        return Err(ReadError::Checksum);
    }
    let record: PodRecord = serde_json::from_str(envelope.record.get()).map_err(ReadError::Shape)?;
    if record.pod.uid.as_str() != uid {
        return Err(ReadError::OtherPod { found: record.pod.uid.to_string() });
    }
    Ok(record)
}

fn checksum(record: &RawValue) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(record.get().as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
