//! What kubelet does, scenario by scenario, where no other file here has it. `SEMANTICS.md` beside the crate names the rules,
//! their sources, and the test of each.

use std::time::Duration;

use barepod_core::{ContainerState, Effect, HookOutcome, Input, ProbeOutcome, ProbeTicket};
use barepod_model::{
    ContainerKind, ExitCodes, ExitStatus, Hook, HookKind, Phase, Pod, Probe, ProbeKind, Reason, RestartAction,
    RestartPolicy, RestartRule,
};

use crate::bench::{Bench, container, key_of, main_key, pod, probe};

const CRASH: ExitStatus = ExitStatus::Code(1);
const DONE: ExitStatus = ExitStatus::Code(0);

/// `first`, `second`, then `main`.
fn with_inits() -> Pod {
    let mut pod = pod("a", "db");
    pod.containers.insert(0, container("first", ContainerKind::Init));
    pod.containers.insert(1, container("second", ContainerKind::Init));
    pod
}

/// `early`, a sidecar, then `init`, then `main`.
fn with_sidecar() -> Pod {
    let mut pod = pod("a", "db");
    pod.containers.insert(0, container("early", ContainerKind::Sidecar));
    pod.containers.insert(1, container("init", ContainerKind::Init));
    pod
}

fn names(bench: &mut Bench) -> Vec<String> {
    let names = bench.starts().iter().map(|key| key.container.to_string()).collect();
    bench.log.clear();
    names
}

fn asked(bench: &Bench, wanted: ProbeKind) -> Option<ProbeTicket> {
    bench.log.iter().rev().find_map(|effect| match effect {
        Effect::Probe { kind, ticket, .. } if *kind == wanted => Some(*ticket),
        _ => None,
    })
}

fn answer(bench: &mut Bench, db: &Pod, kind: ProbeKind, outcome: ProbeOutcome) {
    let ticket = asked(bench, kind).unwrap_or_else(|| panic!("{kind:?} was asked for"));
    bench.log.clear();
    bench.tell(Input::Probed { key: main_key(db, 0), kind, ticket, outcome });
}

fn bad() -> ProbeOutcome {
    ProbeOutcome::Failure("refused".into())
}

fn waiting(bench: &Bench, pod: &Pod, name: &str) -> (Reason, String) {
    let view = bench.view(pod);
    let container = view.containers.into_iter().find(|container| container.name.as_str() == name).expect("it is shown");
    match container.state {
        ContainerState::Waiting { reason, message } => (reason, message),
        other => panic!("{name} does not wait: {other:?}"),
    }
}

// ---- init containers ----

#[test]
fn a_failed_init_container_is_restarted_with_back_off_and_nothing_after_it_begins() {
    let (mut bench, db) = (Bench::new(), with_inits());
    bench.apply(&db);
    for (attempt, wait) in [(0, 0), (1, 10), (2, 20), (3, 40)] {
        assert_eq!(names(&mut bench), ["first"], "attempt {attempt}");
        bench.started(&key_of(&db, "first", attempt));
        bench.ended(&key_of(&db, "first", attempt), CRASH);
        assert_eq!(bench.view(&db).phase, Phase::Pending);
        if wait > 0 {
            assert_eq!(waiting(&bench, &db, "first").0, Reason::CrashLoopBackOff);
            bench.pass(wait - 1);
            assert!(names(&mut bench).is_empty());
            bench.pass(1);
        }
    }
    assert_eq!(waiting(&bench, &db, "main"), (Reason::PodInitializing, String::new()));
}

#[test]
fn an_init_container_that_succeeded_does_not_run_again_when_the_main_container_crashes() {
    let (mut bench, db) = (Bench::new(), with_inits());
    bench.apply(&db);
    for name in ["first", "second"] {
        bench.started(&key_of(&db, name, 0));
        bench.ended(&key_of(&db, name, 0), DONE);
    }
    bench.started(&main_key(&db, 0));
    bench.log.clear();
    bench.ended(&main_key(&db, 0), CRASH);
    assert_eq!(names(&mut bench), ["main"]);
}

#[test]
fn an_init_container_that_succeeded_does_not_run_again_when_the_next_one_fails() {
    let (mut bench, db) = (Bench::new(), with_inits());
    bench.apply(&db);
    bench.started(&key_of(&db, "first", 0));
    bench.ended(&key_of(&db, "first", 0), DONE);
    bench.started(&key_of(&db, "second", 0));
    bench.log.clear();
    bench.ended(&key_of(&db, "second", 0), CRASH);
    assert_eq!(names(&mut bench), ["second"]);
}

#[test]
fn init_containers_run_again_when_a_rule_restarts_the_whole_pod() {
    let (mut bench, mut db) = (Bench::new(), with_inits());
    let rule = RestartRule { codes: ExitCodes::In(vec![7]), action: RestartAction::RestartAllContainers };
    db.containers[2].restart.rules = vec![rule];
    bench.apply(&db);
    for name in ["first", "second"] {
        bench.started(&key_of(&db, name, 0));
        bench.ended(&key_of(&db, name, 0), DONE);
    }
    bench.started(&main_key(&db, 0));
    bench.log.clear();
    bench.ended(&main_key(&db, 0), ExitStatus::Code(7));
    assert_eq!(names(&mut bench), ["first"]);
}

// ---- sidecars ----

#[test]
fn a_sidecar_that_crashes_before_it_has_started_keeps_the_next_one_waiting() {
    let (mut bench, db) = (Bench::new(), with_sidecar());
    bench.apply(&db);
    assert_eq!(names(&mut bench), ["early"]);
    bench.tell(Input::StartFailed {
        key: key_of(&db, "early", 0),
        failure: barepod_core::StartFailure { reason: Reason::StartError, message: "no such file".into() },
    });
    assert_eq!(names(&mut bench), ["early"]);
    assert_eq!(bench.view(&db).phase, Phase::Pending);
}

#[test]
fn a_sidecar_that_crashes_while_an_init_container_runs_is_restarted_beside_it() {
    let (mut bench, db) = (Bench::new(), with_sidecar());
    bench.apply(&db);
    bench.started(&key_of(&db, "early", 0));
    bench.started(&key_of(&db, "init", 0));
    bench.log.clear();
    bench.ended(&key_of(&db, "early", 0), CRASH);
    assert_eq!(names(&mut bench), ["early"]);
    bench.started(&key_of(&db, "early", 1));
    bench.ended(&key_of(&db, "init", 0), DONE);
    assert_eq!(names(&mut bench), ["main"]);
}

#[test]
fn a_sidecar_that_crashes_does_not_fail_a_pod_that_never_restarts() {
    let (mut bench, mut db) = (Bench::new(), with_sidecar());
    db.restart_policy = RestartPolicy::Never;
    bench.apply(&db);
    bench.started(&key_of(&db, "early", 0));
    bench.started(&key_of(&db, "init", 0));
    bench.ended(&key_of(&db, "init", 0), DONE);
    bench.started(&main_key(&db, 0));
    bench.ended(&key_of(&db, "early", 0), CRASH);
    assert_eq!(bench.view(&db).phase, Phase::Running);
    bench.started(&key_of(&db, "early", 1));
    bench.ended(&main_key(&db, 0), DONE);
    bench.ended(&key_of(&db, "early", 1), ExitStatus::Signal(9));
    assert_eq!(bench.view(&db).phase, Phase::Succeeded, "it is the main container that counts");
}

#[test]
fn a_sidecar_that_is_not_ready_keeps_the_pod_from_being_ready() {
    let (mut bench, mut db) = (Bench::new(), with_sidecar());
    db.containers[0].readiness = Some(probe());
    bench.apply(&db);
    bench.started(&key_of(&db, "early", 0));
    bench.started(&key_of(&db, "init", 0));
    bench.ended(&key_of(&db, "init", 0), DONE);
    bench.started(&main_key(&db, 0));
    assert!(!bench.view(&db).ready);
}

// ---- probes ----

#[test]
fn a_liveness_probe_needs_as_many_failures_in_a_row_as_its_threshold_says() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].liveness = Some(probe());
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    for outcome in [bad(), bad(), ProbeOutcome::Success, bad(), bad()] {
        answer(&mut bench, &db, ProbeKind::Liveness, outcome);
        assert!(bench.signals().is_empty());
        bench.pass(10);
    }
    answer(&mut bench, &db, ProbeKind::Liveness, bad());
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn a_readiness_probe_needs_as_many_successes_in_a_row_as_its_threshold_says() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].readiness = Some(Probe { success_threshold: 3, ..probe() });
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    for outcome in [ProbeOutcome::Success, ProbeOutcome::Success, bad(), ProbeOutcome::Success, ProbeOutcome::Success] {
        answer(&mut bench, &db, ProbeKind::Readiness, outcome);
        assert!(!bench.view(&db).ready);
        bench.pass(10);
    }
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Success);
    assert!(bench.view(&db).ready);
}

#[test]
fn a_probe_waits_for_its_initial_delay_and_is_asked_once_a_period() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    let figures = Probe { initial_delay: Duration::from_secs(7), period: Duration::from_secs(5), ..probe() };
    db.containers[0].readiness = Some(figures);
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    bench.pass(6);
    assert_eq!(asked(&bench, ProbeKind::Readiness), None);
    bench.pass(1);
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Success);
    bench.pass(4);
    assert_eq!(asked(&bench, ProbeKind::Readiness), None);
    bench.pass(1);
    assert!(asked(&bench, ProbeKind::Readiness).is_some());
}

#[test]
fn a_startup_probe_that_fails_for_good_stops_the_container_with_its_own_grace() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    let own = Some(Duration::from_secs(4));
    db.containers[0].startup = Some(Probe { failure_threshold: 1, termination_grace: own, ..probe() });
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    answer(&mut bench, &db, ProbeKind::Startup, bad());
    assert_eq!(bench.signals(), [15]);
    bench.pass(4);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn readiness_is_asked_until_the_end_of_a_deleted_pod_and_nothing_else_is() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].readiness = Some(Probe { failure_threshold: 1, ..probe() });
    db.containers[0].liveness = Some(probe());
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    answer(&mut bench, &db, ProbeKind::Readiness, ProbeOutcome::Success);
    bench.delete(&db, None);
    assert!(bench.view(&db).ready, "its readiness is what the probe says");
    bench.log.clear();
    bench.pass(10);
    assert_eq!(asked(&bench, ProbeKind::Liveness), None);
    answer(&mut bench, &db, ProbeKind::Readiness, bad());
    assert!(!bench.view(&db).ready);
    assert_eq!(bench.container(&db).restart_count, 0);
}

#[test]
fn a_deleted_pod_that_is_ready_still_opens_no_pod_that_depends_on_it() {
    let (mut bench, db, mut next) = (Bench::new(), pod("a", "db"), pod("b", "next"));
    next.depends_on = vec![barepod_model::PodRef { namespace: db.namespace.clone(), name: db.name.clone() }];
    bench.run(&db);
    bench.delete(&db, None);
    assert!(bench.view(&db).ready);
    bench.apply(&next);
    assert!(bench.starts().is_empty());
}

// ---- stopping ----

#[test]
fn nobody_is_killed_without_two_seconds_after_the_signal_unless_a_delete_says_so() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.grace = Duration::ZERO;
    bench.run(&db);
    bench.delete(&db, None);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15, 9]);
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.delete(&db, Some(0));
    assert_eq!(bench.signals(), [9]);
}

#[test]
fn a_pre_stop_hook_longer_than_the_grace_leaves_the_signal_two_seconds() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.grace = Duration::from_secs(10);
    db.containers[0].lifecycle.pre_stop = Some(Hook::Sleep(Duration::from_secs(100)));
    bench.run(&db);
    bench.delete(&db, None);
    assert_eq!(bench.hooks(), [HookKind::PreStop]);
    bench.pass(7);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert_eq!(bench.signals(), [15]);
    bench.pass(2);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn a_post_start_hook_that_hangs_keeps_the_container_waiting_and_unprobed_until_it_is_deleted() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].lifecycle.post_start = Some(Hook::Exec { command: vec!["hang".into()] });
    db.containers[0].liveness = Some(probe());
    bench.run(&db);
    bench.pass(3600);
    assert_eq!(bench.waiting_reason(&db), Some(Reason::ContainerCreating));
    assert_eq!(asked(&bench, ProbeKind::Liveness), None);
    bench.delete(&db, None);
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn a_failed_post_start_hook_is_told_and_the_restart_waits_for_its_back_off() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].lifecycle.post_start = Some(Hook::Exec { command: vec!["fail".into()] });
    bench.run(&db);
    for attempt in 0..2 {
        bench.hooked(&main_key(&db, attempt), HookKind::PostStart, HookOutcome::Failure("exit 1".into()));
        assert!(bench.told(Reason::FailedPostStartHook));
        bench.log.clear();
        bench.ended(&main_key(&db, attempt), ExitStatus::Signal(15));
        if attempt == 0 {
            bench.started(&main_key(&db, 1));
        }
    }
    assert!(bench.starts().len() <= 1);
    assert_eq!(bench.waiting_reason(&db), Some(Reason::CrashLoopBackOff));
}

// ---- back-off, counts and what is shown ----

#[test]
fn the_waits_between_crashes_are_ten_seconds_doubled_up_to_five_minutes() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let mut waits = Vec::new();
    for attempt in 0..8 {
        bench.ended(&main_key(&db, attempt), CRASH);
        let mut waited = 0;
        while bench.starts().is_empty() {
            bench.pass(1);
            waited += 1;
        }
        waits.push(waited);
        bench.log.clear();
        bench.started(&main_key(&db, attempt + 1));
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(bench.container(&db).restart_count, 8);
}

#[test]
fn ten_minutes_without_a_crash_forgive_all_that_were_before() {
    for (ran, wait) in [(599, 20), (601, 0)] {
        let (mut bench, db) = (Bench::new(), pod("a", "db"));
        bench.run(&db);
        bench.ended(&main_key(&db, 0), CRASH);
        bench.started(&main_key(&db, 1));
        bench.ended(&main_key(&db, 1), CRASH);
        bench.pass(10);
        bench.started(&main_key(&db, 2));
        bench.pass(ran);
        bench.log.clear();
        bench.ended(&main_key(&db, 2), CRASH);
        assert_eq!(bench.starts().is_empty(), wait > 0, "after {ran} s");
        bench.pass(wait);
        assert_eq!(bench.starts().len(), 1);
        bench.started(&main_key(&db, 3));
        assert_eq!(bench.container(&db).restart_count, 3, "the count is never set back");
    }
}

#[test]
fn a_container_that_waits_after_a_crash_is_shown_as_kubelet_shows_it() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    for attempt in 0..5 {
        bench.ended(&main_key(&db, attempt), ExitStatus::Code(3));
        bench.pass(if attempt < 4 { 300 } else { 0 });
        if attempt < 4 {
            bench.started(&main_key(&db, attempt + 1));
        }
    }
    let message = "back-off 1m20s restarting failed container=main pod=db_default(a)".to_owned();
    assert_eq!(waiting(&bench, &db, "main"), (Reason::CrashLoopBackOff, message));
    let shown = bench.container(&db);
    let last = shown.last.expect("lastState");
    assert_eq!((last.status, last.reason), (ExitStatus::Code(3), Reason::Error));
    assert!(!shown.ready && !shown.started);
    assert_eq!(bench.view(&db).phase, Phase::Running);
}

#[test]
fn a_container_that_never_began_waits_for_its_creation_or_for_the_init_containers() {
    let (mut bench, plain) = (Bench::new(), pod("a", "db"));
    bench.apply(&plain);
    assert_eq!(bench.waiting_reason(&plain), Some(Reason::ContainerCreating));
    let (mut bench, db) = (Bench::new(), with_inits());
    bench.apply(&db);
    assert_eq!(waiting(&bench, &db, "main").0, Reason::PodInitializing);
    assert_eq!(waiting(&bench, &db, "second").0, Reason::PodInitializing);
}

#[test]
fn an_end_is_completed_error_or_oom_killed() {
    for (status, oom, reason) in [
        (DONE, false, Reason::Completed),
        (CRASH, false, Reason::Error),
        (ExitStatus::Signal(15), false, Reason::Error),
        (ExitStatus::Signal(9), true, Reason::OOMKilled),
        (ExitStatus::Unknown, false, Reason::ContainerStatusUnknown),
    ] {
        let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
        db.restart_policy = RestartPolicy::Never;
        bench.run(&db);
        let finished = bench.stamp();
        bench.tell(Input::Exited { key: main_key(&db, 0), status, oom, finished });
        bench.tell(Input::Emptied { key: main_key(&db, 0), message: "bye".into() });
        let ContainerState::Terminated { termination } = bench.container(&db).state else { panic!("it has ended") };
        assert_eq!((termination.reason, termination.message.as_str()), (reason, "bye"));
        assert!(termination.started.is_some());
    }
}

#[test]
fn the_phase_of_several_containers_is_that_of_all() {
    let cases = [
        (RestartPolicy::Never, [0, 0], Phase::Succeeded),
        (RestartPolicy::Never, [0, 1], Phase::Failed),
        (RestartPolicy::OnFailure, [0, 0], Phase::Succeeded),
        (RestartPolicy::OnFailure, [0, 1], Phase::Running),
        (RestartPolicy::Always, [0, 0], Phase::Running),
    ];
    for (policy, codes, phase) in cases {
        let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
        db.restart_policy = policy;
        db.containers.push(container("side", ContainerKind::Regular));
        bench.apply(&db);
        assert_eq!(bench.view(&db).phase, Phase::Pending);
        bench.started(&main_key(&db, 0));
        assert_eq!(bench.view(&db).phase, Phase::Pending, "one of two has been started");
        bench.started(&key_of(&db, "side", 0));
        assert_eq!(bench.view(&db).phase, Phase::Running);
        bench.ended(&main_key(&db, 0), ExitStatus::Code(codes[0]));
        assert_eq!(bench.view(&db).phase, Phase::Running, "{policy:?}");
        bench.ended(&key_of(&db, "side", 0), ExitStatus::Code(codes[1]));
        assert_eq!(bench.view(&db).phase, phase, "{policy:?} {codes:?}");
    }
}
