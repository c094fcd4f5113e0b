//! Pods that an operator stops, and starts again.

use barepod_core::{Effect, Observation, RequestId, Verb};
use barepod_model::*;

use crate::bench::{Bench, Ledger, container, key_of, main_key, on_path, pod};

fn verb(bench: &Bench, request: RequestId) -> Verb {
    bench.replies[&request].as_ref().expect("accepted").verb
}

/// A pod that runs, and has been stopped.
fn stopped(bench: &mut Bench) -> Pod {
    let db = pod("a", "db");
    bench.run(&db);
    bench.halt(&db, true);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.log.clear();
    db
}

#[test]
fn a_stopped_pod_ends_in_its_own_way_and_nothing_begins_it_but_a_start() {
    let mut bench = Bench::new();
    let mut db = pod("a", "db");
    db.containers[0].stop.stages = vec![StopStage { signal: 2, before_end: None }];
    bench.run(&db);
    let request = bench.halt(&db, true);
    assert_eq!(verb(&bench, request), Verb::Stopped);
    assert_eq!(bench.signals(), [2]);
    assert!(bench.disk[&db.uid].halted.is_some());
    bench.ended(&main_key(&db, 0), ExitStatus::Signal(2));
    assert_eq!(bench.view(&db).reason, Some(Reason::Stopped));
    bench.log.clear();

    bench.pass(3600);
    db.containers[0].launch.argv.push("--changed".into());
    bench.apply(&db);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), Observation::Absent);
    bench.pass(3600);
    bench.reboot();
    bench.observed(&main_key(&db, 0), Observation::Absent);
    bench.pass(3600);
    assert!(bench.starts().is_empty(), "{:?}", bench.starts());
    assert_eq!(bench.view(&db).reason, Some(Reason::Stopped));

    let request = bench.halt(&db, false);
    assert_eq!(verb(&bench, request), Verb::Started);
    assert_eq!(bench.starts(), [main_key(&db, 1)], "at once: it has not crashed");
    bench.started(&main_key(&db, 1));
    assert_eq!(bench.view(&db).reason, None);
    assert!(bench.disk[&db.uid].halted.is_none());
}

#[test]
fn what_is_killed_while_it_stops_stays_stopped_under_the_next_daemon() {
    let mut bench = Bench::new();
    let db = pod("a", "db");
    bench.run(&db);
    let running = bench.running(&main_key(&db, 0));
    bench.halt(&db, true);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), running);
    assert_eq!(bench.signals(), [15], "the stop goes on");
    bench.ended(&main_key(&db, 0), ExitStatus::Signal(9));
    bench.pass(3600);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_start_while_it_still_stops_begins_it_anew_when_the_old_processes_are_gone() {
    let mut bench = Bench::new();
    let db = pod("a", "db");
    bench.run(&db);
    bench.halt(&db, true);
    bench.halt(&db, false);
    assert!(bench.starts().is_empty(), "two generations are never there at once");
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn a_stop_that_cannot_be_written_is_denied_and_stops_nothing() {
    let mut bench = Bench::new();
    let db = pod("a", "db");
    bench.run(&db);
    bench.ledger = Ledger::Fails;
    let request = bench.halt(&db, true);
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert!(bench.signals().is_empty());
}

#[test]
fn asked_twice_it_is_unchanged_and_what_is_another_s_or_ends_is_not_stopped() {
    let mut bench = Bench::new();
    let db = stopped(&mut bench);
    let again = bench.halt(&db, true);
    assert_eq!(verb(&bench, again), Verb::Unchanged);
    let mut theirs = pod("b", "theirs");
    theirs.source = Source::Kubernetes;
    bench.run(&theirs);
    let request = bench.halt(&theirs, true);
    assert_eq!(bench.denied(request), Reason::NotOwner);
    let dying = pod("c", "dying");
    bench.run(&dying);
    bench.delete(&dying, None);
    let request = bench.halt(&dying, true);
    assert_eq!(bench.denied(request), Reason::PodTerminating);
}

#[test]
fn a_restart_starts_it_and_a_deletion_ends_it_for_good() {
    let mut bench = Bench::new();
    let db = stopped(&mut bench);
    bench.restart(&db);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
    assert!(bench.disk[&db.uid].halted.is_none());
    bench.halt(&db, true);
    bench.delete(&db, None);
    bench.ended(&main_key(&db, 1), ExitStatus::Code(0));
    assert!(bench.core.pod_view(&db.uid).is_none());
}

#[test]
fn it_keeps_its_data_path_while_it_is_stopped() {
    let mut bench = Bench::new();
    let db = on_path(pod("a", "db"), "/data");
    bench.run(&db);
    bench.halt(&db, true);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    let other = on_path(pod("b", "other"), "/data");
    bench.apply(&other);
    assert_eq!(bench.view(&other).reason, Some(Reason::DataPathInUse));
}

#[test]
fn a_sidecar_stops_last_and_is_started_first() {
    let mut bench = Bench::new();
    let mut db = pod("a", "db");
    db.containers.insert(0, container("side", ContainerKind::Sidecar));
    bench.apply(&db);
    bench.started(&key_of(&db, "side", 0));
    bench.started(&main_key(&db, 0));
    bench.log.clear();
    bench.halt(&db, true);
    let asked = |bench: &Bench| -> Vec<_> {
        let signals = bench.log.iter().filter_map(|effect| match effect {
            Effect::Signal { key, .. } => Some(key.clone()),
            _ => None,
        });
        signals.collect()
    };
    assert_eq!(asked(&bench), [main_key(&db, 0)]);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(asked(&bench), [main_key(&db, 0), key_of(&db, "side", 0)]);
    bench.ended(&key_of(&db, "side", 0), ExitStatus::Code(0));
    bench.log.clear();
    bench.pass(3600);
    assert!(bench.starts().is_empty());
    bench.halt(&db, false);
    assert_eq!(bench.starts()[0], key_of(&db, "side", 1));
}
