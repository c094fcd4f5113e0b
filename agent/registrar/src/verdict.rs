//! What Nomad's plan for a job means. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::node::Node;

/// A plan as Nomad answers it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Plan {
    /// When the job that is there was last changed; 0: there is none.
    pub job_modify_index: u64,
    diff: Option<Diff>,
    annotations: Option<Annotations>,
    #[serde(rename = "FailedTGAllocs")]
    failed: Option<BTreeMap<String, Failure>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Diff {
    r#type: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Annotations {
    preempted_allocs: Option<Vec<Preempted>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Preempted {
    namespace: String,
    #[serde(rename = "JobID")]
    job_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Failure {
    constraint_filtered: Option<BTreeMap<String, u64>>,
    dimension_exhausted: Option<BTreeMap<String, u64>>,
    quota_exhausted: Option<Vec<String>>,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The job is there as it should be.
    Unchanged,
    /// It may be registered.
    Fits,
    /// It must not be: why, and what helps.
    Refused(String),
}

impl Plan {
    /// What follows from it on this node. Nothing is worth somebody else's place: the pod runs as it is.
    #[must_use]
    pub fn verdict(&self, node: &Node) -> Verdict {
        let preempted = self.annotations.iter().flat_map(|annotations| annotations.preempted_allocs.iter().flatten());
        let evicted: Vec<_> = preempted.map(|other| format!("{}/{}", other.namespace, other.job_id)).collect();
        if !evicted.is_empty() {
            return Verdict::Refused(format!(
                "Nomad has no room left on this host, and to count this pod would evict {}; stop that job, or move it to another \
                 host, or let pods here ask for less",
                evicted.join(", ")
            ));
        }
        match self.failed.iter().flatten().next() {
            Some((_, failure)) => Verdict::Refused(failure.words(node)),
            None if self.diff.as_ref().is_some_and(|diff| diff.r#type == "None") => Verdict::Unchanged,
            None => Verdict::Fits,
        }
    }
}

impl Failure {
    fn words(&self, node: &Node) -> String {
        let names = |of: &Option<BTreeMap<String, u64>>| of.iter().flatten().map(|(name, _)| name.clone()).collect();
        let (short, filtered): (Vec<String>, Vec<String>) =
            (names(&self.dimension_exhausted), names(&self.constraint_filtered));
        if !short.is_empty() {
            return format!(
                "Nomad has no room left on this host: {}; the pod runs, and Nomad does not count it. Stop a job there or move \
                 it to another host, let its client reserve less, or let pods here ask for less",
                short.join(", ")
            );
        }
        let quota = self.quota_exhausted.iter().flatten().cloned().collect::<Vec<_>>();
        if !quota.is_empty() {
            return format!("the quota of the namespace is used up: {}; raise it, or take it away", quota.join(", "));
        }
        if !filtered.is_empty() {
            return format!(
                "Nomad's client on this host does not take it: {}; is its driver barepod healthy? See `nomad node status -verbose {}`",
                filtered.join(", "),
                node.short()
            );
        }
        format!(
            "Nomad places nothing on this host now; see `nomad node status {0}`. After a drain, `nomad node eligibility -enable {0}` \
             lets it",
            node.short()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::place;
    use serde_json::{Value, json};

    fn verdict(plan: Value) -> Verdict {
        serde_json::from_value::<Plan>(plan).unwrap().verdict(&place().node)
    }

    fn refused(plan: Value) -> String {
        match verdict(plan) {
            Verdict::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_without_trouble_is_carried_out_and_one_without_changes_is_not() {
        assert_eq!(verdict(json!({"Diff": {"Type": "Added"}, "FailedTGAllocs": null})), Verdict::Fits);
        assert_eq!(verdict(json!({"Diff": {"Type": "None"}, "Annotations": null})), Verdict::Unchanged);
    }

    #[test]
    fn nobody_is_evicted() {
        let annotations = json!({"PreemptedAllocs": [{"Namespace": "default", "JobID": "web"}]});
        assert!(refused(json!({"Diff": {"Type": "Added"}, "Annotations": annotations})).contains("default/web"));
    }

    #[test]
    fn what_is_short_is_named_with_what_helps() {
        let failed = |failure: Value| refused(json!({"Diff": {"Type": "None"}, "FailedTGAllocs": {"pod": failure}}));
        assert!(failed(json!({"DimensionExhausted": {"memory": 1}})).contains("memory"));
        assert!(failed(json!({"ConstraintFiltered": {"missing drivers": 1}})).contains("missing drivers"));
        assert!(failed(json!({"QuotaExhausted": ["cpu limit"]})).contains("quota"));
        assert!(failed(json!({"DimensionExhausted": null})).contains("eligibility -enable 0a1b2c3d"));
    }
}
