//! Hooks: what the container counts as while they run, and that a stop waits for them, but not too long.

use std::time::Duration;

use barepod_core::{ContainerState, HookOutcome};
use barepod_model::{Hook, HookKind, Pod, Reason};

use crate::bench::{Bench, main_key, pod, probe};

fn hooked() -> Pod {
    let mut pod = pod("a", "db");
    let hook = || Some(Hook::Exec { command: vec!["/bin/hook".into()] });
    pod.containers[0].lifecycle.post_start = hook();
    pod.containers[0].lifecycle.pre_stop = hook();
    pod
}

fn failure() -> HookOutcome {
    HookOutcome::Failure("exit 1".into())
}

#[test]
fn a_container_is_created_until_its_post_start_hook_is_done() {
    let (mut bench, mut db) = (Bench::new(), hooked());
    db.containers[0].readiness = Some(probe());
    bench.run(&db);
    assert_eq!(bench.waiting_reason(&db), Some(Reason::ContainerCreating));
    bench.pass(60);
    assert!(bench.log.is_empty(), "no probe yet");
    bench.hooked(&main_key(&db, 0), HookKind::PostStart, HookOutcome::Success);
    assert!(matches!(bench.container(&db).state, ContainerState::Running { .. }));
    assert!(bench.log.iter().any(|effect| matches!(effect, barepod_core::Effect::Probe { .. })));
}

#[test]
fn a_failed_post_start_hook_stops_the_container_with_its_grace_and_its_pre_stop_hook() {
    let (mut bench, db) = (Bench::new(), hooked());
    bench.run(&db);
    bench.hooked(&main_key(&db, 0), HookKind::PostStart, failure());
    assert!(bench.told(Reason::FailedPostStartHook));
    assert_eq!(bench.hooks(), [HookKind::PreStop]);
    bench.hooked(&main_key(&db, 0), HookKind::PreStop, HookOutcome::Success);
    assert_eq!(bench.signals(), [15]);
    bench.ended(&main_key(&db, 0), barepod_model::ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)], "the restart policy decides");
}

#[test]
fn the_first_signal_waits_for_the_pre_stop_hook_even_if_that_fails() {
    for outcome in [HookOutcome::Success, failure()] {
        let (mut bench, db) = (Bench::new(), hooked());
        bench.run(&db);
        bench.hooked(&main_key(&db, 0), HookKind::PostStart, HookOutcome::Success);
        bench.delete(&db, None);
        assert_eq!(bench.hooks(), [HookKind::PreStop]);
        assert!(bench.signals().is_empty());
        bench.hooked(&main_key(&db, 0), HookKind::PreStop, outcome);
        assert_eq!(bench.signals(), [15]);
    }
}

#[test]
fn a_pre_stop_hook_counts_against_the_grace() {
    let (mut bench, db) = (Bench::new(), hooked());
    bench.run(&db);
    bench.delete(&db, None);
    bench.pass(27);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert_eq!(bench.signals(), [15], "2 s before the end it is not waited for any more");
    bench.pass(2);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_container_that_ended_by_itself_has_no_pre_stop_hook() {
    let (mut bench, db) = (Bench::new(), hooked());
    bench.run(&db);
    bench.hooked(&main_key(&db, 0), HookKind::PostStart, HookOutcome::Success);
    bench.log.clear();
    bench.ended(&main_key(&db, 0), barepod_model::ExitStatus::Code(0));
    assert!(bench.hooks().is_empty());
}

#[test]
fn a_hook_that_a_former_daemon_began_is_run_again_and_one_that_is_done_is_not() {
    let (mut bench, db) = (Bench::new(), hooked());
    bench.run(&db);
    let running = bench.running(&main_key(&db, 0));
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), running.clone());
    assert_eq!(bench.hooks(), [HookKind::PostStart]);
    bench.hooked(&main_key(&db, 0), HookKind::PostStart, HookOutcome::Success);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), running);
    assert!(bench.hooks().is_empty());
    assert!(bench.container(&db).ready);
}

#[test]
fn a_probes_own_grace_takes_the_place_of_the_pods() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].liveness =
        Some(barepod_model::Probe { failure_threshold: 1, termination_grace: Some(Duration::from_secs(3)), ..probe() });
    bench.run(&db);
    bench.pass(0);
    let asked = bench.log.iter().find_map(|effect| match effect {
        barepod_core::Effect::Probe { key, kind, ticket, .. } => Some((key.clone(), *kind, *ticket)),
        _ => None,
    });
    let (key, kind, ticket) = asked.unwrap_or_else(|| {
        // It was asked when the container started, before the log was cleared.
        (main_key(&db, 0), barepod_model::ProbeKind::Liveness, barepod_core::ProbeTicket(1))
    });
    let outcome = barepod_core::ProbeOutcome::Failure("exit 1".into());
    bench.tell(barepod_core::Input::Probed { key, kind, ticket, outcome });
    assert_eq!(bench.signals(), [15]);
    bench.pass(3);
    assert_eq!(bench.signals(), [15, 9]);
}
