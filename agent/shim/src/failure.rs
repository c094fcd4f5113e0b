//! Why a process could not be started: at which stage, with which errno, on what.

use std::io;

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
