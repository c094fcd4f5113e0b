//! After a start of the daemon, the death of a shim, and a reboot.

use std::time::Duration;

use barepod_core::{ContainerState, Effect, Input, Observation, PastEnd};
use barepod_model::{Attempt, ContainerKind, ExitStatus, Phase, Pod, Reason};

use crate::bench::{Bench, Ledger, container, main_key, pod};

const CRASH: ExitStatus = ExitStatus::Code(1);

fn exited(bench: &Bench, attempt: u32, empty: bool) -> Observation {
    Observation::Exited {
        attempt: main_key(&pod("a", "db"), attempt).attempt,
        status: ExitStatus::Code(3),
        oom: false,
        started: None,
        finished: bench.stamp(),
        empty,
        message: String::new(),
    }
}

fn running_pod() -> (Bench, Pod) {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    (bench, db)
}

#[test]
fn nothing_is_done_to_a_container_before_it_is_observed() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    assert_eq!(bench.waiting_reason(&db), Some(Reason::Recovering));
    assert_eq!(bench.view(&db).phase, Phase::Unknown);
    bench.pass(1000);
    assert!(bench.starts().is_empty());
    assert!(bench.signals().is_empty());
}

#[test]
fn a_running_process_is_adopted_and_the_view_is_the_same() {
    let (mut bench, db) = running_pod();
    let before = bench.view(&db);
    bench.restart_daemon();
    let seen =
        Observation::Running { attempt: main_key(&db, 0).attempt, pid: 100, started: bench.stamp(), heard: None };
    bench.observed(&main_key(&db, 0), seen);
    assert_eq!(bench.view(&db), before);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_higher_attempt_than_the_ledgers_is_the_live_one() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 4)));
    assert_eq!(bench.container(&db).attempt, Some(main_key(&db, 4).attempt));
    bench.ended(&main_key(&db, 4), CRASH);
    bench.pass(300);
    assert_eq!(bench.starts(), [main_key(&db, 5)]);
}

fn past(bench: &Bench, attempt: u32, code: i32) -> PastEnd {
    let (started, finished) = (None, bench.stamp());
    PastEnd { attempt: Attempt(attempt), failure: None, status: ExitStatus::Code(code), oom: false, started, finished }
}

#[test]
fn the_ends_of_overtaken_attempts_are_recorded_as_their_shim_has_kept_them() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    let ends = vec![past(&bench, 0, 40), past(&bench, 1, 41), past(&bench, 2, 42)];
    bench.tell(Input::Recalled { key: main_key(&db, 0).container_key(), ends });
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 3)));
    assert_eq!(bench.container(&db).attempt, Some(Attempt(3)));
    assert_eq!(bench.container(&db).last.unwrap().status, ExitStatus::Code(42));
    for text in ["attempt 0 ended with exit code 40", "attempt 1 ended with exit code 41"] {
        assert!(
            bench.log.iter().any(|effect| matches!(effect, Effect::Emit(event) if event.message == text)),
            "{text}"
        );
    }
}

#[test]
fn what_the_ledger_knows_is_not_told_again() {
    let (mut bench, db) = running_pod();
    bench.ended(&main_key(&db, 0), CRASH);
    bench.pass(300);
    bench.restart_daemon();
    let ends = vec![past(&bench, 0, 40)];
    bench.tell(Input::Recalled { key: main_key(&db, 0).container_key(), ends });
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 1)));
    assert_eq!(bench.container(&db).last.unwrap().status, CRASH);
    assert!(!bench.told(Reason::Error));
}

#[test]
fn an_end_while_no_daemon_ran_is_recorded_with_its_status() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), exited(&bench, 0, true));
    assert_eq!(bench.container(&db).last.unwrap().status, ExitStatus::Code(3));
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn what_an_ended_attempt_left_behind_is_killed_before_a_replacement_starts() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), exited(&bench, 0, false));
    assert_eq!(bench.signals(), [9]);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_process_that_left_no_trace_ended_with_unknown_status() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), Observation::Absent);
    let end = bench.container(&db).state.exit_status();
    assert_eq!(end, Some(ExitStatus::Unknown));
    bench.tell(Input::Emptied { key: main_key(&db, 0), message: String::new() });
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn an_order_to_start_that_was_lost_is_given_again_with_the_same_number() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.apply(&db);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), Observation::Absent);
    assert_eq!(bench.starts(), [main_key(&db, 0)]);
}

#[test]
fn an_exit_that_overtakes_the_observation_is_asked_for_again() {
    let (mut bench, db) = running_pod();
    bench.restart_daemon();
    bench.exited(&main_key(&db, 0), CRASH);
    bench.log.clear();
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 0)));
    assert!(matches!(&bench.log[..], [Effect::Observe { .. }]));
    bench.observed(&main_key(&db, 0), exited(&bench, 0, true));
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn a_stop_goes_on_with_the_deadline_it_had() {
    let (mut bench, db) = running_pod();
    bench.delete(&db, None);
    bench.pass(20);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 0)));
    bench.pass(9);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_backoff_goes_on_with_the_deadline_it_had() {
    let (mut bench, db) = running_pod();
    bench.ended(&main_key(&db, 0), CRASH);
    bench.started(&main_key(&db, 1));
    bench.ended(&main_key(&db, 1), CRASH);
    bench.pass(6);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 1), exited(&bench, 1, true));
    assert_eq!(bench.waiting_reason(&db), Some(Reason::CrashLoopBackOff));
    bench.pass(3);
    assert!(bench.starts().is_empty());
    bench.pass(1);
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
}

#[test]
fn a_restart_ordered_twice_counts_from_when_it_was_carried_out() {
    let (mut bench, db) = running_pod();
    bench.ended(&main_key(&db, 0), CRASH);
    bench.now += Duration::from_secs(700);
    bench.restart_daemon();
    bench.observed(&main_key(&db, 1), bench.running(&main_key(&db, 1)));
    bench.ended(&main_key(&db, 1), CRASH);
    assert!(bench.starts().is_empty(), "it ran for a moment only, however old its order is");
    bench.pass(10);
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
}

#[test]
fn a_dead_shim_is_no_dead_process() {
    let (mut bench, db) = running_pod();
    bench.tell(Input::ShimLost { key: main_key(&db, 0).container_key() });
    assert!(matches!(bench.container(&db).state, ContainerState::Running { .. }));
    assert!(matches!(&bench.log[..], [Effect::Observe { .. }]));
    bench.observed(&main_key(&db, 0), bench.running(&main_key(&db, 0)));
    assert!(matches!(bench.container(&db).state, ContainerState::Running { pid: 7, .. }));
    assert!(bench.starts().is_empty());
}

#[test]
fn after_a_reboot_what_ran_ended_unseen_and_starts_at_once_with_the_count_going_on() {
    let (mut bench, db) = running_pod();
    bench.ended(&main_key(&db, 0), CRASH);
    bench.started(&main_key(&db, 1));
    bench.reboot();
    bench.observed(&main_key(&db, 1), Observation::Absent);
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
    assert_eq!(bench.container(&db).last.unwrap().reason, Reason::ContainerStatusUnknown);
}

#[test]
fn after_a_reboot_nobody_waits_longer_than_the_delay() {
    let (mut bench, db) = running_pod();
    bench.now = Duration::from_secs(1_000_000);
    bench.ended(&main_key(&db, 0), CRASH);
    bench.started(&main_key(&db, 1));
    bench.ended(&main_key(&db, 1), CRASH);
    bench.reboot();
    bench.observed(&main_key(&db, 1), Observation::Absent);
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
}

#[test]
fn after_a_reboot_init_containers_run_again() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.insert(0, container("init", ContainerKind::Init));
    let init = barepod_core::AttemptKey { container: db.containers[0].name.clone(), ..main_key(&db, 0) };
    bench.run(&db);
    bench.ended(&init, ExitStatus::Code(0));
    bench.started(&main_key(&db, 0));
    bench.reboot();
    bench.observed(&init, Observation::Absent);
    bench.observed(&main_key(&db, 0), Observation::Absent);
    let starts: Vec<_> = bench.starts().iter().map(ToString::to_string).collect();
    assert_eq!(starts, ["a/init#1"]);
}

#[test]
fn after_a_reboot_a_deletion_is_completed() {
    let (mut bench, db) = running_pod();
    bench.delete(&db, None);
    bench.reboot();
    bench.observed(&main_key(&db, 0), Observation::Absent);
    assert!(bench.core.pod_view(&db.uid).is_none());
}

#[test]
fn a_lazy_write_that_failed_is_tried_again() {
    let (mut bench, db) = running_pod();
    bench.ledger = Ledger::Fails;
    bench.tell(Input::Missing { pod: db.uid.clone() });
    assert!(!bench.disk[&db.uid].orphaned);
    bench.ledger = Ledger::Works;
    bench.pass(1);
    assert!(bench.disk[&db.uid].orphaned);
}
