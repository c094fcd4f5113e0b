//! Rules that the host's administrator changes while pods run.

use std::time::Duration;

use barepod_core::{BackoffFigures, Capacity, HostRules, Input, Least, Level, Pressure, PressureRules, Signal, Survey};
use barepod_model::*;

use crate::bench::{Bench, main_key, pod};

fn amounts(cpu: u64) -> Amounts {
    Amounts { cpu: MilliCpu(cpu), memory: Bytes(4 << 30), ..Amounts::default() }
}

fn ruled(change: impl FnOnce(&mut HostRules)) -> Input {
    let (backoff, pressure) = (BackoffFigures::default(), PressureRules::default());
    let mut rules = HostRules { backoff, amounts: amounts(4000), pods: None, pressure };
    change(&mut rules);
    Input::Ruled { rules: Box::new(rules) }
}

fn host() -> Bench {
    Bench::with_capacity(Capacity { amounts: amounts(4000), ..Capacity::default() })
}

fn asking(mut pod: Pod, cpu: u64) -> Pod {
    pod.containers[0].resources.cpu_request = Some(MilliCpu(cpu));
    pod
}

#[test]
fn who_waits_for_room_gets_what_the_host_has_more() {
    let (mut bench, large) = (host(), asking(pod("a", "large"), 5000));
    bench.run(&large);
    assert_eq!(bench.view(&large).reason, Some(Reason::OutOfcpu));
    bench.tell(ruled(|rules| rules.amounts = amounts(6000)));
    assert_eq!(bench.starts(), [main_key(&large, 0)]);
}

#[test]
fn what_runs_keeps_what_it_has_when_the_host_has_less_and_who_comes_then_waits() {
    let (mut bench, first, second) = (host(), asking(pod("a", "first"), 3000), pod("b", "second"));
    bench.run(&first);
    bench.tell(ruled(|rules| (rules.amounts, rules.pods) = (amounts(1000), Some(1))));
    assert!(bench.signals().is_empty());
    assert_eq!(bench.view(&first).phase, Phase::Running);
    bench.run(&second);
    assert_eq!(bench.view(&second).reason, Some(Reason::OutOfpods));
    bench.tell(ruled(|rules| rules.pods = Some(2)));
    assert_eq!(bench.view(&second).reason, None);
}

#[test]
fn a_wait_after_crashes_becomes_shorter_at_once() {
    let (mut bench, db) = (Bench::new(), pod("a", "db"));
    bench.run(&db);
    bench.ended(&main_key(&db, 0), ExitStatus::Code(1));
    bench.started(&main_key(&db, 1));
    bench.ended(&main_key(&db, 1), ExitStatus::Code(1));
    bench.log.clear();
    bench.pass(3);
    assert!(bench.starts().is_empty(), "ten seconds by default");
    let soon = Duration::from_secs(2);
    bench.tell(ruled(|rules| rules.backoff = BackoffFigures { initial: soon, max: soon }));
    assert_eq!(bench.starts(), [main_key(&db, 2)]);
}

#[test]
fn other_thresholds_hold_from_the_next_look_on() {
    let mut bench = Bench::with_pressure(PressureRules::default());
    let look = |bench: &mut Bench| {
        let levels = [(Signal::Memory, Level { available: 1 << 30, all: 64 << 30 })].into();
        let survey = Survey { begun: BootTime(bench.now), levels, pods: Default::default() };
        bench.tell(Input::Surveyed { survey: Box::new(survey) });
    };
    look(&mut bench);
    assert_eq!(bench.core.pressure().len(), 0);
    bench.tell(ruled(|rules| rules.pressure.thresholds[0].least = Least::Amount(2 << 30)));
    look(&mut bench);
    assert!(bench.core.pressure().contains_key(&Pressure::Memory));
}
