//! The judgement: pure, and the same for every source.

use barepod_model::{Container, Pod};

use crate::demand::{Demand, command, demands};
use crate::host::Host;
use crate::policy::{Policy, Rule, Subjects};
use crate::subject::{Subject, User, Verb};
use crate::verdict::{Finding, RuleVerdict, Verdict};
use crate::words::Who;

/// What is asked.
struct Question<'a> {
    subject: &'a Subject,
    verb: Verb,
    /// `None` for an object that belongs to none: only a rule about all namespaces is about it.
    namespace: Option<&'a str>,
    what: String,
    demands: Vec<Demand>,
}

/// Whether a pod may be there as it is.
#[must_use]
pub fn judge(policy: &Policy, subject: &Subject, pod: &Pod, host: &dyn Host) -> Verdict {
    let Pod { namespace, name, .. } = pod;
    let question = Question {
        subject,
        verb: Verb::Apply,
        namespace: Some(namespace.as_str()),
        what: format!("pod {namespace}/{name}"),
        demands: demands(pod, host),
    };
    decide(policy, question, host)
}

/// Whether somebody may do this to something in a namespace, named for people by `what`; of an exec, with this program in
/// this container.
#[must_use]
pub fn may(
    policy: &Policy,
    subject: &Subject,
    verb: Verb,
    (namespace, what): (Option<&str>, &str),
    exec: Option<(&str, &Container)>,
    host: &dyn Host,
) -> Verdict {
    let demand = |(program, container): (&str, &Container)| Demand {
        field: "command".to_owned(),
        power: command(program, &container.launch),
    };
    let question =
        Question { subject, verb, namespace, what: what.to_owned(), demands: exec.map(demand).into_iter().collect() };
    decide(policy, question, host)
}

fn decide(policy: &Policy, question: Question<'_>, host: &dyn Host) -> Verdict {
    let rules: Vec<_> = policy.rules.iter().map(|rule| hold_against(rule, &question, host)).collect();
    let allowed_by = rules.iter().find(|rule| rule.allows()).map(|rule| rule.rule.clone());
    let asked = format!("{} {}, {}", question.verb.as_str(), question.what, question.subject);
    Verdict { asked, policy: policy.file.clone(), allowed_by, rules }
}

fn hold_against(rule: &Rule, question: &Question<'_>, host: &dyn Host) -> RuleVerdict {
    let not_about = not_about(rule, question, host);
    let finding = |demand: &Demand| Finding {
        field: demand.field.clone(),
        power: demand.power.to_string(),
        lacks: (!demand.power.is_allowed_by(rule, host)).then(|| demand.power.addition(host)),
    };
    let concerns = |demand: &&Demand| not_about.is_none() && demand.power.concerns(rule);
    let findings = question.demands.iter().filter(concerns).map(finding).collect();
    let at_most = rule.allow.limits.pods.filter(|_| not_about.is_none());
    RuleVerdict { rule: rule.name.clone(), line: rule.line, not_about, findings, at_most }
}

/// Why a rule is not about this.
fn not_about(rule: &Rule, question: &Question<'_>, host: &dyn Host) -> Option<String> {
    let Subjects { sources, namespaces, users, groups } = &rule.subjects;
    let Question { subject, verb, namespace, .. } = question;
    if !sources.contains(&subject.source) {
        return Some(format!("its sources have no {:?}", subject.source.to_string()));
    }
    if let Some(user) = &subject.user
        && !is_among(user, users, groups, host)
    {
        let name = if user.uid == 0 { "root".to_owned() } else { user.uid.to_string() };
        return Some(format!("its users and groups have no {name:?}"));
    }
    match namespace {
        Some(name) if !namespaces.iter().any(|pattern| pattern.matches(name)) => {
            return Some(format!("its namespaces have no {name:?}"));
        }
        None if !namespaces.iter().any(|pattern| pattern.is_everything()) => {
            return Some("its namespaces have no \"*\", and this belongs to none".to_owned());
        }
        Some(_) | None => {}
    }
    (!rule.verbs.contains(verb)).then(|| format!("its verbs have no {:?}", verb.as_str()))
}

fn is_among(user: &User, users: &[Who], groups: &[Who], host: &dyn Host) -> bool {
    let by_name = users.iter().any(|who| *who == Who::Anybody || who.is_user(user.uid, host));
    by_name || user.groups.iter().any(|gid| groups.iter().any(|who| who.is_group(*gid, host)))
}
