//! Probes, as kubelet understands them.

use barepod_core::{Effect, Input, ProbeOutcome, ProbeTicket};
use barepod_model::{Pod, ProbeKind, Reason};

use crate::bench::{Bench, main_key, pod, probe};

/// The newest probe of this kind that was asked for.
fn asked(bench: &Bench, wanted: ProbeKind) -> Option<ProbeTicket> {
    bench.log.iter().rev().find_map(|effect| match effect {
        Effect::Probe { kind, ticket, .. } if *kind == wanted => Some(*ticket),
        _ => None,
    })
}

/// Answers the newest probe of a kind and lets its period pass.
fn answer(bench: &mut Bench, db: &Pod, kind: ProbeKind, outcome: ProbeOutcome) {
    let ticket = asked(bench, kind).expect("a probe was asked for");
    bench.tell(Input::Probed { key: main_key(db, 0), kind, ticket, outcome });
    bench.pass(10);
}

fn bad() -> ProbeOutcome {
    ProbeOutcome::Failure("refused".into())
}

fn probed(change: impl FnOnce(&mut Pod)) -> (Bench, Pod) {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    change(&mut db);
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    (bench, db)
}

#[test]
fn without_probes_a_started_container_is_ready() {
    let (bench, db) = probed(|_| {});
    assert!(bench.view(&db).ready);
}

#[test]
fn readiness_begins_false_and_follows_the_probe() {
    let (mut bench, db) = probed(|db| db.containers[0].readiness = Some(probe()));
    assert!(!bench.view(&db).ready);
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Success);
    assert!(bench.view(&db).ready);
    answer(&mut bench, &db, ProbeKind::Readiness, bad());
    answer(&mut bench, &db, ProbeKind::Readiness, bad());
    assert!(bench.view(&db).ready, "two of three");
    answer(&mut bench, &db, ProbeKind::Readiness, bad());
    assert!(!bench.view(&db).ready);
    assert!(bench.signals().is_empty());
}

#[test]
fn the_startup_probe_gates_the_others() {
    let (mut bench, db) = probed(|db| {
        db.containers[0].startup = Some(probe());
        db.containers[0].liveness = Some(probe());
    });
    assert!(asked(&bench, ProbeKind::Liveness).is_none());
    assert!(!bench.container(&db).started);
    answer(&mut bench, &db, ProbeKind::Startup, ProbeOutcome::Success);
    assert!(bench.container(&db).started);
    assert!(asked(&bench, ProbeKind::Liveness).is_some());
}

#[test]
fn a_liveness_probe_that_fails_for_good_stops_the_container_with_its_grace() {
    let (mut bench, db) = probed(|db| db.containers[0].liveness = Some(probe()));
    answer(&mut bench, &db, ProbeKind::Liveness, bad());
    answer(&mut bench, &db, ProbeKind::Liveness, bad());
    assert!(bench.signals().is_empty());
    answer(&mut bench, &db, ProbeKind::Liveness, bad());
    assert_eq!(bench.signals(), [15]);
    assert!(bench.told(Reason::Unhealthy));
    bench.pass(20);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_prober_that_cannot_ask_counts_neither_way() {
    let (mut bench, db) = probed(|db| db.containers[0].liveness = Some(probe()));
    for _ in 0..20 {
        answer(&mut bench, &db, ProbeKind::Liveness, ProbeOutcome::Unavailable("no prober".into()));
    }
    assert!(bench.signals().is_empty());
    assert!(!bench.told(Reason::Unhealthy));
}

#[test]
fn a_warning_is_a_success_that_people_are_told_of() {
    let (mut bench, db) = probed(|db| db.containers[0].readiness = Some(probe()));
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Warning("it redirects".into()));
    assert!(bench.view(&db).ready);
    assert!(bench.told(Reason::ProbeWarning) && !bench.told(Reason::Unhealthy));
}

#[test]
fn an_answer_of_an_earlier_run_does_not_count() {
    let (mut bench, db) = probed(|db| db.containers[0].readiness = Some(probe()));
    let old = asked(&bench, ProbeKind::Readiness).unwrap();
    answer(&mut bench, &db, ProbeKind::Readiness, bad());
    let (key, kind, outcome) = (main_key(&db, 0), ProbeKind::Readiness, ProbeOutcome::Success);
    bench.tell(Input::Probed { key, kind, ticket: old, outcome });
    assert!(!bench.view(&db).ready);
}

#[test]
fn an_adopted_container_stays_ready_until_a_probe_says_otherwise() {
    let (mut bench, db) = probed(|db| db.containers[0].readiness = Some(probe()));
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Success);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 0)));
    assert!(bench.view(&db).ready);
}
