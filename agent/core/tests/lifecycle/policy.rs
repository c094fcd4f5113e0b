//! The policy's word: it is asked for what is new, and what it refuses changes nothing.

use barepod_core::{Denied, Effect, Verb};
use barepod_model::{Pattern, Permit, Pod, Quota, Reason, Source};

use crate::bench::{Bench, pod};

fn refused() -> Permit {
    Permit::Refused { message: "no rule allows it".to_owned() }
}

fn at_most(most: u32) -> Permit {
    let namespaces = vec![Pattern::new("def*").expect("a pattern")];
    Permit::Granted(vec![Quota { rule: "few".to_owned(), most, sources: vec![Source::File], namespaces }])
}

fn changed(pod: &Pod) -> Pod {
    let mut changed = pod.clone();
    changed.labels.insert("a".to_owned(), "b".to_owned());
    changed
}

fn reason(bench: &Bench, request: barepod_core::RequestId) -> Option<Reason> {
    bench.replies[&request].as_ref().err().map(|denied: &Denied| denied.reason)
}

#[test]
fn a_refused_pod_is_not_written_and_not_shown() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    let request = bench.apply_with(&db, refused());
    assert_eq!(reason(&bench, request), Some(Reason::Forbidden));
    assert!(bench.log.iter().all(|effect| matches!(effect, Effect::Reply { .. })));
    assert!(bench.disk.is_empty() && bench.core.view().next().is_none());
    let request = bench.apply(&db);
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Created, "its UID is still free");
}

#[test]
fn a_refused_change_leaves_the_pod_as_it_is() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let request = bench.apply_with(&changed(&db), refused());
    assert_eq!(reason(&bench, request), Some(Reason::Forbidden));
    assert!(!bench.log.iter().any(|effect| matches!(effect, Effect::Store { .. })));
    assert_eq!(bench.view(&db).pod.as_deref(), Some(&db));
}

#[test]
fn what_is_there_already_is_not_refused() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let request = bench.apply_with(&db, refused());
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Unchanged);
}

#[test]
fn a_refused_pod_learns_nothing_of_another_sources_pod() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let mut other = pod("b", "db");
    other.source = Source::Kubernetes;
    let request = bench.apply_with(&other, refused());
    assert_eq!(reason(&bench, request), Some(Reason::Forbidden));
    let request = bench.apply(&other);
    assert_eq!(reason(&bench, request), Some(Reason::NameTaken));
}

#[test]
fn no_more_pods_than_a_rule_allows_and_a_change_does_not_make_them_more() {
    let mut bench = Bench::new();
    bench.run(&pod("a", "one"));
    let request = bench.apply_with(&pod("b", "two"), at_most(1));
    assert_eq!(reason(&bench, request), Some(Reason::Forbidden));
    let request = bench.apply_with(&changed(&pod("a", "one")), at_most(1));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Configured);
    let request = bench.apply_with(&pod("b", "two"), at_most(2));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Created);
    bench.delete(&pod("b", "two"), None);
    let request = bench.apply_with(&pod("c", "three"), at_most(2));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Created, "one that ends makes room");
}

#[test]
fn a_pod_of_another_source_is_not_counted() {
    let mut bench = Bench::new();
    let mut other = pod("a", "one");
    other.source = Source::Nomad;
    bench.run(&other);
    let request = bench.apply_with(&pod("b", "two"), at_most(1));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Created);
}
