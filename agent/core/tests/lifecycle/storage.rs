//! Pods that use more disk space than they may.

use barepod_core::{Effect, Input, StorageUse};
use barepod_model::*;

use crate::bench::{Bench, container, main_key, pod};

const LIMIT: Bytes = Bytes(10 << 20);

fn used(bytes: u64) -> StorageUse {
    let name = ContainerName::new("main").expect("a label");
    StorageUse { containers: [(name, Bytes(bytes))].into(), volumes: [("scratch".to_owned(), Bytes(bytes))].into() }
}

fn measured(bench: &mut Bench, pod: &Pod, bytes: u64) {
    bench.tell(Input::Measured { pod: pod.uid.clone(), used: used(bytes) });
}

/// The message with which a pod is evicted for what it uses, which is 11 MiB in its container and as much in its volume.
fn message(pod: &Pod) -> String {
    let mut bench = Bench::new();
    bench.run(pod);
    measured(&mut bench, pod, 1 << 20);
    assert!(bench.signals().is_empty(), "what is within the limit is");
    measured(&mut bench, pod, 11 << 20);
    assert_eq!(bench.signals().first(), Some(&15));
    bench.pass(1);
    assert_eq!(bench.signals().last(), Some(&9), "within a second");
    bench.ended(&main_key(pod, 0), ExitStatus::Signal(9));
    let view = bench.view(pod);
    assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::Evicted)));
    view.message
}

fn limited() -> Pod {
    let mut pod = pod("a", "db");
    pod.containers[0].resources.storage_limit = Some(LIMIT);
    pod
}

fn with_volume(limit: Option<Bytes>) -> Volume {
    let kind = VolumeKind::EmptyDir { memory: false, huge_pages: None, size_limit: limit };
    Volume { name: "scratch".to_owned(), claim: None, kind }
}

#[test]
fn each_limit_has_kubelets_words() {
    let mut of_volume = pod("a", "db");
    of_volume.volumes.push(with_volume(Some(LIMIT)));
    assert_eq!(message(&of_volume), "Usage of EmptyDir volume \"scratch\" exceeds the limit \"10Mi\".");
    let whole = "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi.";
    assert_eq!(message(&limited()), whole);
    let mut two = limited();
    two.containers.push(container("side", ContainerKind::Regular));
    two.containers[1].resources.storage_limit = Some(Bytes(100 << 20));
    let mut bench = Bench::new();
    bench.run(&two);
    measured(&mut bench, &two, 11 << 20);
    let words = "Container main exceeded its local ephemeral storage limit \"10Mi\".";
    assert_eq!(bench.view(&two).message, words);
}

#[test]
fn without_a_limit_nothing_is_too_much() {
    let mut bench = Bench::new();
    let mut db = pod("a", "db");
    db.volumes.push(with_volume(None));
    bench.run(&db);
    measured(&mut bench, &db, 1 << 60);
    assert!(bench.signals().is_empty());
}

#[test]
fn an_evicted_pod_gives_its_space_back_and_stays_so_over_restarts_until_it_is_changed() {
    let (mut bench, db) = (Bench::new(), limited());
    bench.run(&db);
    measured(&mut bench, &db, 11 << 20);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert!(bench.log.iter().any(|effect| matches!(effect, Effect::TearDown { .. })), "what it wrote is removed");
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), barepod_core::Observation::Absent);
    bench.pass(1000);
    assert!(bench.starts().is_empty());
    assert_eq!(bench.view(&db).reason, Some(Reason::Evicted));
    bench.apply(&db);
    assert!(bench.starts().is_empty(), "the same manifest is no change");

    let mut more = db.clone();
    more.containers[0].resources.storage_limit = Some(Bytes(20 << 20));
    bench.apply(&more);

    assert_eq!(bench.starts(), [main_key(&db, 1)]);
    bench.started(&main_key(&db, 1));
    assert_eq!(bench.view(&db).phase, Phase::Running);
}

#[test]
fn an_evicted_pod_can_be_deleted() {
    let (mut bench, db) = (Bench::new(), limited());
    bench.run(&db);
    measured(&mut bench, &db, 11 << 20);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.delete(&db, None);
    assert!(bench.core.pod_view(&db.uid).is_none() && bench.disk.is_empty());
}
