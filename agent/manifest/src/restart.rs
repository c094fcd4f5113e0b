//! A container's own rules of restart, and what kind of container they make it.

use barepod_model::{ContainerKind, ContainerRestart, ExitCodes, Reason, RestartAction, RestartPolicy, RestartRule};
use k8s_openapi::api::core::v1;

use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// As Kubernetes' validation has it.
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;

/// Reads `restartPolicy` and `restartPolicyRules` of a container. An init container that is always restarted is a sidecar.
pub(crate) fn parse(
    from: &v1::Container,
    kind: ContainerKind,
    path: &FieldPath,
    out: &mut Findings,
) -> (ContainerKind, ContainerRestart) {
    let policy = policy(from.restart_policy.as_deref(), &path.key("restartPolicy"), out);
    let rules_path = path.key("restartPolicyRules");
    let rules = rules(from.restart_policy_rules.as_deref().unwrap_or_default(), &rules_path, out);
    if !rules.is_empty() && policy.is_none() {
        let finding = Finding::new(Reason::MissingField, &path.key("restartPolicy"), "rules need a policy beside them");
        out.error(finding.hint("say what happens where no rule fits: Always, OnFailure or Never"));
    }
    match (kind, policy) {
        (ContainerKind::Init, Some(RestartPolicy::Always)) => {
            if !rules.is_empty() {
                let message = "a sidecar is always restarted, so rules change nothing";
                out.error(Finding::new(Reason::InvalidValue, &rules_path, message).hint("remove them"));
            }
            (ContainerKind::Sidecar, ContainerRestart::default())
        }
        (kind, policy) => (kind, ContainerRestart { policy, rules }),
    }
}

fn policy(from: Option<&str>, path: &FieldPath, out: &mut Findings) -> Option<RestartPolicy> {
    match from {
        None | Some("") => None,
        Some("Always") => Some(RestartPolicy::Always),
        Some("OnFailure") => Some(RestartPolicy::OnFailure),
        Some("Never") => Some(RestartPolicy::Never),
        Some(other) => {
            let finding = Finding::new(Reason::InvalidValue, path, format!("there is no restart policy {other:?}"));
            out.error(finding.hint("use Always, OnFailure or Never"));
            None
        }
    }
}

fn rules(from: &[v1::ContainerRestartRule], path: &FieldPath, out: &mut Findings) -> Vec<RestartRule> {
    if from.len() > MAX_RULES {
        let message = format!("there are {} rules; Kubernetes takes {MAX_RULES}", from.len());
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("merge some"));
    }
    from.iter().enumerate().filter_map(|(i, from)| rule(from, &path.index(i), out)).collect()
}

fn rule(from: &v1::ContainerRestartRule, path: &FieldPath, out: &mut Findings) -> Option<RestartRule> {
    let action = match from.action.as_str() {
        "Restart" => RestartAction::Restart,
        "RestartAllContainers" => RestartAction::RestartAllContainers,
        other => {
            let path = path.key("action");
            out.error(
                Finding::new(Reason::InvalidValue, &path, format!("there is no action {other:?}"))
                    .hint("use Restart or RestartAllContainers"),
            );
            return None;
        }
    };
    let path = path.key("exitCodes");
    let Some(from) = &from.exit_codes else {
        out.error(Finding::new(Reason::MissingField, &path, "this field is required").hint("name the exit codes"));
        return None;
    };
    let codes = from.values.clone().unwrap_or_default();
    if codes.is_empty() || codes.len() > MAX_CODES || codes.iter().any(|code| !(0..=255).contains(code)) {
        let finding = Finding::new(Reason::InvalidValue, &path.key("values"), "these are no exit codes");
        out.error(finding.hint("give 1 to 255 numbers from 0 to 255"));
        return None;
    }
    let codes = match from.operator.as_str() {
        "In" => ExitCodes::In(codes),
        "NotIn" => ExitCodes::NotIn(codes),
        other => {
            let path = path.key("operator");
            let finding = Finding::new(Reason::InvalidValue, &path, format!("there is no operator {other:?}"));
            out.error(finding.hint("use In or NotIn"));
            return None;
        }
    };
    Some(RestartRule { codes, action })
}
