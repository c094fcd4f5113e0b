//! What a service says of itself: when it counts as started and ready, what silence means, and when it means nothing.

use std::time::Duration;

use barepod_core::{ContainerState, Effect, Heard, Input, Observation, Patience, ProbeOutcome, Said};
use barepod_model::{BootTime, ExitStatus, Notify, Pod, Probe, ProbeKind, Reason, StopStage};

use crate::bench::{Bench, main_key, pod, probe};

fn seconds(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn speaking(start: Option<u64>, watchdog: Option<u64>) -> Pod {
    let mut pod = pod("a", "db");
    let notify = Notify { start_timeout: start.map(seconds), watchdog: watchdog.map(seconds), ..Notify::default() };
    pod.containers[0].launch.notify = Some(notify);
    pod
}

/// What the service of a bench's pod has said so far.
struct Service {
    heard: Heard,
    attempt: u32,
}

impl Service {
    fn new() -> Self {
        Self { heard: Heard::default(), attempt: 0 }
    }

    fn says(&mut self, bench: &mut Bench, pod: &Pod, change: impl FnOnce(&mut Heard, BootTime)) {
        change(&mut self.heard, BootTime(bench.now));
        self.heard.serial += 1;
        let heard = Box::new(self.heard.clone());
        bench.tell(Input::Heard { key: main_key(pod, self.attempt), heard });
    }

    fn says_ready(&mut self, bench: &mut Bench, pod: &Pod) {
        self.says(bench, pod, |heard, now| heard.ready = Some(now));
    }

    /// What a shim tells of it.
    fn observed(&self, bench: &Bench) -> Observation {
        let heard = Some(Box::new(self.heard.clone()));
        Observation::Running { attempt: barepod_model::Attempt(self.attempt), pid: 7, started: bench.stamp(), heard }
    }
}

fn probes_asked(bench: &Bench) -> Vec<ProbeKind> {
    let kind = |effect: &Effect| match effect {
        Effect::Probe { kind, .. } => Some(*kind),
        _ => None,
    };
    bench.log.iter().filter_map(kind).collect()
}

#[test]
fn a_service_that_speaks_has_started_when_it_has_said_so() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.run(&db);
    bench.pass(3600);
    assert!(matches!(bench.container(&db).state, ContainerState::Running { .. }));
    assert!(!bench.container(&db).started && !bench.view(&db).ready);
    service.says(&mut bench, &db, |heard, now| {
        heard.ready = Some(now);
        heard.status = "accepting connections".to_owned();
    });
    assert!(bench.container(&db).started && bench.view(&db).ready);
    let said = Said { ready: true, status: "accepting connections".to_owned(), ..Said::default() };
    assert_eq!(bench.container(&db).said, Some(said));
}

#[test]
fn readiness_and_liveness_are_asked_for_only_after_ready() {
    let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    db.containers[0].readiness = Some(probe());
    db.containers[0].liveness = Some(probe());
    bench.run(&db);
    bench.pass(60);
    assert!(probes_asked(&bench).is_empty());
    service.says_ready(&mut bench, &db);
    assert_eq!(probes_asked(&bench), [ProbeKind::Readiness, ProbeKind::Liveness]);
    assert!(!bench.view(&db).ready, "that is the probe's word");
}

#[test]
fn a_startup_probe_of_the_manifest_must_succeed_too() {
    for ready_first in [true, false] {
        let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, None), Service::new());
        db.containers[0].startup = Some(probe());
        bench.apply(&db);
        bench.started(&main_key(&db, 0));
        if ready_first {
            service.says_ready(&mut bench, &db);
            assert!(!bench.container(&db).started);
        }
        let ticket = bench.log.iter().find_map(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        bench.tell(Input::Probed {
            key: main_key(&db, 0),
            kind: ProbeKind::Startup,
            ticket: ticket.expect("it is asked"),
            outcome: ProbeOutcome::Success,
        });
        assert_eq!(bench.container(&db).started, ready_first);
        bench.log.clear();
        bench.pass(60);
        assert!(probes_asked(&bench).is_empty(), "what has succeeded is not asked again");
        service.says_ready(&mut bench, &db);
        assert!(bench.container(&db).started);
    }
}

#[test]
fn a_service_that_is_not_ready_in_time_is_restarted() {
    let (mut bench, db) = (Bench::new(), speaking(Some(20), None));
    bench.run(&db);
    bench.pass(19);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert!(bench.told(Reason::StartTimeout));
    assert_eq!(bench.signals(), [15]);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts(), [main_key(&db, 1)]);
}

#[test]
fn patience_that_is_asked_for_extends_the_time_to_start() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(Some(20), None), Service::new());
    bench.run(&db);
    for _ in 0..10 {
        bench.pass(15);
        service.says(&mut bench, &db, |heard, now| {
            heard.patience = Some(Patience { asked: now, until: now + seconds(16) });
        });
    }
    assert!(!bench.told(Reason::StartTimeout));
    bench.pass(16);
    assert!(bench.told(Reason::StartTimeout));
}

#[test]
fn a_startup_probe_fails_for_good_only_at_the_end_of_the_patience() {
    let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    db.containers[0].startup = Some(Probe { failure_threshold: 1, ..probe() });
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    service.says(&mut bench, &db, |heard, now| {
        heard.patience = Some(Patience { asked: now, until: now + seconds(25) });
    });
    let fail = |bench: &mut Bench| {
        let asked = bench.log.iter().rev().find_map(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let outcome = ProbeOutcome::Failure("exit 1".into());
        let ticket = asked.expect("it is asked");
        bench.tell(Input::Probed { key: main_key(&db, 0), kind: ProbeKind::Startup, ticket, outcome });
    };
    for _ in 0..3 {
        fail(&mut bench);
        assert!(bench.signals().is_empty());
        bench.pass(10);
    }
    fail(&mut bench);
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_the_container_for_a_reason_of_its_own() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
    bench.run(&db);
    bench.pass(60);
    assert!(!bench.told(Reason::WatchdogTimeout), "before it is ready it is not watched");
    service.says_ready(&mut bench, &db);
    for _ in 0..10 {
        bench.pass(9);
        service.says(&mut bench, &db, |heard, now| heard.watchdog = Some(now));
    }
    assert!(bench.signals().is_empty());
    bench.pass(10);
    assert!(bench.told(Reason::WatchdogTimeout) && !bench.told(Reason::Unhealthy));
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn a_service_changes_its_own_watchdog_and_can_pull_it() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
    bench.run(&db);
    service.says(&mut bench, &db, |heard, now| {
        heard.ready = Some(now);
        heard.watchdog_timeout = Some(seconds(100));
    });
    bench.pass(99);
    assert!(bench.signals().is_empty());
    service.says(&mut bench, &db, |heard, _| heard.watchdog_timeout = Some(Duration::ZERO));
    bench.pass(1000);
    assert!(bench.signals().is_empty());
    service.says(&mut bench, &db, |heard, _| heard.triggered = true);
    assert!(bench.told(Reason::WatchdogTimeout));
    assert_eq!(bench.signals(), [15]);
}

#[test]
fn a_service_that_reloads_stays_ready_and_one_that_is_stopping_is_not() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
    bench.run(&db);
    service.says_ready(&mut bench, &db);
    service.says(&mut bench, &db, |heard, now| heard.reloading = Some(now));
    assert!(bench.view(&db).ready && bench.container(&db).said.is_some_and(|said| said.reloading));
    service.says(&mut bench, &db, |heard, now| {
        heard.reloading = None;
        heard.stopping = Some(now);
    });
    assert!(!bench.view(&db).ready && bench.container(&db).started);
    bench.pass(1000);
    assert!(bench.signals().is_empty(), "nobody hurries it, and its watchdog is not watched");
}

#[test]
fn a_readiness_probe_makes_nobody_ready_who_is_stopping() {
    let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    db.containers[0].readiness = Some(probe());
    bench.run(&db);
    service.says_ready(&mut bench, &db);
    service.says(&mut bench, &db, |heard, now| heard.stopping = Some(now));
    let asked = bench.log.iter().rev().find_map(|effect| match effect {
        Effect::Probe { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let ticket = asked.expect("it is asked");
    let (key, outcome) = (main_key(&db, 0), ProbeOutcome::Success);
    bench.tell(Input::Probed { key, kind: ProbeKind::Readiness, ticket, outcome });
    assert!(!bench.view(&db).ready);
}

#[test]
fn patience_that_is_asked_for_extends_a_stop() {
    let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    db.containers[0].stop.stages =
        vec![StopStage { signal: 15, before_end: None }, StopStage { signal: 3, before_end: Some(seconds(5)) }];
    bench.run(&db);
    service.says(&mut bench, &db, |heard, now| {
        heard.ready = Some(now);
        heard.patience = Some(Patience { asked: now, until: now + seconds(10_000) });
    });
    bench.pass(1);
    bench.delete(&db, None);
    bench.pass(20);
    assert_eq!(bench.signals(), [15], "what it asked for before the stop is not meant for it");
    service.says(&mut bench, &db, |heard, now| {
        heard.patience = Some(Patience { asked: now, until: now + seconds(40) });
    });
    bench.pass(34);
    assert_eq!(bench.signals(), [15]);
    bench.pass(1);
    assert_eq!(bench.signals(), [15, 3]);
    bench.pass(5);
    assert_eq!(bench.signals(), [15, 3, 9]);
}

#[test]
fn a_grace_given_with_the_delete_is_extended_by_nobody() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.run(&db);
    service.says_ready(&mut bench, &db);
    bench.delete(&db, Some(10));
    service.says(&mut bench, &db, |heard, now| {
        heard.patience = Some(Patience { asked: now, until: now + seconds(1000) });
    });
    bench.pass(10);
    assert_eq!(bench.signals(), [15, 9]);
}

#[test]
fn what_was_said_while_no_daemon_lived_counts_for_the_next_one() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(Some(20), None), Service::new());
    bench.run(&db);
    service.heard.ready = Some(BootTime(bench.now + seconds(5)));
    service.heard.serial = 9;
    bench.pass(0);
    bench.restart_daemon();
    bench.now += seconds(1000);
    let observed = service.observed(&bench);
    bench.observed(&main_key(&db, 0), observed);
    assert!(bench.view(&db).ready && bench.signals().is_empty());
}

#[test]
fn a_daemon_that_comes_later_judges_a_watchdog_by_what_the_shim_heard() {
    for (fed, restarts) in [(995, false), (900, true)] {
        let (mut bench, db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
        bench.run(&db);
        let began = bench.now;
        service.says_ready(&mut bench, &db);
        bench.restart_daemon();
        bench.now += seconds(1000);
        service.heard.watchdog = Some(BootTime(began + seconds(fed)));
        let observed = service.observed(&bench);
        bench.observed(&main_key(&db, 0), observed);
        assert_eq!(bench.told(Reason::WatchdogTimeout), restarts, "fed at {fed} s");
    }
}

#[test]
fn while_a_shim_is_dead_silence_means_nothing() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
    bench.run(&db);
    service.says_ready(&mut bench, &db);
    bench.tell(Input::ShimLost { key: main_key(&db, 0).container_key() });
    bench.pass(500);
    assert!(bench.signals().is_empty());
    service.heard.deaf = Some(BootTime(bench.now));
    service.heard.serial += 1;
    let observed = service.observed(&bench);
    bench.observed(&main_key(&db, 0), observed);
    bench.pass(9);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert!(bench.told(Reason::WatchdogTimeout));
}

#[test]
fn a_service_that_may_have_said_ready_to_nobody_counts_as_started_in_the_end() {
    for (timeout, after) in [(Some(20), 20), (None, 90)] {
        let (mut bench, db, mut service) = (Bench::new(), speaking(timeout, None), Service::new());
        bench.run(&db);
        bench.pass(5);
        bench.tell(Input::ShimLost { key: main_key(&db, 0).container_key() });
        service.heard.deaf = Some(BootTime(bench.now));
        service.heard.serial += 1;
        let observed = service.observed(&bench);
        bench.observed(&main_key(&db, 0), observed);
        bench.pass(after - 1);
        assert!(!bench.container(&db).started);
        bench.pass(1);
        assert!(bench.told(Reason::StartAssumed) && bench.signals().is_empty());
        assert!(bench.container(&db).started && bench.view(&db).ready);
    }
}

#[test]
fn another_main_process_and_what_is_not_taken_are_told() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.run(&db);
    service.says(&mut bench, &db, |heard, _| heard.main_pid = Some(42));
    assert!(bench.told(Reason::MainProcessChanged));
    assert_eq!(bench.container(&db).said.and_then(|said| said.main_pid), Some(42));
    let refusals = |bench: &Bench| {
        let of = |effect: &&Effect| matches!(effect, Effect::Emit(event) if event.reason == Reason::NotifyRefused);
        bench.log.iter().filter(of).count()
    };
    for _ in 0..100 {
        service.says(&mut bench, &db, |heard, _| heard.refused += 1);
    }
    assert_eq!(refusals(&bench), 7, "at 1, 2, 4, ... 64");
}

#[test]
fn old_news_changes_nothing() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.run(&db);
    let old = Box::new(Heard { serial: 1, ..Heard::default() });
    service.heard.serial = 5;
    service.says_ready(&mut bench, &db);
    bench.tell(Input::Heard { key: main_key(&db, 0), heard: old });
    assert!(bench.container(&db).said.is_some_and(|said| said.ready));
}

#[test]
fn the_next_attempt_says_it_anew() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.run(&db);
    service.says(&mut bench, &db, |heard, now| {
        heard.ready = Some(now);
        heard.stopping = Some(now);
    });
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    assert_eq!(bench.container(&db).said, None);
    bench.started(&main_key(&db, 1));
    assert!(!bench.container(&db).started);
    let mut next = Service { attempt: 1, ..Service::new() };
    next.says_ready(&mut bench, &db);
    assert!(bench.view(&db).ready);
}

#[test]
fn whether_it_is_listened_to_is_no_reason_for_a_new_process() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    db.containers[0].launch.notify = Some(Notify::default());
    bench.apply(&db);
    bench.pass(1000);
    assert!(bench.signals().is_empty() && bench.view(&db).ready, "the process that runs has no socket");
    bench.ended(&main_key(&db, 0), ExitStatus::Code(0));
    bench.started(&main_key(&db, 1));
    assert!(!bench.view(&db).ready);
}

#[test]
fn the_watchdog_of_a_service_that_starts_late_counts_from_then_for_every_daemon() {
    let (mut bench, mut db, mut service) = (Bench::new(), speaking(None, Some(10)), Service::new());
    db.containers[0].lifecycle.post_start = Some(barepod_model::Hook::Sleep(seconds(20)));
    bench.run(&db);
    service.says_ready(&mut bench, &db);
    bench.pass(20);
    bench.hooked(&main_key(&db, 0), barepod_model::HookKind::PostStart, barepod_core::HookOutcome::Success);
    bench.pass(5);
    bench.restart_daemon();
    let observed = service.observed(&bench);
    bench.observed(&main_key(&db, 0), observed);
    bench.pass(4);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert!(bench.told(Reason::WatchdogTimeout));
}

#[test]
fn what_is_said_before_it_is_known_that_it_runs_is_not_lost() {
    let (mut bench, db, mut service) = (Bench::new(), speaking(None, None), Service::new());
    bench.apply(&db);
    service.says_ready(&mut bench, &db);
    assert!(!bench.view(&db).ready);
    bench.started(&main_key(&db, 0));
    assert!(bench.view(&db).ready);
}
