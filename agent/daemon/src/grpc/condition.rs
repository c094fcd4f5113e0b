//! What is asked of a pod's conditions, checked by Kubernetes' rules.

use barepod_api::{ACCOUNTED, refusal, v1};
use barepod_core::{ConditionChange, ConditionStatus, Event, PodView, Severity};
use barepod_model::{PodName, Reason};
use tonic::{Code, Status};

/// `maxLength` of `reason` and `message` in `metav1.Condition`.
const LONGEST_REASON: usize = 1024;
const LONGEST_MESSAGE: usize = 32_768;
/// Of the part of a type after the `/`, and of a whole type (`metav1.Condition`).
const LONGEST_NAME: usize = 63;
const LONGEST_TYPE: usize = 316;

/// The change that is asked for.
pub(super) fn change(request: v1::SetConditionRequest) -> Result<ConditionChange, Status> {
    let v1::SetConditionRequest { r#type: kind, status, reason, message, .. } = request;
    if !is_type(&kind) {
        return Err(invalid(format!(
            "{kind:?} is no type of a condition: use letters, digits, '-', '_' and '.', after an optional DNS name and '/'"
        )));
    }
    let status = match status.as_str() {
        "" => return Ok(ConditionChange::Remove { kind }),
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        "Unknown" => ConditionStatus::Unknown,
        other => return Err(invalid(format!("{other:?} is no status of a condition: use True, False or Unknown"))),
    };
    if !is_reason(&reason) {
        return Err(invalid(format!("{reason:?} is no reason: use one word of letters, digits, '_', ',' and ':'")));
    }
    if message.len() > LONGEST_MESSAGE {
        return Err(invalid(format!("the message has {} bytes; it may have {LONGEST_MESSAGE}", message.len())));
    }
    Ok(ConditionChange::Set { kind, status, reason, message })
}

/// What people are told of a pod that Nomad does not count, if that is news.
pub(super) fn uncounted(view: &PodView, change: &ConditionChange) -> Option<Event> {
    let ConditionChange::Set { kind, status: ConditionStatus::False, message, .. } = change else { return None };
    let is_known = view.conditions.iter().any(|condition| {
        condition.kind == *kind && condition.status == ConditionStatus::False && condition.message == *message
    });
    (kind == ACCOUNTED && !is_known).then(|| Event {
        pod: view.uid.clone(),
        container: None,
        severity: Severity::Warning,
        reason: Reason::Unaccounted,
        message: message.clone(),
    })
}

fn invalid(message: String) -> Status {
    refusal(Code::InvalidArgument, Reason::InvalidValue.as_str(), message)
}

fn is_type(kind: &str) -> bool {
    let (prefix, name) = kind.split_once('/').map_or((None, kind), |(prefix, name)| (Some(prefix), name));
    let ends = |name: &str| {
        let is_plain = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        is_plain(name.chars().next()) && is_plain(name.chars().last())
    };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    kind.len() <= LONGEST_TYPE
        && name.len() <= LONGEST_NAME
        && ends(name)
        && name.chars().all(inner)
        && prefix.is_none_or(|prefix| PodName::new(prefix).is_ok())
}

fn is_reason(reason: &str) -> bool {
    let begins = reason.chars().next().is_none_or(|c| c.is_ascii_alphabetic());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    begins && reason.len() <= LONGEST_REASON && reason.chars().all(inner) && !reason.ends_with([',', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, status: &str, reason: &str) -> Result<ConditionChange, Status> {
        let (kind, status, reason) = (kind.to_owned(), status.to_owned(), reason.to_owned());
        change(v1::SetConditionRequest { r#type: kind, status, reason, ..Default::default() })
    }

    #[test]
    fn types_status_and_reasons_are_those_of_kubernetes() {
        assert!(asked("example.com/in-lb", "True", "Registered").is_ok());
        assert!(asked("Plain", "Unknown", "").is_ok());
        for (kind, status, reason) in [
            ("", "True", ""),
            ("a/b/c", "True", ""),
            ("Example Com", "True", ""),
            ("x", "true", ""),
            ("x", "Maybe", ""),
            ("x", "True", "two words"),
            ("x", "True", "1st"),
        ] {
            assert!(asked(kind, status, reason).is_err(), "{kind:?} {status:?} {reason:?}");
        }
    }

    #[test]
    fn without_a_status_it_is_removed() {
        assert_eq!(asked("x", "", "").ok(), Some(ConditionChange::Remove { kind: "x".to_owned() }));
    }
}
