//! What is to be done about Nomad's jobs, given the pods there are. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::job::{GENERATION, Job, NODE, Place, id};
use crate::wanted::{Stance, stance};
use barepod_api::v1;

/// A job as Nomad lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Present {
    /// Its name and identity.
    #[serde(rename = "ID")]
    pub id: String,
    /// Somebody has stopped it.
    pub stop: bool,
    /// When its text was last changed, in Nomad's count.
    pub job_modify_index: u64,
    /// What it was made of.
    pub meta: Option<BTreeMap<String, String>>,
}

impl Present {
    pub(crate) fn says(&self, key: &str) -> Option<&str> {
        self.meta.as_ref()?.get(key).map(String::as_str)
    }
}

/// What is known of Nomad's side.
#[derive(Debug)]
pub struct Books<'a> {
    /// Jobs whose names are this node's.
    pub jobs: &'a [Present],
    /// Those that have an allocation here which is to go on.
    pub placed: BTreeSet<String>,
    /// Those whose text has been compared, and when they were last changed then.
    pub compared: &'a BTreeMap<String, u64>,
}

/// What is to be done about one job.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is as it should be, and has an allocation.
    Count(Job),
    /// It is missing, or another one, or has no place: it is planned, and then perhaps registered.
    Place(Job),
    /// No pod is behind it.
    Purge(String),
}

/// What is to be done, once all pods are known.
#[must_use]
pub fn decide<'a>(pods: impl Iterator<Item = &'a v1::Pod>, place: &Place, books: &Books<'_>) -> Vec<Action> {
    let mut left = BTreeSet::new();
    let mut actions = Vec::new();
    let mut pods: Vec<_> = pods.collect();
    // Of two under one name, the one that lives counts.
    pods.sort_by_key(|pod| (&pod.namespace, &pod.name, pod.deletion.is_some()));
    for pod in pods {
        let id = id(&place.node, &pod.namespace, &pod.name);
        match stance(pod) {
            Stance::Absent => {}
            Stance::Left => drop(left.insert(id)),
            Stance::Counted(wanted) if left.insert(id) => {
                let job = Job::of(wanted, place);
                let present = books.jobs.iter().find(|present| present.id == job.id);
                let is_right = present.is_some_and(|present| is_right(&job, present, books));
                let is_placed = books.placed.contains(&job.id);
                actions.push(if is_right && is_placed { Action::Count(job) } else { Action::Place(job) });
            }
            Stance::Counted(_) => {}
        }
    }
    // What does not say that it is of this node is somebody else's.
    let is_ours = |present: &&Present| present.says(NODE) == Some(&place.node.id);
    let orphans = books.jobs.iter().filter(is_ours).filter(|present| !left.contains(&present.id));
    actions.extend(orphans.map(|present| Action::Purge(present.id.clone())));
    actions
}

fn is_right(job: &Job, present: &Present, books: &Books<'_>) -> bool {
    !present.stop
        && present.says(GENERATION) == Some(&job.generation)
        && books.compared.get(&job.id) == Some(&present.job_modify_index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::place;

    fn pod(name: &str) -> v1::Pod {
        v1::Pod {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            source: "file".to_owned(),
            phase: "Running".to_owned(),
            booked: Some(v1::Amounts { cpu_milli: 500, ..v1::Amounts::default() }),
            ..v1::Pod::default()
        }
    }

    fn job(pod: &v1::Pod) -> Job {
        let Stance::Counted(wanted) = stance(pod) else { panic!("{pod:?}") };
        Job::of(wanted, &place())
    }

    fn present(job: &Job) -> Present {
        let meta = [(NODE, place().node.id), (GENERATION, job.generation.clone())];
        let meta = meta.map(|(key, value)| (key.to_owned(), value));
        Present { id: job.id.clone(), stop: false, job_modify_index: 7, meta: Some(meta.into()) }
    }

    /// With all jobs placed, and compared when they were at 7.
    fn decided(pods: &[v1::Pod], jobs: &[Present]) -> Vec<Action> {
        let compared = jobs.iter().map(|job| (job.id.clone(), 7)).collect();
        let placed = jobs.iter().map(|job| job.id.clone()).collect();
        decide(pods.iter(), &place(), &Books { jobs, placed, compared: &compared })
    }

    #[test]
    fn a_pod_without_a_job_gets_one_and_a_job_without_a_pod_goes() {
        let (one, other) = (pod("one"), pod("other"));
        assert_eq!(
            decided(std::slice::from_ref(&one), &[present(&job(&other))]),
            [Action::Place(job(&one)), Action::Purge(job(&other).id)]
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let one = pod("one");
        assert_eq!(decided(std::slice::from_ref(&one), &[present(&job(&one))]), [Action::Count(job(&one))]);
    }

    #[test]
    fn a_job_that_was_stopped_changed_or_lost_its_place_is_placed_again() {
        let one = pod("one");
        let pods = std::slice::from_ref(&one);
        let right = present(&job(&one));
        let stopped = Present { stop: true, ..right.clone() };
        let changed = Present { job_modify_index: 8, ..right.clone() };
        let mut former = right.clone();
        former.meta.as_mut().unwrap().insert(GENERATION.to_owned(), "former".to_owned());
        for job_there in [stopped, changed, former] {
            assert_eq!(decided(pods, std::slice::from_ref(&job_there)), [Action::Place(job(&one))], "{job_there:?}");
        }
        let compared = [(right.id.clone(), 7)].into();
        let books = Books { jobs: &[right], placed: BTreeSet::new(), compared: &compared };
        assert_eq!(decide(pods.iter(), &place(), &books), [Action::Place(job(&one))]);
    }

    #[test]
    fn a_pod_that_is_about_to_end_or_unknown_keeps_what_it_has_and_gets_nothing() {
        let one = pod("one");
        let there = [present(&job(&one))];
        let ending = v1::Pod { deletion: Some(v1::Timestamp::default()), ..one.clone() };
        let unknown = v1::Pod { phase: "Unknown".to_owned(), booked: None, ..one.clone() };
        for pod in [ending, unknown] {
            assert_eq!(decided(std::slice::from_ref(&pod), &there), []);
            assert_eq!(decided(&[pod], &[]), []);
        }
        let failed = v1::Pod { phase: "Failed".to_owned(), ..one };
        assert_eq!(decided(&[failed], &there), [Action::Purge(there[0].id.clone())]);
    }

    #[test]
    fn of_two_pods_of_one_name_the_living_one_counts() {
        let mut former = pod("one");
        former.uid = "former".to_owned();
        former.deletion = Some(v1::Timestamp::default());
        assert_eq!(decided(&[former, pod("one")], &[]), [Action::Place(job(&pod("one")))]);
    }

    #[test]
    fn a_job_of_somebody_else_is_not_touched() {
        let mut foreign = present(&job(&pod("one")));
        foreign.meta = None;
        assert_eq!(decided(&[], &[foreign]), []);
    }
}
