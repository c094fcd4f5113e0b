//! Why a task cannot be started, as a Nomad client understands it.

use prost::Message as _;
use tonic::{Code, Status};

use crate::wire::structs::RecoverableError;

/// Whether another try may help. The client tries again as the job's `restart` says, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// It may.
    Again,
    /// Somebody has to change the job, the policy or the host.
    None,
}

/// `google.rpc.Status`, in which details travel.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

const RECOVERABLE: &str = "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError";

/// A status that says whether there is hope. The client looks for that in the first detail.
pub(crate) fn fault(message: impl Into<String>, hope: Hope) -> Status {
    let (code, message) = (Code::FailedPrecondition, message.into());
    let recoverable = RecoverableError { recoverable: hope == Hope::Again }.encode_to_vec();
    let detail = prost_types::Any { type_url: RECOVERABLE.to_owned(), value: recoverable };
    let details = RpcStatus { code: code as i32, message: message.clone(), details: vec![detail] }.encode_to_vec();
    Status::with_details(code, message, details.into())
}

/// What the daemon's refusal means for a task.
pub(crate) fn refused(status: &Status) -> Status {
    let hope = match status.code() {
        // What is asked for is wrong, or not allowed: asking again changes nothing.
        Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented => Hope::None,
        _ => Hope::Again,
    };
    let reason = barepod_api::reason_of(status).map(|reason| format!("{reason}: ")).unwrap_or_default();
    fault(format!("{reason}{}", status.message()), hope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hope(status: &Status) -> Option<bool> {
        let details = RpcStatus::decode(status.details()).ok()?;
        let first = details.details.first()?;
        assert_eq!(first.type_url, RECOVERABLE);
        RecoverableError::decode(first.value.as_slice()).ok().map(|error| error.recoverable)
    }

    #[test]
    fn a_fault_says_whether_another_try_may_help() {
        assert_eq!(hope(&fault("no room", Hope::Again)), Some(true));
        assert_eq!(hope(&fault("no such image", Hope::None)), Some(false));
    }

    #[test]
    fn what_a_policy_denies_is_not_tried_again_and_a_daemon_that_is_away_is() {
        let denied = barepod_api::refusal(Code::PermissionDenied, "Forbidden", "no rule allows it");
        let fault = refused(&denied);
        assert_eq!((hope(&fault), fault.message()), (Some(false), "Forbidden: no rule allows it"));
        assert_eq!(hope(&refused(&Status::unavailable("away"))), Some(true));
    }
}
