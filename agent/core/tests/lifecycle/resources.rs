//! What the host has for pods: who gets it, and what becomes of changes for which there is no room.

use barepod_core::{Booking, Capacity, CpuPool, CpuTable, Effect, Input, Observation, Progress};
use barepod_model::*;

use crate::bench::{Bench, Ledger, container, key_of, main_key, pod};

/// A host of four CPUs and two pods.
fn bench() -> Bench {
    let amounts = Amounts { cpu: MilliCpu(4000), memory: Bytes(4 << 30), ..Amounts::default() };
    Bench::with_capacity(Capacity { amounts, pods: Some(2), ..Capacity::default() })
}

fn asking(mut pod: Pod, cpu: u64) -> Pod {
    pod.containers[0].resources.cpu_request = Some(MilliCpu(cpu));
    pod
}

fn resizes(bench: &Bench) -> usize {
    bench.log.iter().filter(|effect| matches!(effect, Effect::Resize { .. })).count()
}

#[test]
fn a_pod_that_does_not_fit_waits_until_there_is_room() {
    let mut bench = bench();
    let (large, other) = (asking(pod("a", "large"), 3000), asking(pod("b", "other"), 2000));
    bench.run(&large);
    bench.run(&other);
    let view = bench.view(&other);
    assert_eq!((view.reason, view.phase), (Some(Reason::OutOfcpu), Phase::Pending));
    assert_eq!(view.message, "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000");
    bench.delete(&large, Some(0));
    bench.ended(&main_key(&large, 0), ExitStatus::Signal(9));
    assert_eq!(bench.starts(), [main_key(&other, 0)]);
}

#[test]
fn there_are_no_more_pods_than_there_may_be() {
    let mut bench = bench();
    for name in ["a", "b", "c"] {
        bench.run(&pod(name, name));
    }
    assert_eq!(bench.view(&pod("c", "c")).reason, Some(Reason::OutOfpods));
}

#[test]
fn whoever_sent_a_pod_from_elsewhere_is_told_that_it_failed() {
    let mut bench = bench();
    let mut sent = asking(pod("a", "sent"), 5000);
    sent.source = Source::Kubernetes;
    bench.run(&sent);
    let view = bench.view(&sent);
    assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::OutOfcpu)));
}

#[test]
fn a_host_that_has_become_smaller_takes_nothing_from_what_runs() {
    let mut bench = bench();
    let large = asking(pod("a", "large"), 3000);
    bench.run(&large);
    bench.capacity = Some(Capacity::default());
    bench.restart_daemon();
    let running = bench.running(&main_key(&large, 0));
    bench.observed(&main_key(&large, 0), running);
    assert!(bench.signals().is_empty());
    assert_eq!(bench.view(&large).phase, Phase::Running);
    bench.exited(&main_key(&large, 0), ExitStatus::Code(1));
    bench.tell(Input::Emptied { key: main_key(&large, 0), message: String::new() });
    assert_eq!(bench.starts(), [main_key(&large, 1)], "nor keeps it from being restarted");
}

#[test]
fn what_a_pod_at_its_end_had_is_for_others_and_it_asks_again_to_live_again() {
    let mut bench = bench();
    let mut job = asking(pod("a", "job"), 3000);
    job.restart_policy = RestartPolicy::Never;
    bench.run(&job);
    bench.ended(&main_key(&job, 0), ExitStatus::Code(0));
    let other = asking(pod("b", "other"), 2000);
    bench.run(&other);
    assert_eq!(bench.view(&other).phase, Phase::Running);
    bench.restart(&job);
    assert!(bench.starts().is_empty());
    assert_eq!(bench.view(&job).reason, Some(Reason::OutOfcpu));
    bench.restart_daemon();
    bench.observed(&main_key(&job, 0), barepod_core::Observation::Absent);
    assert!(bench.starts().is_empty(), "a restart of the daemon is no way around it");
    let running = bench.running(&main_key(&other, 0));
    bench.observed(&main_key(&other, 0), running);
    bench.delete(&other, Some(0));
    bench.ended(&main_key(&other, 0), ExitStatus::Signal(9));
    assert_eq!(bench.starts(), [main_key(&job, 1)]);
}

#[test]
fn a_pod_that_was_begun_unwritten_and_has_ended_asks_again_under_the_next_daemon() {
    let mut bench = bench();
    let (large, other) = (asking(pod("a", "large"), 3000), asking(pod("b", "other"), 2000));
    bench.run(&large);
    bench.ended(&main_key(&large, 0), ExitStatus::Code(1));
    let mut record = bench.disk[&large.uid].clone();
    // What a daemon found that knew of its acceptance alone, when another had got its part by then.
    record.booked = false;
    record.containers.values_mut().for_each(|container| container.progress = Progress::Ended);
    bench.delete(&large, Some(0));
    bench.ended(&main_key(&large, 1), ExitStatus::Signal(9));
    bench.run(&other);
    bench.disk.insert(large.uid.clone(), record);
    bench.restart_daemon();
    let running = bench.running(&main_key(&other, 0));
    bench.observed(&main_key(&other, 0), running);
    bench.observed(&main_key(&large, 1), Observation::Absent);
    assert_eq!(bench.view(&large).reason, Some(Reason::OutOfcpu));
    assert!(bench.starts().is_empty(), "{:?}", bench.starts());
}

#[test]
fn a_change_for_which_there_is_no_room_waits_and_the_pod_goes_on_with_what_it_has() {
    let mut bench = bench();
    let (db, other) = (asking(pod("a", "db"), 1000), asking(pod("b", "other"), 2000));
    bench.run(&db);
    bench.run(&other);
    let more = asking(pod("a", "db"), 3000);
    bench.apply(&more);
    let view = bench.view(&db);
    let pending = view.pending_resize.expect("pending");
    assert_eq!(pending.reason, Reason::Deferred);
    assert_eq!(pending.message, "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000");
    assert_eq!(view.pod.unwrap().containers[0].resources, more.containers[0].resources, "it is wanted all the same");
    assert_eq!(bench.container(&db).allocated, Some(db.containers[0].resources));
    assert_eq!(resizes(&bench), 0);
    bench.restart_daemon();
    for pod in [&db, &other] {
        let running = bench.running(&main_key(pod, 0));
        bench.observed(&main_key(pod, 0), running);
    }
    assert_eq!((resizes(&bench), bench.view(&db).pending_resize.is_some()), (0, true), "also after a restart");

    bench.delete(&other, Some(0));
    bench.ended(&main_key(&other, 0), ExitStatus::Signal(9));

    assert_eq!((resizes(&bench), bench.view(&db).pending_resize), (1, None));
    assert_eq!(bench.container(&db).allocated, Some(more.containers[0].resources));
    assert!(bench.starts().is_empty(), "in place");
}

#[test]
fn a_container_that_came_while_its_pod_waited_for_more_keeps_what_it_came_with_until_there_is_room() {
    let mut bench = bench();
    let (db, other) = (asking(pod("a", "db"), 1000), asking(pod("b", "other"), 2000));
    bench.run(&db);
    bench.run(&other);
    let mut two = asking(db.clone(), 3000);
    two.containers.push(container("side", ContainerKind::Regular));
    two.containers[1].resources.cpu_request = Some(MilliCpu(500));
    bench.apply(&two);
    let mut more = two.clone();
    more.containers[1].resources.cpu_request = Some(MilliCpu(3000));
    bench.apply(&more);
    let given: Vec<_> = bench.view(&db).containers.into_iter().map(|it| it.allocated.unwrap().cpu_request).collect();
    assert_eq!(given, [Some(MilliCpu(1000)), Some(MilliCpu(500))]);
    assert_eq!(resizes(&bench), 0);
}

#[test]
fn what_a_change_that_is_being_written_needs_is_not_taken_meanwhile_by_its_own_pod() {
    let mut bench = bench();
    let (db, mut other) = (asking(pod("a", "db"), 1000), asking(pod("b", "other"), 1500));
    other.restart_policy = RestartPolicy::Never;
    bench.run(&db);
    bench.run(&other);
    let mut more = asking(db.clone(), 3000);
    bench.apply(&more);
    bench.ledger = Ledger::Stalls;
    more.containers.push(container("side", ContainerKind::Regular));
    more.containers[1].resources.cpu_request = Some(MilliCpu(1500));
    bench.apply(&more);
    bench.ended(&main_key(&other, 0), ExitStatus::Code(0));
    assert_eq!(
        resizes(&bench),
        0,
        "there is room for what is wanted now, and not for what was found to have room beside it"
    );
    let write = bench.log.iter().rev().find_map(|effect| match effect {
        Effect::Store { pod, revision, .. } if *pod == db.uid => Some(*revision),
        _ => None,
    });
    bench.tell(Input::Stored { pod: db.uid.clone(), revision: write.unwrap() });
    assert_eq!(bench.view(&db).pending_resize.map(|it| it.reason), Some(Reason::Infeasible));
    assert_eq!(bench.starts(), [key_of(&db, "side", 0)]);
}

#[test]
fn a_change_beyond_the_host_is_infeasible_and_less_is_always_possible() {
    let mut bench = bench();
    let db = asking(pod("a", "db"), 1000);
    bench.run(&db);
    bench.apply(&asking(pod("a", "db"), 9000));
    let pending = bench.view(&db).pending_resize.expect("pending");
    assert_eq!(pending.reason, Reason::Infeasible);
    assert_eq!(pending.message, "Node didn't have enough capacity: cpu, requested: 9000, capacity: 4000");
    bench.apply(&asking(pod("a", "db"), 500));
    assert_eq!((bench.view(&db).pending_resize, resizes(&bench)), (None, 1));
}

#[test]
fn a_container_whose_policy_says_so_is_restarted_when_it_is_given_more() {
    let mut bench = bench();
    let (mut db, other) = (asking(pod("a", "db"), 1000), asking(pod("b", "other"), 3000));
    db.containers[0].resize_policy.cpu = OnResize::RestartContainer;
    bench.run(&db);
    bench.run(&other);
    bench.apply(&asking(db.clone(), 2000));
    assert!(bench.signals().is_empty(), "not before there is room");
    bench.delete(&other, Some(0));
    bench.ended(&main_key(&other, 0), ExitStatus::Signal(9));
    assert!(bench.signals().contains(&15), "{:?}", bench.signals());
    bench.log.clear();
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
    bench.started(&main_key(&db, 1));
    assert_eq!(resizes(&bench), 0, "it is started with its new limits");
}

#[test]
fn the_pod_as_a_whole_is_resized_through_its_containers() {
    let mut bench = bench();
    let mut db = asking(pod("a", "db"), 100);
    db.resources.level = Some(Resources { memory_limit: Some(Bytes(1 << 28)), ..Resources::default() });
    bench.run(&db);
    db.resources.level = Some(Resources { memory_limit: Some(Bytes(1 << 29)), ..Resources::default() });
    bench.apply(&db);
    assert_eq!(resizes(&bench), 1);
    bench.tell(Input::Resized { key: key_of(&db, "main", 0).container_key(), generation: 2 });
    assert_eq!(bench.view(&db).resizing, None);
}

#[test]
fn another_quality_of_service_is_refused_and_nothing_changes() {
    let mut bench = bench();
    let db = pod("a", "db");
    bench.run(&db);
    let before = bench.view(&db);
    let request = bench.apply(&asking(pod("a", "db"), 100));
    assert_eq!(bench.denied(request), Reason::Immutable);
    assert_eq!(bench.view(&db), before);
}

#[test]
fn a_container_for_which_there_is_no_room_is_not_added() {
    let mut bench = bench();
    let (db, other) = (asking(pod("a", "db"), 1000), asking(pod("b", "other"), 2000));
    bench.run(&db);
    bench.run(&other);
    let mut more = db.clone();
    more.containers.push(container("side", ContainerKind::Regular));
    more.containers[1].resources.cpu_request = Some(MilliCpu(1500));
    let request = bench.apply(&more);
    assert_eq!(bench.denied(request), Reason::OutOfcpu);
    more.containers[1].resources.cpu_request = Some(MilliCpu(1000));
    bench.apply(&more);
    assert_eq!(bench.starts(), [key_of(&db, "side", 0)]);
}

#[test]
fn what_is_on_its_way_out_has_its_part_until_it_has_ended() {
    let (mut removed, mut replaced) = (asking(pod("a", "db"), 1000), asking(pod("a", "db"), 500));
    removed.containers.insert(0, container("side", ContainerKind::Regular));
    removed.containers[0].resources.cpu_request = Some(MilliCpu(2000));
    replaced.containers[0].launch.argv.push("another".into());
    let large = asking(pod("a", "db"), 3000);
    let cases = [
        ("a container that is removed", removed, asking(pod("a", "db"), 1000), "side"),
        ("one with a smaller successor", large, replaced, "main"),
    ];
    for (what, before, after, leaving) in cases {
        let mut bench = bench();
        let other = asking(pod("b", "other"), 2000);
        bench.run(&before);
        bench.apply(&after);
        bench.apply(&other);
        assert_eq!(bench.view(&other).reason, Some(Reason::OutOfcpu), "{what}");
        bench.restart_daemon();
        for spec in &before.containers {
            let running = bench.running(&key_of(&before, spec.name.as_str(), 0));
            bench.observed(&key_of(&before, spec.name.as_str(), 0), running);
        }
        bench.observed(&main_key(&other, 0), barepod_core::Observation::Absent);
        assert_eq!(bench.view(&other).reason, Some(Reason::OutOfcpu), "{what}, after a restart of the daemon");

        bench.ended(&key_of(&before, leaving, 0), ExitStatus::Code(0));

        assert!(bench.starts().contains(&main_key(&other, 0)), "{what}: {:?}", bench.starts());
    }
}

#[test]
fn a_container_that_is_to_become_smaller_has_its_part_until_that_is_so() {
    let mut bench = bench();
    let (db, other) = (asking(pod("a", "db"), 3000), asking(pod("b", "other"), 2000));
    bench.run(&db);
    bench.apply(&asking(pod("a", "db"), 1000));
    bench.apply(&other);
    assert_eq!(bench.view(&other).reason, Some(Reason::OutOfcpu));
    bench.tell(Input::Resized { key: main_key(&db, 0).container_key(), generation: 2 });
    assert_eq!(bench.starts(), [main_key(&other, 0)]);
}

// ---- CPUs of one's own ----

/// A host of four CPUs in two cores, of which one thread is reserved.
fn pooled() -> Bench {
    let pool = CpuPool { cores: vec![[0, 2].into(), [1, 3].into()], reserved: Some([0].into()) };
    Bench::with_capacity(Capacity { cpus: pool, ..pooled_amounts() })
}

fn pooled_amounts() -> Capacity {
    let amounts = Amounts { cpu: MilliCpu(4000), memory: Bytes(4 << 30), ..Amounts::default() };
    Capacity { amounts, ..Capacity::default() }
}

fn guaranteed(mut pod: Pod, cpu: u64) -> Pod {
    let (cpu, memory) = (Some(MilliCpu(cpu)), Some(Bytes(1 << 20)));
    let limits = Resources { cpu_limit: cpu, memory_limit: memory, ..Resources::default() };
    pod.containers[0].resources = Resources { cpu_request: cpu, memory_request: memory, ..limits };
    pod
}

fn table(bench: &Bench) -> CpuTable {
    let mut tables = bench.log.iter().filter_map(|effect| match effect {
        Effect::Confine { table } => Some(table.clone()),
        _ => None,
    });
    tables.next_back().expect("a table")
}

#[test]
fn whole_cpus_of_guaranteed_pods_are_their_own_and_the_others_share_the_rest() {
    let mut bench = pooled();
    let (own, half) = (guaranteed(pod("a", "own"), 2000), guaranteed(pod("b", "half"), 500));
    bench.apply(&own);
    bench.apply(&half);
    let told = table(&bench);
    assert_eq!(told.exclusive, [(main_key(&own, 0).container_key(), [1, 3].into())].into());
    assert_eq!(told.shared, [0, 2].into());
    let order = |wanted: fn(&Effect) -> bool| bench.log.iter().position(wanted);
    let (said, begun) = (order(|e| matches!(e, Effect::Confine { .. })), order(|e| matches!(e, Effect::Start { .. })));
    assert!(said < begun, "it is said before anything runs there");
}

#[test]
fn what_others_have_for_themselves_is_neither_shared_nor_given_until_they_give_it_back() {
    let mut bench = pooled();
    bench.run(&guaranteed(pod("b", "half"), 500));
    let booking = |cpus: &[u32]| Booking { cpus: cpus.iter().copied().collect(), ..Booking::default() };
    bench.tell(Input::Booked { others: Box::new(booking(&[1, 3])) });
    assert_eq!(table(&bench).shared, [0, 2].into());
    let own = guaranteed(pod("a", "own"), 2000);
    bench.apply(&own);
    assert_eq!(bench.view(&own).reason, Some(Reason::OutOfcpu));
    bench.tell(Input::Booked { others: Box::new(booking(&[3])) });
    assert_eq!(table(&bench).exclusive[&main_key(&own, 0).container_key()], [1, 2].into());
    assert_eq!(table(&bench).shared, [0].into());
}

#[test]
fn also_where_no_container_gets_any_all_keep_off_what_others_have() {
    let cpus = CpuPool { cores: vec![[0].into(), [1].into()], reserved: None };
    let mut bench = Bench::with_capacity(Capacity { cpus, ..pooled_amounts() });
    bench.run(&guaranteed(pod("b", "own"), 1000));
    assert!(!bench.log.iter().any(|effect| matches!(effect, Effect::Confine { .. })), "nobody is told of nothing");
    for (theirs, shared) in [(&[1][..], &[0][..]), (&[], &[0, 1]), (&[0, 1], &[0, 1])] {
        let cpus = theirs.iter().copied().collect();
        bench.tell(Input::Booked { others: Box::new(Booking { cpus, ..Booking::default() }) });
        assert_eq!(table(&bench), CpuTable { shared: shared.iter().copied().collect(), ..CpuTable::default() });
    }
}

#[test]
fn they_are_kept_over_a_restart_of_the_daemon_and_given_back_at_the_end() {
    let mut bench = pooled();
    let own = guaranteed(pod("b", "own"), 1000);
    bench.run(&guaranteed(pod("a", "first"), 2000));
    bench.run(&own);
    bench.restart_daemon();
    assert_eq!(table(&bench).exclusive[&main_key(&own, 0).container_key()], [2].into());
    for name in ["a", "b"] {
        let pod = pod(name, name);
        let running = bench.running(&main_key(&pod, 0));
        bench.observed(&main_key(&pod, 0), running);
    }
    let late = guaranteed(pod("c", "late"), 1000);
    bench.apply(&late);
    let view = bench.view(&late);
    assert_eq!(view.reason, Some(Reason::OutOfcpu));
    assert!(view.message.contains("requested=1, available=0"), "{}", view.message);
    bench.delete(&own, Some(0));
    bench.ended(&main_key(&own, 0), ExitStatus::Signal(9));
    assert_eq!(table(&bench).exclusive[&main_key(&late, 0).container_key()], [2].into());
}

#[test]
fn after_a_power_cut_that_took_a_pod_s_end_from_the_ledger_it_asks_for_other_cpus_than_another_has_by_now() {
    let mut bench = pooled();
    let mut job = guaranteed(pod("a", "job"), 2000);
    job.restart_policy = RestartPolicy::OnFailure;
    bench.run(&job);
    let before = bench.disk[&job.uid].clone();
    bench.ended(&main_key(&job, 0), ExitStatus::Code(0));
    let other = guaranteed(pod("0", "other"), 2000);
    bench.run(&other);
    bench.disk.insert(job.uid.clone(), before);
    bench.reboot();
    assert_eq!(table(&bench).exclusive, [(main_key(&other, 0).container_key(), [1, 3].into())].into());
    bench.observed(&main_key(&job, 0), Observation::Absent);
    bench.observed(&main_key(&other, 0), Observation::Absent);
    assert_eq!(bench.starts(), [main_key(&other, 1)]);
    assert_eq!(bench.view(&job).reason, Some(Reason::OutOfcpu));
}

#[test]
fn what_has_cpus_of_its_own_is_not_resized() {
    let mut bench = pooled();
    let own = guaranteed(pod("a", "own"), 2000);
    bench.run(&own);
    bench.apply(&guaranteed(own.clone(), 1000));
    assert_eq!(bench.view(&own).pending_resize.expect("pending").reason, Reason::Infeasible);
}
