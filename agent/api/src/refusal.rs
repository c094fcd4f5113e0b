//! How a refusal with its reason code travels in a gRPC status.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

const REASON: &str = "barepod-reason";

/// A status that carries a reason code in its metadata.
///
/// `reason` must be ASCII, as all reason codes are; one that is not is left out.
#[must_use]
pub fn refusal(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code, message);
    if let Ok(value) = MetadataValue::try_from(reason) {
        status.metadata_mut().insert(REASON, value);
    }
    status
}

/// The reason code of a status, if it carries one.
#[must_use]
pub fn reason_of(status: &Status) -> Option<&str> {
    status.metadata().get(REASON)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_reason() {
        let status = refusal(Code::NotFound, "NotFound", "pod default/db does not exist");
        assert_eq!(reason_of(&status), Some("NotFound"));
        assert_eq!(reason_of(&Status::internal("x")), None);
    }
}
