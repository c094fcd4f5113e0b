//! Sidecars: started in the order of the init containers, kept alive, and stopped last in reverse order.

use barepod_model::{ContainerKind, ExitStatus, Phase, Pod, RestartPolicy};

use crate::bench::{Bench, container, key_of, pod, probe};

const CRASH: ExitStatus = ExitStatus::Code(1);
const DONE: ExitStatus = ExitStatus::Code(0);

/// `proxy` and `agent` stand beside `main`; `init` runs between them.
fn with_sidecars() -> Pod {
    let mut pod = pod("a", "db");
    pod.containers = vec![
        container("proxy", ContainerKind::Sidecar),
        container("init", ContainerKind::Init),
        container("agent", ContainerKind::Sidecar),
        container("main", ContainerKind::Regular),
    ];
    pod
}

fn names(bench: &mut Bench) -> Vec<String> {
    let names = bench.starts().iter().map(|key| key.container.to_string()).collect();
    bench.log.clear();
    names
}

/// Up to the running main container.
fn running(pod: &Pod) -> Bench {
    let mut bench = Bench::new();
    bench.apply(pod);
    bench.started(&key_of(pod, "proxy", 0));
    bench.started(&key_of(pod, "init", 0));
    bench.ended(&key_of(pod, "init", 0), DONE);
    bench.started(&key_of(pod, "agent", 0));
    bench.started(&key_of(pod, "main", 0));
    bench.log.clear();
    bench
}

#[test]
fn sidecars_start_in_order_among_the_init_containers() {
    let (mut bench, db) = (Bench::new(), with_sidecars());
    bench.apply(&db);
    assert_eq!(names(&mut bench), ["proxy"]);
    bench.started(&key_of(&db, "proxy", 0));
    assert_eq!(names(&mut bench), ["init"]);
    bench.started(&key_of(&db, "init", 0));
    assert!(names(&mut bench).is_empty(), "an init container runs to its end");
    bench.ended(&key_of(&db, "init", 0), DONE);
    assert_eq!(names(&mut bench), ["agent"]);
    assert_eq!(bench.view(&db).phase, Phase::Pending);
    bench.started(&key_of(&db, "agent", 0));
    assert_eq!(names(&mut bench), ["main"]);
    bench.started(&key_of(&db, "main", 0));
    assert_eq!(bench.view(&db).phase, Phase::Running);
    assert!(bench.view(&db).ready);
}

#[test]
fn the_next_container_waits_for_a_sidecars_startup_probe() {
    let (mut bench, mut db) = (Bench::new(), with_sidecars());
    db.containers[0].startup = Some(probe());
    bench.apply(&db);
    bench.started(&key_of(&db, "proxy", 0));
    assert_eq!(names(&mut bench), ["proxy"], "the init container waits");
}

#[test]
fn a_sidecar_is_restarted_whatever_the_pods_policy_and_the_others_are_not_touched() {
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        let mut db = with_sidecars();
        db.restart_policy = policy;
        let mut bench = running(&db);
        bench.ended(&key_of(&db, "agent", 0), DONE);
        assert_eq!(bench.starts(), [key_of(&db, "agent", 1)], "{policy:?}");
        assert!(!bench.signals().contains(&15));
    }
}

#[test]
fn a_main_container_is_restarted_while_a_sidecar_is_down() {
    let db = with_sidecars();
    let mut bench = running(&db);
    bench.exited(&key_of(&db, "proxy", 0), CRASH);
    bench.log.clear();
    bench.ended(&key_of(&db, "main", 0), CRASH);
    assert_eq!(bench.starts(), [key_of(&db, "main", 1)], "initialisation is over for good");
}

#[test]
fn a_deleted_pod_ends_its_sidecars_last_and_in_reverse_order() {
    let db = with_sidecars();
    let mut bench = running(&db);
    bench.delete(&db, None);
    let signalled = |bench: &mut Bench| {
        let keys: Vec<_> = bench
            .log
            .iter()
            .filter_map(|effect| match effect {
                barepod_core::Effect::Signal { key, .. } => Some(key.container.to_string()),
                _ => None,
            })
            .collect();
        bench.log.clear();
        keys
    };
    assert_eq!(signalled(&mut bench), ["main"]);
    bench.ended(&key_of(&db, "main", 0), DONE);
    assert_eq!(signalled(&mut bench), ["agent"]);
    bench.ended(&key_of(&db, "agent", 0), DONE);
    assert_eq!(signalled(&mut bench), ["proxy"]);
    bench.ended(&key_of(&db, "proxy", 0), DONE);
    assert!(bench.core.pod_view(&db.uid).is_none());
}

#[test]
fn sidecars_are_killed_with_the_others_at_the_end_of_the_grace() {
    let db = with_sidecars();
    let mut bench = running(&db);
    bench.delete(&db, Some(10));
    bench.pass(10);
    assert_eq!(bench.signals().iter().filter(|signal| **signal == 9).count(), 3);
}

#[test]
fn a_finished_job_takes_its_sidecars_with_it() {
    let mut db = with_sidecars();
    db.restart_policy = RestartPolicy::Never;
    let mut bench = running(&db);
    bench.ended(&key_of(&db, "main", 0), DONE);
    assert_eq!(bench.view(&db).phase, Phase::Running, "sidecars still live");
    for name in ["agent", "proxy"] {
        bench.ended(&key_of(&db, name, 0), ExitStatus::Signal(15));
    }
    assert_eq!(bench.view(&db).phase, Phase::Succeeded);
    bench.pass(1000);
    assert!(bench.starts().is_empty(), "a sidecar of a finished job is not restarted");
}

#[test]
fn after_a_reboot_everything_begins_in_order_again() {
    let db = with_sidecars();
    let mut bench = running(&db);
    bench.reboot();
    for name in ["proxy", "init", "agent", "main"] {
        bench.observed(&key_of(&db, name, 0), barepod_core::Observation::Absent);
    }
    assert_eq!(names(&mut bench), ["proxy"]);
}

#[test]
fn after_a_restart_of_the_daemon_nothing_is_started_anew() {
    let db = with_sidecars();
    let mut bench = running(&db);
    bench.restart_daemon();
    for name in ["proxy", "agent", "main"] {
        let (key, seen) = (key_of(&db, name, 0), bench.running(&key_of(&db, name, 0)));
        bench.observed(&key, seen);
    }
    bench.observed(&key_of(&db, "init", 0), barepod_core::Observation::Absent);
    assert!(bench.starts().is_empty() && bench.signals().is_empty());
    assert!(bench.view(&db).ready);
}
