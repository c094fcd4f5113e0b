//! The end of a pod.

use std::time::Duration;

use barepod_core::{Effect, Input, Restored};
use barepod_model::{ExitStatus, PodUid, Reason, StopStage};

use crate::bench::{Bench, Ledger, main_key, pod};

#[test]
fn a_deletion_stops_tears_down_forgets_and_vanishes() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let request = bench.delete(&db, None);
    assert!(bench.replies[&request].is_ok());
    assert_eq!(bench.signals(), [15]);
    assert!(bench.core.pod_view(&db.uid).is_some());
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    let last: Vec<_> =
        bench.log.iter().filter(|e| matches!(e, Effect::TearDown { .. } | Effect::Forget { .. })).collect();
    assert!(matches!(last[..], [Effect::TearDown { .. }, Effect::Forget { .. }]));
    assert!(bench.core.pod_view(&db.uid).is_none());
    assert!(bench.core.take_changed().contains(&db.uid));
}

#[test]
fn nothing_is_stopped_before_the_deletion_is_durable() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.ledger = Ledger::Stalls;
    bench.delete(&db, None);
    assert!(bench.signals().is_empty());
}

#[test]
fn a_deletion_that_cannot_be_written_changes_nothing() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let before = bench.view(&db);
    bench.ledger = Ledger::Fails;
    let request = bench.delete(&db, None);
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert_eq!(bench.view(&db), before);
    assert!(bench.signals().is_empty());
}

#[test]
fn the_presets_minimum_extends_the_grace_and_says_so() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].stop.min_grace = Duration::from_secs(60);
    bench.run(&db);
    bench.delete(&db, None);
    assert!(bench.told(Reason::GraceExtended));
    bench.pass(59);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_grace_given_with_the_delete_wins_over_the_minimum() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].stop.min_grace = Duration::from_secs(60);
    bench.run(&db);
    bench.delete(&db, Some(5));
    assert!(!bench.told(Reason::GraceExtended));
    bench.pass(5);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_second_delete_only_ever_shortens() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.delete(&db, None);
    bench.delete(&db, Some(100));
    bench.pass(10);
    bench.delete(&db, Some(5));
    bench.pass(4);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn stages_are_sent_at_their_times() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    let quit = StopStage { signal: 3, before_end: Some(Duration::from_secs(10)) };
    db.containers[0].stop.stages.push(quit);
    bench.run(&db);
    bench.delete(&db, None);
    bench.pass(20);
    assert_eq!(bench.signals(), [15, 3]);
    bench.pass(10);
    assert_eq!(bench.signals(), [15, 3, 9]);
}

#[test]
fn a_container_being_started_is_stopped_when_it_has_started() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.apply(&db);
    bench.delete(&db, None);
    assert!(bench.signals().is_empty());
    bench.started(&main_key(&db, 0));
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn deleting_what_does_not_exist_is_denied() {
    let mut bench = Bench::new();
    let request = bench.delete(&pod("a", "db"), None);
    assert_eq!(bench.denied(request), Reason::NotFound);
}

#[test]
fn a_pod_with_an_unreadable_ledger_file_is_shown_and_left_alone() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    let unreadable =
        Restored::Unreadable { pod: PodUid::new("a").unwrap(), name: None, source: None, message: "empty".into() };
    bench.core.restore(bench.moment(), vec![unreadable]);
    assert_eq!(bench.view(&db).reason, Some(Reason::LedgerUnreadable));
    let request = bench.delete(&db, None);
    assert_eq!(bench.denied(request), Reason::LedgerUnreadable);
    bench.tell(Input::Missing { pod: db.uid.clone() });
    assert!(bench.log.iter().all(|effect| matches!(effect, Effect::Reply { .. })));
}
