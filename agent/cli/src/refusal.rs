//! How a failure is shown: what, its reason code, and the causes below it.

use std::process::ExitCode;

use anyhow::Error;
use barepod_api::reason_of;
use tonic::{Code, Status};

/// A status of the daemon as an error for a person: the message and its reason code.
pub(crate) fn from_status(status: Status) -> Error {
    let message = match status.code() {
        Code::Unavailable if reason_of(&status).is_none() => {
            format!("the connection to barepodd broke: {}; services run on without it", status.message())
        }
        _ => status.message().to_owned(),
    };
    match reason_of(&status) {
        Some(reason) => Error::msg(format!("{message} [{reason}]")),
        None => Error::msg(message),
    }
}

/// Shows an error and gives the exit code for it.
pub(crate) fn fail(error: &Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
