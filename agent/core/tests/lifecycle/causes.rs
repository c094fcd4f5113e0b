//! Why a container was stopped is kept with how it ended.

use barepod_core::{ContainerState, Effect, Input, ProbeOutcome};
use barepod_model::*;

use crate::bench::{Bench, key_of, main_key, pod, probe};

/// The cause that the ledger has for the last end of the main container.
fn cause(bench: &Bench, pod: &Pod) -> Option<StopCause> {
    let last = bench.disk[&pod.uid].containers[&pod.containers[0].name].last.clone();
    last.expect("it has ended").cause.map(|cause| *cause)
}

/// A pod that runs.
fn running() -> (Bench, Pod) {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    (bench, db)
}

#[test]
fn who_ends_by_itself_has_no_cause() {
    let (mut bench, db) = running();
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    assert_eq!(cause(&bench, &db), None);
}

#[test]
fn what_was_asked_for_is_the_cause() {
    type Stop = fn(&mut Bench, &Pod);
    let stops: [(Stop, StopCause); 4] = [
        (|bench, db| _ = bench.restart(db), StopCause::Restart),
        (|bench, db| _ = bench.halt(db, true), StopCause::Halt),
        (|bench, _| bench.tell(Input::Shutdown { goes_down: true }), StopCause::Shutdown),
        (
            |bench, db| {
                let mut changed = db.clone();
                changed.containers[0].launch.argv.push("--changed".into());
                bench.apply(&changed);
            },
            StopCause::Change,
        ),
    ];
    for (stop, expected) in stops {
        let (mut bench, db) = running();
        stop(&mut bench, &db);
        bench.exited(&main_key(&db, 0), ExitStatus::Signal(15));
        assert_eq!(cause(&bench, &db), Some(expected));
    }
}

#[test]
fn a_probe_that_failed_for_good_is_the_cause_with_its_last_output_also_under_the_next_daemon() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    db.containers[0].liveness = Some(probe());
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    for output in ["refused", "refused", "HTTP probe failed with statuscode: 500"] {
        let asked = bench.log.iter().rev().find_map(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let (ticket, outcome) = (asked.expect("a probe"), ProbeOutcome::Failure(output.to_owned()));
        bench.tell(Input::Probed { key: main_key(&db, 0), kind: ProbeKind::Liveness, ticket, outcome });
        bench.pass(10);
    }
    assert_eq!(bench.signals(), [15]);
    let told = bench.log.iter().any(|effect| {
        matches!(effect, Effect::Emit(event) if event.reason == Reason::Killing && event.message.ends_with("statuscode: 500"))
    });
    assert!(told, "the event says why, too");
    let running = bench.running(&main_key(&db, 0));
    bench.restart_daemon();
    bench.observed(&main_key(&db, 0), running);
    bench.exited(&main_key(&db, 0), ExitStatus::Code(0));
    let cause = cause(&bench, &db).expect("a cause");
    assert_eq!(cause.to_string(), "its liveness probe failed: HTTP probe failed with statuscode: 500");
}

#[test]
fn a_deleted_pod_tells_so_until_it_is_gone() {
    let (mut bench, mut db) = (Bench::new(), pod("a", "db"));
    let mut second = db.containers[0].clone();
    second.name = ContainerName::new("second").unwrap();
    db.containers.push(second);
    bench.apply(&db);
    bench.started(&main_key(&db, 0));
    bench.started(&key_of(&db, "second", 0));
    bench.delete(&db, None);
    bench.exited(&main_key(&db, 0), ExitStatus::Code(0));
    let ContainerState::Terminated { termination } = bench.container(&db).state else { panic!("it has ended") };
    assert_eq!(termination.cause.map(|cause| *cause), Some(StopCause::Deletion));
}
