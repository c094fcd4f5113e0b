//! From an apply to a running pod, and through its crashes.

use barepod_core::{Effect, Input, StartFailure, Sync, Verb};
use barepod_model::{ContainerKind, ExitStatus, HostPort, Phase, Pod, Reason, RestartPolicy, Source};

use crate::bench::{Bench, Ledger, container, main_key, on_path, pod};

const CRASH: ExitStatus = ExitStatus::Code(1);

#[test]
fn nothing_is_started_or_shown_before_the_intent_is_durable() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.ledger = Ledger::Stalls;
    let request = bench.apply(&db);
    assert!(matches!(&bench.log[..], [Effect::Store { sync: Sync::Durable, .. }]), "only the write is wanted");
    assert!(!bench.replies.contains_key(&request));
    assert!(bench.core.pod_view(&db.uid).is_none());
}

#[test]
fn a_pod_that_cannot_be_written_is_denied_and_vanishes() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.ledger = Ledger::Fails;
    let request = bench.apply(&db);
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert_eq!(bench.core.view().count(), 0);
    assert!(bench.starts().is_empty());
}

#[test]
fn regular_containers_start_side_by_side_after_the_init_containers_one_by_one() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers = vec![
        container("first", ContainerKind::Init),
        container("second", ContainerKind::Init),
        container("main", ContainerKind::Regular),
        container("side", ContainerKind::Regular),
    ];
    bench.apply(&db);
    let mut order = Vec::new();
    for _ in 0..3 {
        let starts = bench.starts();
        bench.log.clear();
        order.push(starts.iter().map(|key| key.container.to_string()).collect::<Vec<_>>());
        for key in starts {
            bench.started(&key);
            bench.ended(&key, ExitStatus::Code(0));
        }
    }
    assert_eq!(order, [vec!["first"], vec!["second"], vec!["main", "side"]]);
}

#[test]
fn an_init_container_that_fails_under_never_fails_the_pod() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.restart_policy = RestartPolicy::Never;
    db.containers.insert(0, container("init", ContainerKind::Init));
    bench.run(&db);
    let key = barepod_core::AttemptKey { container: db.containers[0].name.clone(), ..main_key(&db, 0) };
    bench.ended(&key, CRASH);
    assert_eq!(bench.view(&db).phase, Phase::Failed);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_replacement_starts_only_when_the_old_cgroup_is_empty() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.exited(&main_key(&db, 0), CRASH);
    assert_eq!(bench.signals(), [9], "what is left is killed at once");
    assert!(bench.starts().is_empty());
    bench.pass(8);
    assert_eq!(bench.signals(), [9, 9, 9, 9], "again after 1, 3 and 7 s");
    bench.tell(Input::Emptied { key: main_key(&db, 0), message: String::new() });
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn the_first_restart_is_at_once_and_the_second_waits_ten_seconds_from_the_exit() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.ended(&main_key(&db, 0), CRASH);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
    bench.started(&main_key(&db, 1));
    bench.log.clear();
    bench.ended(&main_key(&db, 1), CRASH);
    assert_eq!(bench.waiting_reason(&db), Some(Reason::CrashLoopBackOff));
    bench.pass(9);
    assert!(bench.starts().is_empty());
    bench.pass(1);
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
    assert_eq!(bench.container(&db).restart_count, 1, "it is counted when it is there");
    bench.started(&main_key(&db, 2));
    assert_eq!(bench.container(&db).restart_count, 2);
}

#[test]
fn restarts_do_not_wait_for_a_stalled_ledger() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.ledger = Ledger::Stalls;
    let mut labelled = db.clone();
    labelled.labels.insert("a".into(), "b".into());
    bench.apply(&labelled);
    bench.ended(&main_key(&db, 0), CRASH);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn restart_policies_decide_as_kubelet_does() {
    let cases = [
        (RestartPolicy::Always, 0, true, Phase::Running),
        (RestartPolicy::OnFailure, 0, false, Phase::Succeeded),
        (RestartPolicy::OnFailure, 1, true, Phase::Running),
        (RestartPolicy::Never, 0, false, Phase::Succeeded),
        (RestartPolicy::Never, 1, false, Phase::Failed),
    ];
    for (policy, code, restarts, phase) in cases {
        let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
        db.restart_policy = policy;
        bench.run(&db);
        bench.ended(&main_key(&db, 0), ExitStatus::Code(code));
        assert_eq!(!bench.starts().is_empty(), restarts, "{policy:?} {code}");
        assert_eq!(bench.view(&db).phase, phase, "{policy:?} {code}");
    }
}

#[test]
fn a_failed_start_spends_a_number_and_is_tried_again_unless_never_forbids_it() {
    let fail = |bench: &mut Bench, key, reason| {
        bench.tell(Input::StartFailed { key, failure: StartFailure { reason, message: "no such file".into() } });
    };
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.restart_policy = RestartPolicy::Never;
    bench.apply(&db);
    fail(&mut bench, main_key(&db, 0), Reason::CreateContainerError);
    fail(&mut bench, main_key(&db, 1), Reason::CreateContainerError);
    assert_eq!(bench.waiting_reason(&db), Some(Reason::CreateContainerError));
    bench.pass(10);
    assert_eq!(bench.starts().last(), Some(&main_key(&db, 2)));
    fail(&mut bench, main_key(&db, 2), Reason::StartError);
    assert_eq!(bench.view(&db).phase, Phase::Failed);
    assert_eq!(bench.container(&db).state.exit_status(), Some(ExitStatus::Code(128)));
}

#[test]
fn an_answer_of_an_old_attempt_is_dropped() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.ended(&main_key(&db, 0), CRASH);
    bench.started(&main_key(&db, 1));
    let before = bench.view(&db);
    bench.log.clear();
    bench.ended(&main_key(&db, 0), CRASH);
    assert_eq!(bench.view(&db), before);
    assert!(bench.log.is_empty());
}

#[test]
fn a_pod_waits_for_an_overlapping_data_path_and_starts_when_it_is_free() {
    let mut bench = Bench::new();
    let first = on_path(pod("a", "db"), "/data");
    let second = on_path(pod("b", "other"), "/data/inner");
    bench.run(&first);
    let request = bench.apply(&second);
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Created);
    assert_eq!(bench.view(&second).reason, Some(Reason::DataPathInUse));
    bench.delete(&first, None);
    assert!(bench.starts().is_empty(), "the dying pod still holds it");
    bench.ended(&main_key(&first, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&second, 0)]);
}

#[test]
fn a_pod_waits_for_a_port_that_another_has_and_one_on_another_address_does_not() {
    let port = |address: Option<&str>| {
        let address = address.and_then(|address| address.parse().ok());
        HostPort { protocol: "TCP".to_owned(), number: 80, address }.path()
    };
    let on_port = |mut pod: Pod, address| {
        pod.data_paths.insert(port(address));
        pod
    };
    let mut bench = Bench::new();
    let first = on_port(pod("a", "one"), Some("10.0.0.1"));
    bench.run(&first);
    bench.run(&on_port(pod("b", "two"), Some("10.0.0.2")));
    let everywhere = on_port(pod("c", "three"), None);
    bench.apply(&everywhere);
    assert_eq!(bench.view(&everywhere).reason, Some(Reason::NodePorts));
    bench.log.clear();
    let mut without = first.clone();
    without.data_paths.clear();
    bench.apply(&without);
    assert!(bench.log.is_empty() || bench.starts().is_empty(), "to say less of ports touches no process");
    assert_eq!(bench.view(&everywhere).reason, Some(Reason::NodePorts), "the second has it still");
}

#[test]
fn a_pod_waits_for_a_dying_one_of_its_name() {
    let (mut bench, old, new) = (Bench::new(), pod("a", "db"), pod("b", "db"));
    bench.run(&old);
    bench.delete(&old, None);
    bench.apply(&new);
    assert_eq!(bench.view(&new).reason, Some(Reason::WaitingForPredecessor));
    bench.restart_daemon();
    bench.observed(&main_key(&old, 0), bench.running(&main_key(&old, 0)));
    bench.observed(&main_key(&new, 0), barepod_core::Observation::Absent);
    assert_eq!(bench.view(&new).reason, Some(Reason::WaitingForPredecessor), "also after a restart");
    bench.ended(&main_key(&old, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&new, 0)]);
}

#[test]
fn a_name_of_another_source_is_taken() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let mut other = pod("b", "db");
    other.source = Source::Nomad;
    let request = bench.apply(&other);
    assert_eq!(bench.denied(request), Reason::NameTaken);
    assert_eq!(bench.core.view().count(), 1);
}
