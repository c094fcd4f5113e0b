//! What decides over a container besides the pod's restart policy: its own rules, the pod's deadline, other pods.

use std::time::Duration;

use barepod_model::{
    ContainerKind, ExitCodes, ExitStatus, Phase, Pod, PodRef, Reason, RestartAction, RestartPolicy, RestartRule,
};

use crate::bench::{Bench, container, key_of, main_key, pod, probe};

fn rule(codes: ExitCodes, action: RestartAction) -> Vec<RestartRule> {
    vec![RestartRule { codes, action }]
}

fn after(pod: &Pod, other: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.depends_on.push(PodRef { namespace: other.namespace.clone(), name: other.name.clone() });
    pod
}

#[test]
fn a_containers_own_policy_goes_before_the_pods() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].restart.policy = Some(RestartPolicy::Never);
    bench.run(&db);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    assert!(bench.starts().is_empty());
}

#[test]
fn a_rule_goes_before_any_policy_and_the_first_that_fits_counts() {
    for (code, restarts) in [(42, true), (143, true), (1, false)] {
        let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
        db.restart_policy = RestartPolicy::Never;
        db.containers[0].restart.rules = rule(ExitCodes::In(vec![42, 143]), RestartAction::Restart);
        bench.run(&db);
        let status = if code == 143 { ExitStatus::Signal(15) } else { ExitStatus::Code(code) };
        bench.ended(&main_key(&db, 0), status);
        assert_eq!(!bench.starts().is_empty(), restarts, "{status}");
    }
}

#[test]
fn a_rule_may_ask_for_new_processes_of_the_whole_pod_and_the_asker_keeps_its_back_off() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.insert(0, container("init", ContainerKind::Init));
    db.containers.push(container("side", ContainerKind::Regular));
    db.containers[1].restart.rules = rule(ExitCodes::NotIn(vec![0]), RestartAction::RestartAllContainers);
    bench.apply(&db);
    bench.started(&key_of(&db, "init", 0));
    bench.ended(&key_of(&db, "init", 0), ExitStatus::Code(0));
    bench.started(&key_of(&db, "main", 0));
    bench.started(&key_of(&db, "side", 0));
    bench.log.clear();
    bench.ended(&key_of(&db, "main", 0), ExitStatus::Code(7));
    assert!(bench.told(Reason::RestartingAllContainers));
    assert_eq!(bench.signals().last(), Some(&15), "the other one is stopped");
    assert!(bench.starts().is_empty(), "nothing starts before all have ended");
    bench.ended(&key_of(&db, "side", 0), ExitStatus::Signal(15));
    assert_eq!(bench.starts(), [key_of(&db, "init", 1)]);
    bench.started(&key_of(&db, "init", 1));
    bench.log.clear();
    bench.ended(&key_of(&db, "init", 1), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [key_of(&db, "main", 1), key_of(&db, "side", 1)]);
}

#[test]
fn a_pod_that_outlives_its_deadline_is_stopped_and_has_failed() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.active_deadline = Some(Duration::from_secs(60));
    bench.run(&db);
    bench.pass(59);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert_eq!(bench.signals(), [15]);
    assert_eq!(bench.view(&db).phase, Phase::Running, "it lives still");
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    let view = bench.view(&db);
    assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::DeadlineExceeded)));
    bench.pass(1000);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_deadline_counts_through_a_reboot_by_the_wall_clock() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.active_deadline = Some(Duration::from_secs(60));
    bench.run(&db);
    bench.pass(10);
    bench.reboot();
    bench.observed(&main_key(&db, 0), barepod_core::Observation::Absent);
    bench.pass(29);
    assert_eq!(bench.view(&db).reason, None, "10 s before, 20 s of booting, 29 s since");
    bench.pass(1);
    assert_eq!(bench.view(&db).reason, Some(Reason::DeadlineExceeded));
}

#[test]
fn a_failed_pod_is_begun_anew_by_an_operators_restart_and_its_deadline_with_it() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.active_deadline = Some(Duration::from_secs(60));
    bench.run(&db);
    bench.pass(60);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.log.clear();
    bench.restart(&db);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
    bench.started(&main_key(&db, 1));
    bench.pass(59);
    assert_eq!(bench.view(&db).reason, None);
}

#[test]
fn a_pod_waits_until_those_it_depends_on_are_ready() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].startup = Some(probe());
    let web = after(&pod("b", "web"), &db);
    bench.apply(&web);
    assert_eq!(bench.view(&web).reason, Some(Reason::WaitingForDependency));
    assert!(bench.view(&web).message.contains("does not exist"));
    bench.run(&db);
    assert!(bench.starts().is_empty());
    let outcome = barepod_core::ProbeOutcome::Success;
    let (kind, ticket) = (barepod_model::ProbeKind::Startup, barepod_core::ProbeTicket(1));
    bench.tell(barepod_core::Input::Probed { key: main_key(&db, 0), kind, ticket, outcome });
    assert_eq!(bench.starts(), [main_key(&web, 0)]);
}

#[test]
fn a_pod_that_has_begun_does_not_wait_again() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    let web = after(&pod("b", "web"), &db);
    bench.run(&db);
    bench.run(&web);
    bench.exited(&main_key(&db, 0), ExitStatus::Code(1));
    bench.ended(&main_key(&web, 0), ExitStatus::Code(1));
    assert!(bench.starts().contains(&main_key(&web, 1)));
}

#[test]
fn pods_that_are_deleted_together_end_in_reverse_order() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    let web = after(&pod("b", "web"), &db);
    bench.run(&db);
    bench.run(&web);
    bench.delete(&web, None);
    bench.delete(&db, None);
    assert_eq!(bench.signals(), [15], "only the one that depends");
    bench.ended(&main_key(&web, 0), ExitStatus::Code(0));
    assert_eq!(bench.signals(), [15, 9, 15]);
}

#[test]
fn a_pod_that_would_wait_for_itself_is_refused() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    let web = after(&pod("b", "web"), &db);
    bench.run(&after(&db, &pod("c", "cache")));
    bench.run(&web);
    let request = bench.apply(&after(&pod("c", "cache"), &web));
    assert_eq!(bench.denied(request), Reason::InvalidConfiguration);
}
