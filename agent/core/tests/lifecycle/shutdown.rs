//! A host that goes down, and one that stays up after all.

use std::time::Duration;

use barepod_core::{AttemptKey, ConditionStatus, Effect, Input, Observation};
use barepod_model::*;

use crate::bench::{Bench, Ledger, container, key_of, main_key, pod};

fn goes_down(bench: &mut Bench, goes_down: bool) {
    bench.tell(Input::Shutdown { goes_down });
}

fn depending(mut pod: Pod, on: &str) -> Pod {
    pod.depends_on = vec![PodRef { namespace: pod.namespace.clone(), name: PodName::new(on).expect("a name") }];
    pod
}

fn with_claim(mut pod: Pod) -> Pod {
    let kind = VolumeKind::Claim { claim: "data".to_owned(), read_only: false };
    pod.volumes.push(Volume { name: "data".to_owned(), claim: None, kind });
    pod
}

/// Who was asked to end, in order.
fn asked(bench: &Bench) -> Vec<AttemptKey> {
    let asked = bench.log.iter().filter_map(|effect| match effect {
        Effect::Signal { key, .. } => Some(key.clone()),
        _ => None,
    });
    asked.collect()
}

#[test]
fn all_that_runs_ends_in_its_own_way_and_nothing_is_begun_any_more() {
    let mut bench = Bench::new();
    let mut db = with_claim(pod("a", "db"));
    db.containers[0].stop.stages = vec![StopStage { signal: 2, before_end: None }];
    bench.run(&db);
    bench.log.clear();
    goes_down(&mut bench, true);
    assert_eq!(bench.signals(), [2]);
    assert_eq!(bench.view(&db).reason, Some(Reason::NodeShutdown));
    assert_eq!(bench.core.remaining(), Some(vec![db.uid.clone()]));
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.core.remaining(), Some(Vec::new()));
    bench.pass(3600);
    let late = pod("b", "late");
    bench.apply(&late);
    assert_eq!(bench.view(&late).reason, Some(Reason::NodeShutdown));
    assert!(bench.starts().is_empty(), "{:?}", bench.starts());
}

#[test]
fn a_pod_ends_after_those_that_depend_on_it_and_has_its_whole_grace_then() {
    let mut bench = Bench::new();
    let (db, web) = (with_claim(pod("a", "db")), depending(pod("b", "web"), "db"));
    bench.run(&db);
    bench.run(&web);
    bench.log.clear();
    goes_down(&mut bench, true);
    assert_eq!(asked(&bench), [main_key(&web, 0)]);
    bench.pass(25);
    bench.ended(&main_key(&web, 0), ExitStatus::Code(0));
    assert_eq!(asked(&bench), [main_key(&web, 0), main_key(&db, 0)]);
    bench.log.clear();
    bench.pass(29);
    let kills = |bench: &Bench| bench.log.iter().filter(|effect| matches!(effect, Effect::Kill { .. })).count();
    assert_eq!(kills(&bench), 0, "its grace began when the other had ended");
    bench.pass(2);
    assert!(kills(&bench) > 0);
}

#[test]
fn a_sidecar_ends_after_the_others() {
    let mut bench = Bench::new();
    let mut db = with_claim(pod("a", "db"));
    db.containers.insert(0, container("side", ContainerKind::Sidecar));
    bench.apply(&db);
    bench.started(&key_of(&db, "side", 0));
    bench.started(&main_key(&db, 0));
    bench.log.clear();
    goes_down(&mut bench, true);
    assert_eq!(asked(&bench), [main_key(&db, 0)]);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(asked(&bench), [main_key(&db, 0), key_of(&db, "side", 0)]);
}

#[test]
fn what_has_its_data_here_is_begun_again_after_the_next_boot_even_if_it_ended_well() {
    let mut bench = Bench::new();
    let mut db = with_claim(pod("a", "db"));
    db.source = Source::Kubernetes;
    db.restart_policy = RestartPolicy::OnFailure;
    bench.run(&db);
    goes_down(&mut bench, true);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.reboot();
    let ended = Observation::Absent;
    bench.observed(&main_key(&db, 0), ended);
    assert_eq!(bench.starts(), [main_key(&db, 1)], "at once: it has not crashed");
    assert_eq!(bench.view(&db).reason, None);
}

#[test]
fn what_can_run_elsewhere_and_what_is_never_restarted_has_failed_with_the_host() {
    let mut bench = Bench::new();
    let (mut web, mut job) = (pod("a", "web"), with_claim(pod("b", "job")));
    web.source = Source::Kubernetes;
    job.restart_policy = RestartPolicy::Never;
    for pod in [&web, &job] {
        bench.run(pod);
        assert_eq!(bench.view(pod).phase, Phase::Running);
    }
    goes_down(&mut bench, true);
    for pod in [&web, &job] {
        bench.ended(&main_key(pod, 0), ExitStatus::Code(0));
        let view = bench.view(pod);
        assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::Terminated)));
        let disrupted = view.conditions.iter().find(|condition| condition.kind == "DisruptionTarget").unwrap();
        assert_eq!((disrupted.status, disrupted.reason.as_str()), (ConditionStatus::True, "TerminationByKubelet"));
    }
    bench.reboot();
    assert!(bench.starts().is_empty());
}

#[test]
fn a_ledger_that_cannot_be_written_keeps_no_host_from_going_down() {
    let mut bench = Bench::new();
    let mut web = pod("a", "web");
    web.source = Source::Kubernetes;
    bench.run(&web);
    bench.ledger = Ledger::Fails;
    bench.log.clear();
    goes_down(&mut bench, true);
    assert_eq!(asked(&bench), [main_key(&web, 0)]);
    bench.ended(&main_key(&web, 0), ExitStatus::Code(0));
    assert_eq!(bench.core.remaining(), Some(Vec::new()));
}

#[test]
fn a_pod_that_a_cluster_sends_meanwhile_fails_so_that_it_is_sent_elsewhere() {
    let mut bench = Bench::new();
    goes_down(&mut bench, true);
    let mut sent = pod("a", "sent");
    sent.source = Source::Kubernetes;
    bench.apply(&sent);
    let view = bench.view(&sent);
    assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::NodeShutdown)));
    assert_eq!(view.message, "Pod was rejected as the node is shutting down.");
}

#[test]
fn a_host_that_stays_up_after_all_has_everything_run_again_at_once() {
    let mut bench = Bench::new();
    let (db, web) = (with_claim(pod("a", "db")), pod("b", "web"));
    bench.run(&db);
    goes_down(&mut bench, true);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.apply(&web);
    bench.log.clear();
    goes_down(&mut bench, false);
    assert_eq!(bench.starts(), [main_key(&db, 1), main_key(&web, 0)]);
}

#[test]
fn a_daemon_that_comes_on_the_way_down_goes_on_with_the_stop_that_was_begun() {
    let mut bench = Bench::new();
    let db = with_claim(pod("a", "db"));
    bench.run(&db);
    goes_down(&mut bench, true);
    bench.pass(20);
    bench.goes_down = true;
    bench.restart_daemon();
    let running = bench.running(&main_key(&db, 0));
    bench.observed(&main_key(&db, 0), running);
    assert!(bench.starts().is_empty());
    bench.log.clear();
    bench.pass(11);
    let kill = Effect::Kill { key: main_key(&db, 0) };
    assert!(bench.log.contains(&kill), "its grace has not begun anew: {:?}", bench.log);
    assert!(bench.now > Duration::from_secs(30));
}
