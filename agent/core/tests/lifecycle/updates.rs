//! Changes to a living pod.

use barepod_core::{Effect, Input, Verb};
use barepod_model::{Bytes, ContainerKind, ExitStatus, Pod, Reason};

use crate::bench::{Bench, Ledger, container, main_key, on_path, pod};

fn relaunched(pod: &Pod) -> Pod {
    let mut changed = pod.clone();
    changed.containers[0].launch.argv.push("--new".into());
    changed
}

#[test]
fn an_identical_apply_writes_nothing_and_answers_unchanged() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let request = bench.apply(&pod("another-uid", "db"));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Unchanged);
    assert!(!bench.log.iter().any(|effect| matches!(effect, Effect::Store { .. })));
}

#[test]
fn new_limits_are_set_in_place() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let mut larger = db.clone();
    larger.containers[0].resources.memory_limit = Some(Bytes(1 << 30));
    bench.apply(&larger);
    let resizes = bench.log.iter().filter(|effect| matches!(effect, Effect::Resize { generation: 2, .. }));
    assert_eq!(resizes.count(), 1);
    assert!(bench.signals().is_empty());
    let key = main_key(&db, 0).container_key();
    bench.tell(Input::ResizeFailed { key, generation: 2, message: "busy".into() });
    bench.pass(100);
    let resizes = bench.log.iter().filter(|effect| matches!(effect, Effect::Resize { .. }));
    assert_eq!(resizes.count(), 1, "what was refused is not asked again before the next change");
}

#[test]
fn only_the_changed_container_is_replaced_with_the_full_grace() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.push(container("side", ContainerKind::Regular));
    bench.run(&db);
    bench.apply(&relaunched(&db));
    assert_eq!(bench.signals(), [15]);
    bench.pass(29);
    assert_eq!(bench.signals(), [15]);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)], "at once, and nothing else");
}

#[test]
fn a_changed_data_path_replaces_all_and_is_freed_when_the_old_ones_are_gone() {
    let mut bench = Bench::new();
    let db = on_path(pod("a", "db"), "/data/a");
    let moved = on_path(pod("a", "db"), "/data/b");
    let heir = on_path(pod("b", "heir"), "/data/a");
    bench.run(&db);
    bench.apply(&moved);
    bench.apply(&heir);
    assert_eq!(bench.view(&heir).reason, Some(Reason::DataPathInUse));
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts().len(), 2);
}

#[test]
fn an_update_that_takes_a_held_path_is_denied_and_changes_nothing() {
    let mut bench = Bench::new();
    let (db, other) = (on_path(pod("a", "db"), "/data/a"), pod("b", "other"));
    bench.run(&db);
    bench.run(&other);
    let before = bench.view(&other);
    let request = bench.apply(&on_path(other.clone(), "/data"));
    assert_eq!(bench.denied(request), Reason::DataPathInUse);
    assert_eq!(bench.view(&other), before);
}

#[test]
fn a_path_that_an_unwritten_update_asks_for_is_given_to_nobody_else() {
    let mut bench = Bench::new();
    let (db, other) = (pod("a", "db"), on_path(pod("b", "other"), "/data"));
    bench.run(&db);
    bench.ledger = Ledger::Stalls;
    bench.apply(&on_path(db.clone(), "/data"));
    bench.ledger = Ledger::Works;
    bench.apply(&other);
    assert_eq!(bench.view(&other).reason, Some(Reason::DataPathInUse));
}

#[test]
fn an_update_that_cannot_be_written_changes_nothing() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let before = bench.view(&db);
    bench.ledger = Ledger::Fails;
    let request = bench.apply(&relaunched(&db));
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert_eq!(bench.view(&db), before);
    assert!(bench.signals().is_empty());
}

#[test]
fn an_operators_restart_does_not_wait_and_does_not_grow_the_backoff() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    for attempt in 0..3 {
        bench.restart(&db);
        bench.ended(&main_key(&db, attempt), ExitStatus::Code(0));
        bench.started(&main_key(&db, attempt + 1));
    }
    assert_eq!(bench.starts().len(), 3);
    bench.log.clear();
    bench.ended(&main_key(&db, 3), ExitStatus::Code(1));
    assert_eq!(bench.starts(), [main_key(&db, 4)], "the first crash is still the first");
}

#[test]
fn a_missing_pod_is_an_orphan_that_runs_on_until_it_is_mentioned_again() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.tell(Input::Missing { pod: db.uid.clone() });
    assert_eq!(bench.view(&db).reason, Some(Reason::Orphaned));
    assert!(bench.signals().is_empty());
    bench.pass(1_000_000);
    assert!(bench.signals().is_empty());
    bench.apply(&db);
    assert_eq!(bench.view(&db).reason, None);
}
