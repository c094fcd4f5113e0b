//! What others than barepod have booked on the host, such as a Nomad client's own allocations.

use barepod_core::{Booking, Capacity, Input};
use barepod_model::*;

use crate::bench::{Bench, main_key, pod};

/// A host of four CPUs.
fn bench() -> Bench {
    let amounts = Amounts { cpu: MilliCpu(4000), memory: Bytes(4 << 30), ..Amounts::default() };
    Bench::with_capacity(Capacity { amounts, ..Capacity::default() })
}

fn asking(mut pod: Pod, cpu: u64) -> Pod {
    pod.containers[0].resources.cpu_request = Some(MilliCpu(cpu));
    pod
}

fn others(cpu: u64, ports: &[u16]) -> Input {
    let amounts = Amounts { cpu: MilliCpu(cpu), ..Amounts::default() };
    Input::Booked {
        others: Box::new(Booking { amounts, ports: ports.iter().copied().collect(), ..Booking::default() }),
    }
}

#[test]
fn what_others_have_is_not_given_to_pods_until_they_give_it_back() {
    let mut bench = bench();
    bench.tell(others(3000, &[]));
    let large = asking(pod("a", "large"), 2000);
    bench.run(&large);
    let view = bench.view(&large);
    assert_eq!(view.reason, Some(Reason::OutOfcpu));
    assert_eq!(view.message, "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000");
    bench.tell(others(2000, &[]));
    assert_eq!(bench.starts(), [main_key(&large, 0)]);
}

#[test]
fn what_others_get_is_taken_from_nothing_that_runs() {
    let mut bench = bench();
    let large = asking(pod("a", "large"), 3000);
    bench.run(&large);
    bench.tell(others(4000, &[]));
    assert!(bench.signals().is_empty());
    assert_eq!(bench.view(&large).phase, Phase::Running);
    bench.apply(&asking(large.clone(), 3500));
    let pending = bench.view(&large).pending_resize.expect("it waits");
    assert_eq!(pending.reason, Reason::Deferred);
    bench.tell(others(500, &[]));
    assert_eq!(bench.view(&large).pending_resize, None);
}

#[test]
fn a_port_that_others_have_is_no_pods() {
    let mut bench = bench();
    bench.tell(others(0, &[5432]));
    let mut database = pod("a", "database");
    let port = HostPort { protocol: "TCP".to_owned(), number: 5432, address: None };
    database.data_paths.insert(port.path());
    bench.run(&database);
    let view = bench.view(&database);
    assert_eq!(view.reason, Some(Reason::NodePorts));
    assert!(view.message.contains("5432/TCP"), "{}", view.message);
    bench.tell(others(0, &[]));
    assert_eq!(bench.starts(), [main_key(&database, 0)]);
}

#[test]
fn a_pod_of_a_cluster_whose_port_is_taken_has_failed_so_that_it_is_sent_elsewhere() {
    let mut bench = bench();
    bench.tell(others(0, &[5432]));
    let of_a_cluster = |name: &str, number: u16| {
        let mut pod = pod(name, name);
        pod.source = Source::Kubernetes;
        pod.data_paths.insert(HostPort { protocol: "TCP".to_owned(), number, address: None }.path());
        pod
    };
    let (foreign, own, second) = (of_a_cluster("a", 5432), of_a_cluster("b", 80), of_a_cluster("c", 80));
    bench.run(&foreign);
    bench.run(&own);
    bench.run(&second);
    for (pod, phase) in [(&foreign, Phase::Failed), (&own, Phase::Running), (&second, Phase::Failed)] {
        assert_eq!(bench.view(pod).phase, phase, "{:?}", pod.name);
    }
    assert_eq!(bench.view(&foreign).reason, Some(Reason::NodePorts));

    // Who was refused has nothing that another one would wait for, and who is about to go is waited for.
    let (third, fourth) = (of_a_cluster("d", 5432), of_a_cluster("e", 80));
    bench.tell(others(0, &[]));
    bench.run(&third);
    assert_eq!(bench.view(&third).phase, Phase::Running);
    bench.delete(&own, None);
    bench.apply(&fourth);
    assert_eq!(bench.view(&fourth).phase, Phase::Pending);
    bench.ended(&main_key(&own, 0), ExitStatus::Code(0));
    assert_eq!(bench.starts().last(), Some(&main_key(&fourth, 0)));
}
