//! `/metrics/cadvisor`: what the kernel counts of the host, of pods and of containers, under cAdvisor's names and labels, which
//! dashboards know. What has a meaning here is there; a container is a process tree, and its network the host's.

use barepod_api::v1;
use tonic::Status;

use super::text::Kind;
use super::{Page, epoch, millis, seconds, stats, working_set};
use crate::port::Port;

/// # Errors
/// The daemon does not answer.
pub(crate) async fn page(port: &Port) -> Result<Page, Status> {
    Ok(of(&stats(port, false).await?))
}

type Labels = Vec<(&'static str, String)>;

/// Whom figures are about: the host, a pod as a whole, a container.
struct Subject<'a> {
    labels: Labels,
    usage: &'a v1::Usage,
    started: Option<v1::Timestamp>,
}

fn labels([container, id, image, name, namespace, pod]: [&str; 6]) -> Labels {
    let labels = [
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ];
    labels.map(|(label, value)| (label, value.to_owned())).into()
}

fn labels_of(pod: &v1::PodStats, of: &v1::ContainerStats) -> Labels {
    labels([&of.name, &of.cgroup, &of.image, &of.name, &pod.namespace, &pod.name])
}

fn containers(found: &v1::StatsResponse) -> impl Iterator<Item = (&v1::PodStats, &v1::ContainerStats)> {
    found.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
}

fn subjects(found: &v1::StatsResponse) -> Vec<Subject<'_>> {
    let host = found.usage.as_ref().map(|usage| Subject {
        labels: labels(["", "/", "", "", "", ""]),
        usage,
        started: found.started,
    });
    let pods = found.pods.iter().flat_map(|pod| {
        let own = pod.usage.as_ref().map(|usage| Subject {
            labels: labels(["", &pod.cgroup, "", "", &pod.namespace, &pod.name]),
            usage,
            started: pod.started,
        });
        let containers = pod.containers.iter().filter_map(move |container| {
            Some(Subject {
                labels: labels_of(pod, container),
                usage: container.usage.as_ref()?,
                started: container.started,
            })
        });
        own.into_iter().chain(containers)
    });
    host.into_iter().chain(pods).collect()
}

type Read = fn(&v1::Usage) -> Option<f64>;

/// Families of one sample for each subject.
const FIGURES: [(&str, Kind, &str, Read); 26] = [
    ("container_cpu_user_seconds_total", Kind::Counter, "CPU time in programs", |u| u.cpu_user_ns.map(seconds)),
    ("container_cpu_system_seconds_total", Kind::Counter, "CPU time in the kernel", |u| u.cpu_system_ns.map(seconds)),
    ("container_cpu_cfs_periods_total", Kind::Counter, "Periods of the CPU quota", |u| count(u.cpu_periods)),
    ("container_cpu_cfs_throttled_periods_total", Kind::Counter, "Those in which it had to wait", |u| {
        count(u.cpu_throttled_periods)
    }),
    ("container_cpu_cfs_throttled_seconds_total", Kind::Counter, "How long it had to wait", |u| {
        u.cpu_throttled_ns.map(seconds)
    }),
    ("container_memory_usage_bytes", Kind::Gauge, "Memory with cache", |u| count(u.memory)),
    ("container_memory_working_set_bytes", Kind::Gauge, "Memory without idle cache", |u| count(working_set(u))),
    ("container_memory_rss", Kind::Gauge, "Memory that is of no file", |u| count(u.memory_rss)),
    ("container_memory_cache", Kind::Gauge, "Memory of files", |u| count(u.memory_cache)),
    ("container_memory_mapped_file", Kind::Gauge, "Memory of mapped files", |u| count(u.memory_mapped_file)),
    ("container_memory_swap", Kind::Gauge, "Swap space", |u| count(u.swap)),
    ("container_spec_memory_limit_bytes", Kind::Gauge, "The limit of memory, 0 for none", |u| {
        u.memory.map(|_| u.memory_limit.unwrap_or(0) as f64)
    }),
    ("container_oom_events_total", Kind::Counter, "Kills for memory", |u| count(u.oom_kills)),
    ("container_threads", Kind::Gauge, "Processes and threads", |u| count(u.processes)),
    ("container_pressure_cpu_waiting_seconds_total", Kind::Counter, "Some waited for a CPU", |u| some(u.cpu_stall)),
    ("container_pressure_cpu_stalled_seconds_total", Kind::Counter, "All waited for a CPU", |u| full(u.cpu_stall)),
    ("container_pressure_memory_waiting_seconds_total", Kind::Counter, "Some waited for memory", |u| {
        some(u.memory_stall)
    }),
    ("container_pressure_memory_stalled_seconds_total", Kind::Counter, "All waited for memory", |u| {
        full(u.memory_stall)
    }),
    ("container_pressure_io_waiting_seconds_total", Kind::Counter, "Some waited for disks", |u| some(u.io_stall)),
    ("container_pressure_io_stalled_seconds_total", Kind::Counter, "All waited for disks", |u| full(u.io_stall)),
    ("container_fs_reads_total", Kind::Counter, "Reads from block devices", |u| count(u.io_reads)),
    ("container_fs_writes_total", Kind::Counter, "Writes to block devices", |u| count(u.io_writes)),
    ("container_fs_reads_bytes_total", Kind::Counter, "Bytes read from block devices", |u| count(u.io_read)),
    ("container_fs_writes_bytes_total", Kind::Counter, "Bytes written to block devices", |u| count(u.io_written)),
    ("container_processes", Kind::Gauge, "Processes and threads, as the group counts them", |u| count(u.processes)),
    ("container_last_seen", Kind::Gauge, "When it was measured", |u| epoch(u.time).map(f64::trunc)),
];

fn count(number: Option<u64>) -> Option<f64> {
    number.map(|number| number as f64)
}

fn some(stall: Option<v1::Stall>) -> Option<f64> {
    Some(stall?.some?.total_us as f64 / 1e6)
}

fn full(stall: Option<v1::Stall>) -> Option<f64> {
    Some(stall?.full?.total_us as f64 / 1e6)
}

fn of(found: &v1::StatsResponse) -> Page {
    let (mut page, subjects) = (Page::default(), subjects(found));
    let at = |usage: &v1::Usage| millis(usage.time);
    let with = |labels: &Labels, more: &[(&'static str, &str)]| -> Labels {
        let mut labels = labels.clone();
        labels.extend(more.iter().map(|(label, value)| (*label, (*value).to_owned())));
        labels
    };
    let cpu = subjects
        .iter()
        .filter_map(|of| Some((with(&of.labels, &[("cpu", "total")]), seconds(of.usage.cpu_ns?), at(of.usage))));
    page.family("container_cpu_usage_seconds_total", Kind::Counter, "CPU time", cpu);
    for (name, kind, help, read) in FIGURES {
        let samples = subjects.iter().filter_map(|of| Some((of.labels.clone(), read(of.usage)?, at(of.usage))));
        page.family(name, kind, help, samples);
    }
    let faults = subjects.iter().flat_map(|of| {
        let kinds = [("pgfault", of.usage.page_faults), ("pgmajfault", of.usage.major_page_faults)];
        kinds.into_iter().filter_map(move |(kind, faults)| {
            let labels = with(&of.labels, &[("failure_type", kind), ("scope", "hierarchy")]);
            Some((labels, count(faults)?, at(of.usage)))
        })
    });
    page.family("container_memory_failures_total", Kind::Counter, "Page faults", faults);
    let started = subjects.iter().filter_map(|of| Some((of.labels.clone(), epoch(of.started)?.trunc(), at(of.usage))));
    page.family("container_start_time_seconds", Kind::Gauge, "Start since 1970", started);
    if let Some(host) = subjects.first().filter(|of| of.labels.iter().any(|label| *label == ("id", "/".to_owned()))) {
        network(&mut page, found, |interface| with(&host.labels, &[("interface", interface)]), at(host.usage));
    }
    quotas(&mut page, found);
    page.one("machine_cpu_cores", Kind::Gauge, "CPUs of the host", Some(f64::from(found.cpus)), None);
    page.one("machine_memory_bytes", Kind::Gauge, "Memory of the host", Some(found.memory as f64), None);
    page
}

/// The quota of those that have one.
fn quotas(page: &mut Page, found: &v1::StatsResponse) {
    type Read = fn(&v1::ContainerStats) -> Option<u64>;
    let figures: [(&str, &str, Read); 2] = [
        ("container_spec_cpu_quota", "Microseconds of CPU time a period", |of| of.cpu_quota_us),
        ("container_spec_cpu_period", "The period in microseconds", |of| of.cpu_quota_us.and(of.cpu_period_us)),
    ];
    for (name, help, read) in figures {
        let samples = containers(found).filter_map(|(pod, of)| {
            Some((labels_of(pod, of), read(of)? as f64, of.usage.as_ref().and_then(|usage| millis(usage.time))))
        });
        page.family(name, Kind::Gauge, help, samples);
    }
}

fn network(page: &mut Page, found: &v1::StatsResponse, labels: impl Fn(&str) -> Labels, at: Option<i64>) {
    type Read = fn(&v1::Interface) -> u64;
    let figures: [(&str, Read); 8] = [
        ("container_network_receive_bytes_total", |of| of.received),
        ("container_network_receive_packets_total", |of| of.received_packets),
        ("container_network_receive_errors_total", |of| of.receive_errors),
        ("container_network_receive_packets_dropped_total", |of| of.receive_dropped),
        ("container_network_transmit_bytes_total", |of| of.sent),
        ("container_network_transmit_packets_total", |of| of.sent_packets),
        ("container_network_transmit_errors_total", |of| of.send_errors),
        ("container_network_transmit_packets_dropped_total", |of| of.send_dropped),
    ];
    for (name, read) in figures {
        let samples = found.interfaces.iter().map(|of| (labels(&of.name), read(of) as f64, at));
        page.family(name, Kind::Counter, "Of an interface of the host", samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_cadvisors_labels_in_their_order() {
        let usage = v1::Usage {
            time: Some(v1::Timestamp { seconds: 1, nanos: 5_000_000 }),
            cpu_ns: Some(1_500_000_000),
            ..v1::Usage::default()
        };
        let container = v1::ContainerStats {
            name: "main".to_owned(),
            image: "postgres:15".to_owned(),
            cgroup: "/barepod/podU/main".to_owned(),
            usage: Some(usage),
            ..v1::ContainerStats::default()
        };
        let pod = v1::PodStats {
            name: "db-0".to_owned(),
            namespace: "default".to_owned(),
            containers: vec![container],
            ..v1::PodStats::default()
        };
        let text = of(&v1::StatsResponse { pods: vec![pod], ..v1::StatsResponse::default() }).into_text();
        let line = "container_cpu_usage_seconds_total{container=\"main\",id=\"/barepod/podU/main\",image=\"postgres:15\",\
                    name=\"main\",namespace=\"default\",pod=\"db-0\",cpu=\"total\"} 1.5 1005\n";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("container_memory_usage_bytes"), "what is not known is not there: {text}");
    }
}
