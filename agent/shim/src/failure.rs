//! Why a process could not be started: at which stage, with which errno, on what.

use std::io;

use barepod_sys::standby::Complaint;
use prost::Message as _;
use prost::encoding::encode_varint;

use crate::wire::StartFailed;
use crate::wire::start_failed::Stage;

/// One failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// The kernel's number; `EIO` where there is none.
    pub errno: i32,
    /// On what.
    pub object: String,
}

impl Failure {
    /// As the wire says it.
    #[must_use]
    pub fn of_attempt(self, attempt: u32) -> StartFailed {
        StartFailed { attempt, stage: self.stage.into(), errno: self.errno, object: self.object }
    }
}

/// Says at which stage a step failed, and on what.
pub trait At<T> {
    /// Makes a failure of an error.
    ///
    /// # Errors
    /// The error, with its place.
    fn at(self, stage: Stage, object: &str) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, stage: Stage, object: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { stage, errno: errno(&error), object: object.to_owned() })
    }
}

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const ENOENT: i32 = 2;

/// The kernel's number of an error, also of those that std makes itself.
#[must_use]
pub fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::InvalidInput => EINVAL,
        io::ErrorKind::NotFound => ENOENT,
        _ => EIO,
    })
}

/// The frame of a failure whose errno is put in by a process that cannot make a frame any more.
#[must_use]
pub fn complaint(attempt: u32, stage: Stage, object: &str) -> Complaint {
    /// `StartFailed.errno` is a number, field 3; `Event.start_failed` a message, field 3.
    const ERRNO: u8 = 3 << 3;
    const START_FAILED: u8 = 3 << 3 | 2;
    let failed = StartFailed { attempt, stage: stage.into(), errno: 0, object: object.to_owned() };
    let mut message = failed.encode_to_vec();
    message.extend([ERRNO, 0x80, 0]);
    let mut event = vec![START_FAILED];
    encode_varint(message.len() as u64, &mut event);
    event.extend(message);
    // a frame is at most 4 MiB, and an object is a path
    let mut bytes = u32::try_from(event.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend(event);
    Complaint { errno_at: bytes.len() - 2, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Event, event, read_frame};

    #[test]
    fn a_complaint_is_the_frame_of_a_failure_with_any_errno() {
        for errno in [1_u8, 2, 13, 40, 127, 133] {
            let Complaint { mut bytes, errno_at } = complaint(7, Stage::Chdir, "/data/läuft");
            bytes[errno_at] = 0x80 | errno & 0x7f;
            bytes[errno_at + 1] = errno >> 7;

            let event = read_frame::<Event>(&mut bytes.as_slice()).unwrap().unwrap();

            let failed = Failure { stage: Stage::Chdir, errno: errno.into(), object: "/data/läuft".into() };
            assert_eq!(event.event, Some(event::Event::StartFailed(failed.of_attempt(7))));
        }
    }
}
