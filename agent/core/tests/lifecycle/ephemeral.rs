//! Ephemeral containers: added to look into a pod, started once, and nothing to the pod itself.

use barepod_core::{ContainerView, Input, Observation, StartFailure};
use barepod_model::*;

use crate::bench::{Bench, container, key_of, main_key, on_path, pod};

const CRASH: ExitStatus = ExitStatus::Code(1);
const DONE: ExitStatus = ExitStatus::Code(0);

/// With one more ephemeral container, of whose author these are the words.
fn looked_into(pod: &Pod, name: &str, words: &str) -> Pod {
    let mut pod = pod.clone();
    let written = Manifest(words.to_owned());
    let look =
        Container { ephemeral: Some(Ephemeral { target: None, written }), ..container(name, ContainerKind::Ephemeral) };
    pod.containers.push(look);
    pod
}

fn look(bench: &Bench, pod: &Pod) -> ContainerView {
    let mut shown = bench.view(pod).containers.into_iter();
    shown.find(|container| container.name.as_str() == "look").expect("it is shown")
}

/// A pod that runs, and somebody who looks into it.
fn running(db: &Pod) -> (Bench, Pod) {
    let mut bench = Bench::new();
    bench.run(db);
    let db = looked_into(db, "look", "sh");
    bench.run(&db);
    (bench, db)
}

#[test]
fn it_is_started_beside_all_others_and_keeps_none_of_them_waiting() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.insert(0, container("init", ContainerKind::Init));
    bench.run(&db);
    let db = looked_into(&db, "look", "sh");
    bench.apply(&db);
    assert_eq!(bench.starts(), [key_of(&db, "look", 0)], "while the init container runs");
    bench.started(&key_of(&db, "look", 0));
    bench.log.clear();
    bench.ended(&key_of(&db, "init", 0), CRASH);
    assert_eq!(bench.starts(), [key_of(&db, "init", 1)]);
    bench.started(&key_of(&db, "init", 1));
    bench.ended(&key_of(&db, "init", 1), DONE);
    assert_eq!(bench.starts().last(), Some(&main_key(&db, 0)));
}

#[test]
fn it_is_never_restarted_whatever_the_policy_says() {
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure] {
        let (mut bench, db) = running(&Pod { restart_policy: policy, ..pod("a", "db") });
        bench.ended(&key_of(&db, "look", 0), CRASH);
        bench.pass(1000);
        assert!(bench.starts().is_empty());
        let shown = look(&bench, &db);
        assert_eq!((shown.state.exit_status(), shown.restart_count), (Some(CRASH), 0));
        bench.restart_daemon();
        assert_eq!(look(&bench, &db).state.exit_status(), Some(CRASH), "known before anything is looked for");
        let main = bench.running(&main_key(&db, 0));
        bench.observed(&main_key(&db, 0), main);
        assert_eq!(bench.view(&db).phase, Phase::Running);
        bench.observed(&key_of(&db, "look", 0), Observation::Absent);
        assert!(bench.starts().is_empty(), "by another daemon neither");
        bench.reboot();
        bench.observed(&key_of(&db, "look", 0), Observation::Absent);
        bench.observed(&main_key(&db, 0), Observation::Absent);
        assert_eq!(bench.starts(), [main_key(&db, 1)], "nor after a reboot");
    }
}

#[test]
fn one_that_was_never_created_is_tried_again() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let db = looked_into(&db, "look", "sh");
    bench.apply(&db);
    let failure =
        StartFailure { reason: Reason::CreateContainerConfigError, message: "its target does not run".into() };
    bench.log.clear();
    bench.tell(Input::StartFailed { key: key_of(&db, "look", 0), failure: failure.clone() });
    assert_eq!(bench.starts(), [key_of(&db, "look", 1)]);
    bench.log.clear();
    let failure = StartFailure { reason: Reason::StartError, ..failure };
    bench.tell(Input::StartFailed { key: key_of(&db, "look", 1), failure });
    bench.pass(1000);
    assert!(bench.starts().is_empty(), "a program that cannot be executed was created");
}

#[test]
fn it_counts_neither_for_readiness_nor_for_the_phase() {
    let (mut bench, db) = running(&pod("a", "db"));
    let view = bench.view(&db);
    assert!(view.ready && !look(&bench, &db).ready);
    bench.ended(&key_of(&db, "look", 0), CRASH);
    let view = bench.view(&db);
    assert_eq!((view.ready, view.phase), (true, Phase::Running));
    let ready = view.conditions.iter().find(|condition| condition.kind == "ContainersReady");
    assert_eq!(ready.map(|ready| ready.status), Some(barepod_core::ConditionStatus::True));
}

#[test]
fn a_pod_at_its_end_takes_it_along_and_sidecars_do_not_wait_for_it() {
    let mut job = Pod { restart_policy: RestartPolicy::Never, ..pod("a", "job") };
    job.containers.insert(0, container("proxy", ContainerKind::Sidecar));
    let mut bench = Bench::new();
    bench.apply(&job);
    bench.started(&key_of(&job, "proxy", 0));
    bench.started(&main_key(&job, 0));
    let job = looked_into(&job, "look", "sh");
    bench.run(&job);

    bench.ended(&main_key(&job, 0), DONE);

    assert_eq!(bench.signals(), [9, 15, 15], "what main left is killed, the others are asked to end");
    assert_eq!(bench.view(&job).phase, Phase::Running, "something of it lives");
    bench.ended(&key_of(&job, "proxy", 0), DONE);
    bench.ended(&key_of(&job, "look", 0), CRASH);
    assert_eq!(bench.view(&job).phase, Phase::Succeeded, "whatever became of it");
}

#[test]
fn it_may_be_added_and_never_changed_or_removed() {
    let (mut bench, db) = running(&pod("a", "db"));
    let before = bench.view(&db);
    let plain = pod("a", "db");
    let refused = [looked_into(&plain, "look", "bash"), plain.clone(), looked_into(&plain, "other", "sh")];
    for wanted in refused {
        let request = bench.apply(&wanted);
        assert_eq!(bench.denied(request), Reason::Immutable);
    }
    assert_eq!(bench.view(&db), before);
    bench.log.clear();
    let db = looked_into(&db, "again", "sh");
    bench.apply(&db);
    assert_eq!(bench.starts(), [key_of(&db, "again", 0)]);
}

#[test]
fn its_name_is_none_that_the_pod_has_had_before() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.push(container("look", ContainerKind::Regular));
    bench.run(&db);
    db.containers.pop();
    bench.apply(&db);
    bench.ended(&key_of(&db, "look", 0), DONE);
    let request = bench.apply(&looked_into(&db, "look", "sh"));
    assert_eq!(bench.denied(request), Reason::Immutable);
}

#[test]
fn nobody_else_is_touched_when_it_comes_and_a_rule_that_restarts_all_leaves_it() {
    let mut db = pod("a", "db");
    db.containers[0].restart.rules =
        vec![RestartRule { codes: ExitCodes::In(vec![7]), action: RestartAction::RestartAllContainers }];
    let (mut bench, db) = running(&db);
    assert!(bench.signals().is_empty());
    bench.ended(&main_key(&db, 0), ExitStatus::Code(7));
    assert_eq!(bench.signals().iter().filter(|signal| **signal == 15).count(), 0);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn other_volumes_end_it_for_good() {
    let (mut bench, db) = running(&on_path(pod("a", "db"), "/data/a"));
    let mut moved = db.clone();
    moved.data_paths = ["/data/b".into()].into();
    bench.apply(&moved);
    bench.ended(&main_key(&db, 0), DONE);
    assert!(bench.starts().is_empty(), "it has the old volumes still");
    bench.ended(&key_of(&db, "look", 0), DONE);
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn it_asks_for_nothing_and_changes_no_quality_of_service() {
    let mut db = pod("a", "db");
    let (cpu, memory) = (Some(MilliCpu(500)), Some(Bytes(1 << 20)));
    db.containers[0].resources = Resources {
        cpu_request: cpu,
        cpu_limit: cpu,
        memory_request: memory,
        memory_limit: memory,
        ..Resources::default()
    };
    let looked = looked_into(&db, "look", "sh");
    assert_eq!((looked.qos(), looked.requests()), (QosClass::Guaranteed, db.requests()));
}
