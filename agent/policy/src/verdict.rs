//! A verdict, rule by rule.

use std::fmt::Write as _;

use barepod_model::Permit;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Rule};

/// What the policy says to one request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What was asked, by whom: `apply pod default/db of source file, user root`.
    pub asked: String,
    /// The policy's file.
    pub policy: String,
    /// The first rule that allows it; `None` if it is denied.
    pub allowed_by: Option<String>,
    /// Every rule, in the order of the file.
    pub rules: Vec<RuleVerdict>,
}

/// What one rule says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleVerdict {
    /// Its name.
    pub rule: String,
    /// Where it begins in the file.
    pub line: u64,
    /// Why it is not about this; `None` if it is.
    pub not_about: Option<String>,
    /// Each power that is demanded, where it is about this.
    pub findings: Vec<Finding>,
    /// It allows only so many pods at once.
    pub at_most: Option<u32>,
}

/// Whether a rule allows one power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The field that demands it.
    pub field: String,
    /// The power, in words.
    pub power: String,
    /// What would have to be added to the rule; `None` if it allows the power.
    pub lacks: Option<String>,
}

impl RuleVerdict {
    /// Whether it allows all of it.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.not_about.is_none() && self.lacks().next().is_none()
    }

    /// What it does not allow.
    pub fn lacks(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.lacks.is_some())
    }
}

impl Verdict {
    /// Whether it is allowed, but for the number of pods.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.allowed_by.is_some()
    }

    /// As the core takes it. `policy` is the one that it is the verdict of.
    #[must_use]
    pub fn permit(&self, policy: &Policy) -> Permit {
        if let Some(message) = self.denial() {
            return Permit::Refused { message };
        }
        let of = |rule: &RuleVerdict| policy.rules.iter().find(|of| of.name == rule.rule).and_then(Rule::quota);
        let quotas = self.rules.iter().filter(|rule| rule.allows()).map(of);
        // One rule without a limit is enough.
        Permit::Granted(quotas.collect::<Option<Vec<_>>>().unwrap_or_default())
    }

    /// Why it is denied, with the smallest addition that would allow it; `None` if it is allowed.
    #[must_use]
    pub fn denial(&self) -> Option<String> {
        if self.is_allowed() {
            return None;
        }
        let Self { asked, policy, .. } = self;
        let Some(nearest) = self.nearest() else {
            let outside = self.rules.iter().filter_map(|rule| Some((rule, rule.not_about.as_ref()?)));
            let why: Vec<_> = outside.map(|(rule, why)| format!("rule {:?}: {why}", rule.rule)).collect();
            let why = if why.is_empty() { "it has no rules".to_owned() } else { why.join("; ") };
            return Some(format!("{policy} does not allow to {asked}: no rule is about it ({why})"));
        };
        let (rule, line) = (&nearest.rule, nearest.line);
        let lacks: Vec<_> = nearest.lacks().map(|lack| format!("{} ({})", lack.power, lack.field)).collect();
        let additions = additions(nearest).join("; ");
        let mut message = format!(
            "{policy} does not allow to {asked}: rule {rule:?} (line {line}) comes nearest and does not allow {}; the \
             smallest addition to it: {additions}",
            lacks.join(", ")
        );
        let others = self.rules.len() - 1;
        if others > 0 {
            let others = if others == 1 { "the other rule".to_owned() } else { format!("the {others} other rules") };
            write!(message, "; what {others} lack, `barepod policy check` tells").ok();
        }
        Some(message)
    }

    /// The rule that is about this and lacks least.
    fn nearest(&self) -> Option<&RuleVerdict> {
        self.rules.iter().filter(|rule| rule.not_about.is_none()).min_by_key(|rule| rule.lacks().count())
    }

    /// All of it, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        let Self { asked, policy, allowed_by, rules } = self;
        let mut text = match allowed_by {
            Some(rule) => format!("{asked}: allowed by rule {rule:?}\n"),
            None => format!("{asked}: denied\n"),
        };
        if rules.is_empty() {
            writeln!(text, "  {policy} has no rules").ok();
        }
        rules.iter().for_each(|rule| explain_rule(&mut text, policy, rule));
        text
    }
}

fn explain_rule(text: &mut String, policy: &str, rule: &RuleVerdict) {
    let verdict = match (&rule.not_about, rule.allows()) {
        (Some(why), _) => format!("is not about this: {why}"),
        (None, true) => "allows it".to_owned(),
        (None, false) => "does not allow it".to_owned(),
    };
    writeln!(text, "  {policy}:{}: rule {:?} {verdict}", rule.line, rule.rule).ok();
    for Finding { field, power, lacks } in &rule.findings {
        let (mark, what) = match lacks {
            None => ("+", String::new()),
            Some(addition) => ("-", format!("; to allow it: {addition}")),
        };
        writeln!(text, "    {mark} {field}: {power}{what}").ok();
    }
    if let Some(most) = &rule.at_most {
        writeln!(text, "    at most {most} pods at once").ok();
    }
}

/// Each once.
fn additions(rule: &RuleVerdict) -> Vec<&str> {
    let mut all = Vec::new();
    for addition in rule.lacks().filter_map(|lack| lack.lacks.as_deref()) {
        if !all.contains(&addition) {
            all.push(addition);
        }
    }
    all
}
