//! Pods that are evicted because their host is short of something.

use std::time::Duration;

use barepod_core::{
    ConditionStatus, Effect, Input, Least, Level, PodUse, Pressure, PressureRules, Signal, Survey, Threshold,
};
use barepod_model::*;

use crate::bench::{Bench, Ledger, main_key, pod};

const GIB: u64 = 1 << 30;
const SOFT: Duration = Duration::from_secs(60);

fn hard(signal: Signal) -> Threshold {
    Threshold { signal, least: Least::Percent(10), patience: None, reclaim: Least::Percent(10) }
}

fn rules(threshold: Threshold) -> PressureRules {
    PressureRules {
        thresholds: vec![threshold],
        max_grace: Duration::from_secs(20),
        transition: Duration::from_secs(300),
        exempt_from: 100,
    }
}

/// A pod of this priority that asks for 2 GiB of memory and of disk.
fn one(name: &str, priority: i32) -> Pod {
    let mut pod = Pod { priority, ..pod(name, name) };
    pod.containers[0].resources = Resources {
        memory_request: Some(Bytes(2 * GIB)),
        storage_request: Some(Bytes(2 * GIB)),
        ..Resources::default()
    };
    pod
}

/// A host with three pods, which all run.
struct Host {
    bench: Bench,
    pods: [Pod; 3],
    rules: PressureRules,
}

impl Host {
    fn new(threshold: Threshold, priorities: [i32; 3]) -> Self {
        let [a, b, c] = priorities;
        let pods = [one("a", a), one("b", b), one("c", c)];
        let rules = rules(threshold);
        let mut bench = Bench::with_pressure(rules.clone());
        pods.iter().for_each(|pod| bench.run(pod));
        Self { bench, pods, rules }
    }

    /// It is measured now: so many hundredths are left, and the pods use so much.
    fn measured(&mut self, left: u64, used: [u64; 3]) {
        self.measured_since(self.bench.now, left, used);
    }

    fn measured_since(&mut self, begun: Duration, left: u64, used: [u64; 3]) {
        let level = Level { available: left * GIB, all: 100 * GIB };
        let levels = self.rules.thresholds.iter().map(|threshold| (threshold.signal, level)).collect();
        let uses = |n: u64| PodUse { memory: n * GIB, disk: n * GIB, inodes: n, processes: n };
        let pods = self.pods.iter().zip(used).map(|(pod, n)| (pod.uid.clone(), uses(n))).collect();
        let survey = Survey { begun: BootTime(begun), levels, pods };
        self.bench.tell(Input::Surveyed { survey: Box::new(survey) });
    }

    /// The pods that were asked to end since this was last asked, by name.
    fn asked(&mut self) -> Vec<String> {
        let log = std::mem::take(&mut self.bench.log);
        let name = |effect: &Effect| match effect {
            Effect::Signal { key, signal: 15 } => Some(key.pod.to_string()),
            _ => None,
        };
        log.iter().filter_map(name).collect()
    }

    fn ends(&mut self, pod: usize) {
        let key = main_key(&self.pods[pod], 0);
        self.bench.ended(&key, ExitStatus::Code(0));
    }

    /// All pods in the order in which they go.
    fn order(mut self, used: [u64; 3]) -> String {
        let mut order = String::new();
        while order.len() < 3 {
            self.bench.pass(10);
            self.measured(5, used);
            let [gone] = &self.asked()[..] else { break };
            order.push_str(gone);
            let at = self.pods.iter().position(|pod| pod.uid.to_string() == *gone).unwrap_or_default();
            self.ends(at);
        }
        order
    }
}

#[test]
fn memory_is_taken_first_from_whoever_exceeds_its_request_then_by_priority_then_by_excess() {
    let host = |priorities| Host::new(hard(Signal::Memory), priorities);
    assert_eq!(host([0, -5, -9]).order([9, 3, 1]), "bac", "who keeps to its request goes last");
    assert_eq!(host([0, 0, 0]).order([3, 5, 4]), "bca");
    assert_eq!(host([0, 0, 0]).order([2, 2, 2]), "cba", "of equals the youngest goes first");
}

#[test]
fn disk_space_goes_like_memory_and_inodes_and_process_ids_have_no_requests() {
    assert_eq!(Host::new(hard(Signal::Disk), [0, -5, -9]).order([9, 3, 1]), "bac");
    assert_eq!(Host::new(hard(Signal::Inodes), [-9, 0, 0]).order([0, 5, 7]), "cba", "a has none");
    assert_eq!(Host::new(hard(Signal::Pids), [0, -5, -5]).order([99, 3, 4]), "cba");
}

#[test]
fn nobody_from_the_exempt_priority_on_is_evicted_nor_anybody_critical() {
    assert_eq!(Host::new(hard(Signal::Memory), [100, 99, 2_000_000_000]).order([9, 9, 9]), "b");
    let mut host = Host::new(hard(Signal::Memory), [0, 2_000_000_000, 2_000_001_000]);
    let rules = PressureRules { exempt_from: i32::MAX, ..host.rules.clone() };
    host.bench = Bench::with_pressure(rules);
    host.pods.clone().iter().for_each(|pod| host.bench.run(pod));
    assert_eq!(host.order([9, 9, 9]), "a");
}

#[test]
fn by_default_only_who_says_that_it_is_worth_less_is_evicted() {
    let rules = PressureRules::default();
    let exempts = |priority| rules.exempts(&one("a", priority));
    assert!(exempts(0) && exempts(1) && !exempts(-1));
}

#[test]
fn one_pod_goes_and_the_host_is_measured_again_before_the_next() {
    let mut host = Host::new(hard(Signal::Disk), [0, 1, 2]);
    host.measured(5, [9, 9, 9]);
    assert_eq!(host.asked(), ["a"]);
    host.bench.pass(10);
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty(), "a still lives");
    let before = host.bench.now;
    host.bench.pass(5);
    host.ends(0);
    host.asked();
    host.measured_since(before, 5, [9, 9, 9]);
    assert!(host.asked().is_empty(), "this was measured while a had what it had");
    host.bench.pass(1);
    host.measured(15, [0, 9, 9]);
    assert_eq!(host.asked(), ["b"], "more is wanted once somebody has gone");
    host.ends(1);
    host.bench.pass(1);
    host.measured(20, [0, 0, 9]);
    assert!(host.asked().is_empty(), "there is enough");
    host.bench.pass(1);
    host.measured(15, [0, 0, 9]);
    assert!(host.asked().is_empty(), "and less than that is enough again");
}

#[test]
fn one_that_does_not_end_is_not_waited_for_forever() {
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    host.measured(5, [9, 9, 9]);
    host.bench.pass(31);
    host.asked();
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty());
    host.bench.pass(1);
    host.measured(5, [9, 9, 9]);
    assert_eq!(host.asked(), ["b"]);
}

#[test]
fn a_hard_threshold_gives_a_second_and_a_soft_one_has_patience_and_gives_what_it_may() {
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    host.measured(5, [9, 9, 9]);
    assert_eq!(host.bench.signals(), [15]);
    host.bench.pass(1);
    assert_eq!(host.bench.signals(), [15, 9]);

    let mut host = Host::new(Threshold { patience: Some(SOFT), ..hard(Signal::Memory) }, [0, 1, 2]);
    host.measured(5, [9, 9, 9]);
    host.bench.pass(30);
    host.measured(30, [9, 9, 9]);
    host.bench.pass(30);
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty(), "its patience began anew");
    host.bench.pass(60);
    host.measured(5, [9, 9, 9]);
    assert_eq!(host.bench.signals(), [15]);
    host.bench.pass(19);
    assert_eq!(host.bench.signals(), [15]);
    host.bench.pass(1);
    assert_eq!(host.bench.signals(), [15, 9], "the most that is given, which is less than the pod's own grace");
}

#[test]
fn an_evicted_pod_says_why_and_lives_again_when_it_is_changed() {
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    host.measured(5, [9, 9, 9]);
    assert!(host.bench.told(Reason::Evicted));
    host.ends(0);
    let a = host.pods[0].clone();
    let view = host.bench.view(&a);
    assert_eq!((view.phase, view.reason), (Phase::Failed, Some(Reason::Evicted)));
    let message = "The node was low on memory: 5120 MiB of 102400 MiB were left, the least is 10%. The pod used 9216 MiB \
                   and asks for 2048 MiB.";
    assert_eq!(view.message, message);
    let condition = |bench: &Bench| bench.view(&a).conditions.into_iter().find(|c| c.kind == "DisruptionTarget");
    let told = condition(&host.bench).expect("the condition is shown");
    assert_eq!((told.status, told.reason.as_str()), (ConditionStatus::True, "TerminationByKubelet"));
    assert_eq!(told.message, message);

    host.bench.log.clear();
    host.bench.apply(&Pod { priority: 500, ..a.clone() });
    assert_eq!(host.bench.starts(), [main_key(&a, 1)]);
    assert_eq!(condition(&host.bench), None);
}

#[test]
fn an_eviction_is_written_before_it_is_carried_out_and_not_carried_out_if_it_cannot_be() {
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    host.bench.ledger = Ledger::Stalls;
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty());
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    host.bench.ledger = Ledger::Fails;
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty());
    host.bench.ledger = Ledger::Works;
    host.bench.pass(10);
    host.measured(5, [9, 9, 9]);
    assert_eq!(host.asked(), ["a"]);
}

#[test]
fn a_daemon_that_starts_in_the_midst_of_an_eviction_evicts_no_second_one() {
    let mut host = Host::new(hard(Signal::Memory), [0, 1, 2]);
    let keys: Vec<_> = host.pods.iter().map(|pod| main_key(pod, 0)).collect();
    host.measured(5, [9, 9, 9]);
    host.bench.restart_daemon();
    for key in &keys {
        let running = host.bench.running(key);
        host.bench.observed(key, running);
    }
    host.asked();
    host.measured(5, [9, 9, 9]);
    assert!(host.asked().is_empty(), "a is still on its way out");
    host.ends(0);
    host.bench.pass(1);
    host.measured(5, [0, 9, 9]);
    assert_eq!(host.asked(), ["b"]);
}

#[test]
fn a_condition_holds_for_a_while_after_it_was_last_seen() {
    let mut host = Host::new(hard(Signal::Pids), [500, 500, 500]);
    assert!(host.bench.core.pressure().is_empty());
    host.measured(5, [9, 9, 9]);
    let told = "less than 10% of process ids is left".to_owned();
    assert_eq!(host.bench.core.pressure(), [(Pressure::Pids, told)].into());
    host.bench.pass(299);
    host.measured(50, [9, 9, 9]);
    assert_eq!(host.bench.core.pressure().len(), 1);
    host.bench.pass(1);
    host.measured(50, [9, 9, 9]);
    assert!(host.bench.core.pressure().is_empty());
}

#[test]
fn a_node_under_pressure_refuses_what_a_cluster_sends_as_kubelet_does() {
    let sent = |change: fn(&mut Pod)| {
        let mut pod = Pod { source: Source::Kubernetes, ..pod("new", "new") };
        change(&mut pod);
        pod
    };
    let taken = |signal: Signal, pod: &Pod| {
        let mut host = Host::new(hard(signal), [500, 500, 500]);
        host.measured(5, [0, 0, 0]);
        host.bench.apply(pod);
        let view = host.bench.view(pod);
        assert_eq!(view.reason == Some(Reason::Evicted), host.bench.starts().is_empty(), "{view:?}");
        assert_eq!(view.phase == Phase::Failed, host.bench.starts().is_empty(), "{view:?}");
        !host.bench.starts().is_empty()
    };
    let best_effort = sent(|_| {});
    let burstable = sent(|pod| pod.containers[0].resources.memory_request = Some(Bytes(GIB)));
    assert!(!taken(Signal::Memory, &best_effort) && taken(Signal::Memory, &burstable));
    assert!(taken(Signal::Memory, &sent(|pod| pod.bears_memory_pressure = true)));
    assert!(!taken(Signal::Disk, &burstable) && !taken(Signal::Pids, &burstable));
    assert!(!taken(Signal::Disk, &sent(|pod| pod.bears_memory_pressure = true)));
    assert!(taken(Signal::Disk, &sent(|pod| pod.priority = 2_000_000_000)));
    assert!(taken(Signal::Disk, &sent(|pod| pod.source = Source::File)), "what the host runs on its own account");
}

#[test]
fn a_pod_that_was_begun_is_not_judged_again() {
    let mut host = Host::new(hard(Signal::Disk), [500, 500, 500]);
    let sent = Pod { source: Source::Kubernetes, priority: 500, ..pod("sent", "sent") };
    host.bench.run(&sent);
    host.measured(5, [0, 0, 0]);
    host.bench.ended(&main_key(&sent, 0), ExitStatus::Code(1));
    host.bench.pass(20);
    assert_eq!(host.bench.starts().last(), Some(&main_key(&sent, 1)));
}
