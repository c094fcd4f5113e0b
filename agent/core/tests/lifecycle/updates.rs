//! Changes to a living pod.

use barepod_core::{ContainerState, Effect, Input, Verb};
use barepod_model::{
    AsWritten, Bytes, ContainerKind, Contents, Env, ExitStatus, Pod, Projected, ProjectedFile, Reason, Volume,
    VolumeKind,
};

use crate::bench::{Bench, Ledger, container, main_key, on_path, pod};

fn relaunched(pod: &Pod) -> Pod {
    let mut changed = pod.clone();
    changed.containers[0].launch.argv.push("--new".into());
    changed
}

#[test]
fn an_identical_apply_writes_nothing_and_answers_unchanged() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let request = bench.apply(&pod("another-uid", "db"));
    assert_eq!(bench.replies[&request].as_ref().unwrap().verb, Verb::Unchanged);
    assert!(!bench.log.iter().any(|effect| matches!(effect, Effect::Store { .. })));
}

#[test]
fn new_limits_are_set_in_place() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].resources.memory_limit = Some(Bytes(1 << 29));
    bench.run(&db);
    let mut larger = db.clone();
    larger.containers[0].resources.memory_limit = Some(Bytes(1 << 30));
    bench.apply(&larger);
    let resizes = bench.log.iter().filter(|effect| matches!(effect, Effect::Resize { generation: 2, .. }));
    assert_eq!(resizes.count(), 1);
    assert!(bench.signals().is_empty());
    let key = main_key(&db, 0).container_key();
    bench.tell(Input::ResizeFailed { key: key.clone(), generation: 2, message: "busy".into() });
    assert_eq!(bench.view(&db).resizing.as_deref(), Some("busy"));
    bench.pass(1);
    let resizes = bench.log.iter().filter(|effect| matches!(effect, Effect::Resize { .. }));
    assert_eq!(resizes.count(), 2, "what was refused is tried again");
    bench.tell(Input::Resized { key, generation: 2 });
    assert_eq!((bench.view(&db).resizing, bench.container(&db).in_force), (None, Some(larger.containers[0].resources)));
}

#[test]
fn only_the_changed_container_is_replaced_with_the_full_grace() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers.push(container("side", ContainerKind::Regular));
    bench.run(&db);
    bench.apply(&relaunched(&db));
    assert_eq!(bench.signals(), [15]);
    bench.pass(29);
    assert_eq!(bench.signals(), [15]);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)], "at once, and nothing else");
}

#[test]
fn a_changed_data_path_replaces_all_and_is_freed_when_the_old_ones_are_gone() {
    let mut bench = Bench::new();
    let db = on_path(pod("a", "db"), "/data/a");
    let moved = on_path(pod("a", "db"), "/data/b");
    let heir = on_path(pod("b", "heir"), "/data/a");
    bench.run(&db);
    bench.apply(&moved);
    bench.apply(&heir);
    assert_eq!(bench.view(&heir).reason, Some(Reason::DataPathInUse));
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts().len(), 2);
}

#[test]
fn an_update_that_takes_a_held_path_is_denied_and_changes_nothing() {
    let mut bench = Bench::new();
    let (db, other) = (on_path(pod("a", "db"), "/data/a"), pod("b", "other"));
    bench.run(&db);
    bench.run(&other);
    let before = bench.view(&other);
    let request = bench.apply(&on_path(other.clone(), "/data"));
    assert_eq!(bench.denied(request), Reason::DataPathInUse);
    assert_eq!(bench.view(&other), before);
}

#[test]
fn a_path_that_an_unwritten_update_asks_for_is_given_to_nobody_else() {
    let mut bench = Bench::new();
    let (db, other) = (pod("a", "db"), on_path(pod("b", "other"), "/data"));
    bench.run(&db);
    bench.ledger = Ledger::Stalls;
    bench.apply(&on_path(db.clone(), "/data"));
    bench.ledger = Ledger::Works;
    bench.apply(&other);
    assert_eq!(bench.view(&other).reason, Some(Reason::DataPathInUse));
}

#[test]
fn an_update_that_cannot_be_written_changes_nothing() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    let before = bench.view(&db);
    bench.ledger = Ledger::Fails;
    let request = bench.apply(&relaunched(&db));
    assert_eq!(bench.denied(request), Reason::LedgerUnavailable);
    assert_eq!(bench.view(&db), before);
    assert!(bench.signals().is_empty());
}

#[test]
fn an_operators_restart_does_not_wait_and_does_not_grow_the_backoff() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    for attempt in 0..3 {
        bench.restart(&db);
        bench.ended(&main_key(&db, attempt), ExitStatus::Code(0));
        bench.started(&main_key(&db, attempt + 1));
    }
    assert_eq!(bench.starts().len(), 3);
    bench.log.clear();
    bench.ended(&main_key(&db, 3), ExitStatus::Code(1));
    assert_eq!(bench.starts(), [main_key(&db, 4)], "the first crash is still the first");
}

#[test]
fn a_missing_pod_is_an_orphan_that_runs_on_until_it_is_mentioned_again() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.tell(Input::Missing { pod: db.uid.clone() });
    assert_eq!(bench.view(&db).reason, Some(Reason::Orphaned));
    assert!(bench.signals().is_empty());
    bench.pass(1_000_000);
    assert!(bench.signals().is_empty());
    bench.apply(&db);
    assert_eq!(bench.view(&db).reason, None);
}

fn looked_up(pod: &Pod, value: &str) -> Pod {
    let mut pod = pod.clone();
    let launch = &mut pod.containers[0].launch;
    let env = |value: &str| Env([("PASSWORD".into(), value.into())].into());
    launch.env = env(value);
    launch.as_written = Some(AsWritten {
        command: vec!["run".into()],
        args: Vec::new(),
        working_dir: None,
        env: env("secret db/password"),
        sources: Vec::new(),
    });
    pod
}

fn projecting(pod: &Pod, text: &str, missing: Option<&str>) -> Pod {
    let contents = Contents(text.into());
    let files = vec![ProjectedFile { path: "file".into(), contents, mode: 0o644 }];
    let projected = Projected { files, in_memory: false, missing: missing.map(Into::into) };
    Pod {
        volumes: vec![Volume { name: "config".into(), claim: None, kind: VolumeKind::Projected(projected) }],
        ..pod.clone()
    }
}

fn prepares(bench: &Bench) -> usize {
    bench.log.iter().filter(|effect| matches!(effect, Effect::Prepare { .. })).count()
}

#[test]
fn another_value_behind_a_reference_touches_no_process_and_is_taken_by_the_next() {
    let (mut bench, db) = (Bench::new(), looked_up(&pod("a", "db"), "old"));
    bench.run(&db);
    bench.apply(&looked_up(&db, "new"));
    assert!(bench.signals().is_empty());
    bench.log.clear();
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    let started = bench.log.iter().find_map(|effect| match effect {
        Effect::Start { pod, .. } => Some(pod.containers[0].launch.env.0["PASSWORD"].clone()),
        _ => None,
    });
    assert_eq!(started.as_deref(), Some("new"));
}

#[test]
fn new_contents_of_a_volume_are_made_and_touch_no_process() {
    let (mut bench, db) = (Bench::new(), projecting(&pod("a", "db"), "old", None));
    bench.run(&db);
    bench.log.clear();
    bench.apply(&projecting(&db, "new", None));
    assert_eq!((prepares(&bench), bench.signals().len(), bench.starts().len()), (1, 0, 0));
    assert_eq!(bench.view(&db).reason, None);
}

#[test]
fn a_claim_of_which_the_name_is_known_only_now_touches_no_process() {
    let kind = VolumeKind::Claim { claim: "pvc-1".into(), read_only: false };
    let with = |claim| {
        let volumes = vec![Volume { name: "data".into(), claim, kind: kind.clone() }];
        Pod { volumes, ..pod("a", "db") }
    };
    let mut bench = Bench::new();
    bench.run(&with(None));
    bench.log.clear();
    bench.apply(&with(Some("data-db-0".into())));
    assert_eq!((bench.signals().len(), bench.starts().len()), (0, 0));
}

#[test]
fn a_container_waits_for_what_it_refers_to_and_starts_when_it_appears() {
    let (mut bench, db) = (Bench::new(), looked_up(&pod("a", "db"), "x"));
    let mut incomplete = db.clone();
    incomplete.containers[0].missing = Some("secret \"db\" not found".into());
    bench.apply(&incomplete);
    bench.pass(1000);
    assert!(bench.starts().is_empty());
    let ContainerState::Waiting { reason, message } = bench.view(&db).containers[0].state.clone() else {
        panic!("it waits")
    };
    assert_eq!((reason, message.as_str()), (Reason::CreateContainerConfigError, "secret \"db\" not found"));
    bench.apply(&db);
    assert_eq!(bench.starts(), [main_key(&db, 0)]);
}

#[test]
fn what_runs_goes_on_without_what_it_refers_to_and_is_not_started_again() {
    let (mut bench, db) = (Bench::new(), looked_up(&pod("a", "db"), "x"));
    bench.run(&db);
    let mut incomplete = db.clone();
    incomplete.containers[0].missing = Some("secret \"db\" not found".into());
    bench.apply(&incomplete);
    assert!(bench.signals().is_empty());
    bench.log.clear();
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    bench.pass(1000);
    assert!(bench.starts().is_empty());
}

#[test]
fn a_pod_waits_for_its_volume_and_goes_on_at_once_when_it_can_be_made() {
    let (mut bench, db) = (Bench::new(), projecting(&pod("a", "db"), "x", None));
    bench.cannot_prepare = Some(Reason::FailedMount);
    bench.apply(&projecting(&db, "", Some("configmap \"c\" not found")));
    assert_eq!(bench.view(&db).reason, Some(Reason::ContainerCreating));
    assert!(bench.starts().is_empty());
    bench.cannot_prepare = None;
    bench.apply(&db);
    assert_eq!(bench.starts(), [main_key(&db, 0)]);
}
