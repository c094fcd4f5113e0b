//! The policy over the socket: what holds, and what it would say to manifests.

use barepod_api::v1;
use barepod_model::Source;
use barepod_policy::{Finding, Policy, RuleVerdict, Subject, User, Verdict};
use tonic::Status;

use crate::policy::{InForce, Origin};

/// The policy in force.
pub(super) fn show(held: &InForce) -> v1::PolicyResponse {
    let origin = match held.origin {
        Origin::File => v1::policy_response::Origin::File,
        Origin::BuiltIn => v1::policy_response::Origin::BuiltIn,
        Origin::Nothing => v1::policy_response::Origin::Nothing,
    };
    v1::PolicyResponse {
        origin: origin.into(),
        file: held.policy.file().to_owned(),
        text: held.text.clone(),
        fault: held.fault.clone().unwrap_or_default(),
    }
}

/// Whom a check is made for.
pub(super) fn subject(request: &v1::CheckPolicyRequest, peer: User) -> Result<Subject, Status> {
    let source = match request.source.as_str() {
        "" | "file" => Source::File,
        "kubernetes" => Source::Kubernetes,
        "nomad" => Source::Nomad,
        other => return Err(Status::invalid_argument(format!("there is no source {other:?}"))),
    };
    let user = match (source, request.uid) {
        (Source::File, Some(uid)) => Some(barepod_reader::user_of(uid, None)),
        (Source::File, None) => Some(peer),
        (Source::Kubernetes | Source::Nomad, _) => None,
    };
    Ok(Subject { source, user })
}

/// The policy that a check is made with.
pub(super) fn policy(request: &v1::CheckPolicyRequest, held: &InForce) -> Result<Policy, Status> {
    if request.policy_text.is_empty() {
        return Ok(held.policy.clone());
    }
    let parsed = barepod_policy::parse(&request.policy_file, &request.policy_text);
    parsed.map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(super) fn verdict(verdict: Verdict) -> v1::Verdict {
    let Verdict { asked, policy, allowed_by, rules } = verdict;
    v1::Verdict {
        asked,
        policy,
        allowed_by: allowed_by.unwrap_or_default(),
        rules: rules.into_iter().map(rule).collect(),
    }
}

fn rule(rule: RuleVerdict) -> v1::RuleVerdict {
    let RuleVerdict { rule, line, not_about, findings, at_most } = rule;
    v1::RuleVerdict {
        rule,
        line,
        not_about: not_about.unwrap_or_default(),
        findings: findings.into_iter().map(finding).collect(),
        at_most,
    }
}

fn finding(finding: Finding) -> v1::PolicyFinding {
    let Finding { field, power, lacks } = finding;
    v1::PolicyFinding { field, power, lacks: lacks.unwrap_or_default() }
}
