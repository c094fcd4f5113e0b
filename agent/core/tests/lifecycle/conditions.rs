//! Conditions: barepod's own, as kubelet has them, and those that others set for readiness gates.

use barepod_core::{Condition, ConditionChange, ConditionStatus, HookOutcome, Input, RequestId, Verb};
use barepod_model::{ContainerKind, ExitStatus, HookKind, Pod, Reason, RestartPolicy};

use crate::bench::{Bench, Ledger, container, key_of, main_key, pod};

const GATE: &str = "example.com/in-load-balancer";

fn gated() -> Pod {
    let mut pod = pod("a", "db");
    pod.readiness_gates = vec![GATE.to_owned()];
    pod
}

fn set(bench: &mut Bench, pod: &Pod, kind: &str, status: ConditionStatus) -> RequestId {
    let change = ConditionChange::Set {
        kind: kind.to_owned(),
        status,
        reason: "Registered".to_owned(),
        message: "the balancer has it".to_owned(),
    };
    condition(bench, pod, change)
}

fn condition(bench: &mut Bench, pod: &Pod, change: ConditionChange) -> RequestId {
    let request = RequestId(1000 + bench.replies.len() as u64);
    bench.tell(Input::Condition { request, pod: pod.uid.clone(), change });
    request
}

fn shown(bench: &Bench, pod: &Pod, kind: &str) -> Option<Condition> {
    bench.view(pod).conditions.into_iter().find(|condition| condition.kind == kind)
}

fn holds(bench: &Bench, pod: &Pod, kind: &str) -> bool {
    shown(bench, pod, kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

fn why(bench: &Bench, pod: &Pod, kind: &str) -> (String, String) {
    let condition = shown(bench, pod, kind).expect("it is shown");
    assert_eq!(condition.status, ConditionStatus::False, "{kind}");
    (condition.reason, condition.message)
}

fn words(reason: &str, message: &str) -> (String, String) {
    (reason.to_owned(), message.to_owned())
}

#[test]
fn a_pod_is_ready_when_its_containers_are_and_every_gate_is_open() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    assert!(!bench.view(&db).ready && holds(&bench, &db, "ContainersReady"));
    let missing = format!("corresponding condition of pod readiness gate {GATE:?} does not exist.");
    assert_eq!(why(&bench, &db, "Ready"), words("ReadinessGatesNotReady", &missing));
    set(&mut bench, &db, GATE, ConditionStatus::Unknown);
    let unknown = format!("the status of pod readiness gate {GATE:?} is not \"True\", but Unknown");
    assert_eq!(why(&bench, &db, "Ready"), words("ReadinessGatesNotReady", &unknown));
    set(&mut bench, &db, GATE, ConditionStatus::True);
    assert!(bench.view(&db).ready && holds(&bench, &db, "Ready"));
    set(&mut bench, &db, GATE, ConditionStatus::False);
    assert!(!bench.view(&db).ready);
}

#[test]
fn a_gate_opens_no_pod_whose_containers_are_not_ready() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.apply(&db);
    set(&mut bench, &db, GATE, ConditionStatus::True);
    assert_eq!(why(&bench, &db, "Ready"), words("ContainersNotReady", "containers with unready status: [main]"));
}

#[test]
fn what_others_set_survives_a_daemon_a_reboot_a_restart_and_an_update() {
    let (mut bench, mut db) = (Bench::new(), gated());
    bench.run(&db);
    let request = set(&mut bench, &db, GATE, ConditionStatus::True);
    assert_eq!(bench.replies[&request].as_ref().expect("accepted").verb, Verb::ConditionSet);
    set(&mut bench, &db, "example.com/foreign", ConditionStatus::False);
    let before = shown(&bench, &db, GATE);
    let running = bench.running(&main_key(&db, 0));
    bench.restart_daemon();
    assert!(holds(&bench, &db, GATE), "even before it is known what there is");
    bench.observed(&main_key(&db, 0), running);
    bench.pass(100);
    db.labels.insert("a".into(), "b".into());
    bench.apply(&db);
    bench.restart(&db);
    bench.reboot();
    assert_eq!(shown(&bench, &db, GATE), before);
    assert!(shown(&bench, &db, "example.com/foreign").is_some());
}

#[test]
fn a_condition_is_denied_where_its_write_fails_and_nothing_has_changed() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    bench.ledger = Ledger::Fails;
    let request = set(&mut bench, &db, GATE, ConditionStatus::True);
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert_eq!(shown(&bench, &db, GATE), None);
    assert!(!bench.view(&db).ready);
}

#[test]
fn nobody_sets_what_follows_from_the_containers() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    for kind in ["Ready", "ContainersReady", "Initialized", "PodScheduled", "notify.barepod.dev/main"] {
        let request = set(&mut bench, &db, kind, ConditionStatus::True);
        assert_eq!(bench.denied(request), Reason::NotOwner, "{kind}");
    }
}

#[test]
fn a_pod_takes_a_bounded_number_of_foreign_conditions() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    for number in 0..64 {
        set(&mut bench, &db, &format!("example.com/{number}"), ConditionStatus::True);
    }
    let request = set(&mut bench, &db, "example.com/64", ConditionStatus::True);
    assert_eq!(bench.denied(request), Reason::InvalidValue);
    set(&mut bench, &db, "example.com/63", ConditionStatus::False);
    assert!(!holds(&bench, &db, "example.com/63"));
    condition(&mut bench, &db, ConditionChange::Remove { kind: "example.com/0".to_owned() });
    set(&mut bench, &db, "example.com/64", ConditionStatus::True);
    assert!(holds(&bench, &db, "example.com/64") && shown(&bench, &db, "example.com/0").is_none());
}

#[test]
fn the_time_of_a_transition_is_that_of_another_status() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    set(&mut bench, &db, GATE, ConditionStatus::True);
    let first = shown(&bench, &db, GATE).expect("shown").transition;
    bench.pass(10);
    set(&mut bench, &db, GATE, ConditionStatus::True);
    assert_eq!(shown(&bench, &db, GATE).expect("shown").transition, first);
    set(&mut bench, &db, GATE, ConditionStatus::False);
    assert_ne!(shown(&bench, &db, GATE).expect("shown").transition, first);
}

#[test]
fn a_restart_of_the_daemon_is_no_transition() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let before = shown(&bench, &db, "Ready").expect("shown");
    let running = bench.running(&main_key(&db, 0));
    bench.pass(50);
    bench.restart_daemon();
    assert_eq!(shown(&bench, &db, "Ready").as_ref(), Some(&before));
    bench.observed(&main_key(&db, 0), running);
    assert_eq!(shown(&bench, &db, "Ready"), Some(before));
}

#[test]
fn a_pod_is_initialized_when_its_init_containers_are_done_and_stays_so() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.insert(0, container("first", ContainerKind::Init));
    db.containers.insert(1, container("second", ContainerKind::Init));
    bench.apply(&db);
    assert!(holds(&bench, &db, "PodScheduled") && holds(&bench, &db, "PodReadyToStartContainers"));
    let incomplete =
        |names| words("ContainersNotInitialized", &format!("containers with incomplete status: [{names}]"));
    assert_eq!(why(&bench, &db, "Initialized"), incomplete("first second"));
    bench.started(&key_of(&db, "first", 0));
    bench.ended(&key_of(&db, "first", 0), ExitStatus::Code(0));
    assert_eq!(why(&bench, &db, "Initialized"), incomplete("second"));
    bench.started(&key_of(&db, "second", 0));
    bench.ended(&key_of(&db, "second", 0), ExitStatus::Code(0));
    assert!(holds(&bench, &db, "Initialized"));
    bench.started(&main_key(&db, 0));
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    assert!(holds(&bench, &db, "Initialized"));
}

#[test]
fn the_conditions_of_a_pod_that_has_ended_say_so() {
    for (code, reason) in [(0, "PodCompleted"), (1, "PodFailed")] {
        let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
        db.restart_policy = RestartPolicy::Never;
        bench.run(&db);
        bench.ended(&main_key(&db, 0), ExitStatus::Code(code));
        assert_eq!(why(&bench, &db, "Ready"), words(reason, ""));
        assert_eq!(why(&bench, &db, "ContainersReady"), words(reason, ""));
        assert_eq!(why(&bench, &db, "PodReadyToStartContainers").0, "PodSandboxNotReady");
    }
}

#[test]
fn a_container_whose_hook_runs_is_not_ready() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].lifecycle.post_start = Some(barepod_model::Hook::Sleep(std::time::Duration::from_secs(1)));
    bench.run(&db);
    assert_eq!(why(&bench, &db, "Ready").0, "ContainersNotReady");
    bench.hooked(&main_key(&db, 0), HookKind::PostStart, HookOutcome::Success);
    assert!(holds(&bench, &db, "Ready"));
}

#[test]
fn a_pod_that_is_ending_takes_no_conditions() {
    let (mut bench, db) = (Bench::new(), gated());
    bench.run(&db);
    bench.delete(&db, None);
    let request = set(&mut bench, &db, GATE, ConditionStatus::True);
    assert_eq!(bench.denied(request), Reason::PodTerminating);
}
