//! From what was counted to what is used.

use std::cmp::Reverse;

use barepod_api::v1::{ContainerStats, Pod, PodStats, Stall, StatsResponse, Timestamp, Usage};
use clap::ValueEnum;
use serde::Serialize;

use crate::output::{Table, UNKNOWN, size};

/// What is used, at one moment, or since the one before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// CPUs of the host.
    pub(crate) cpus: u32,
    /// Bytes of the host's memory.
    pub(crate) memory_total: u64,
    pub(crate) host: Figures,
    pub(crate) pods: Vec<PodRow>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) restarts: u32,
    pub(crate) figures: Figures,
    pub(crate) containers: Vec<ContainerRow>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerRow {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) restarts: u32,
    pub(crate) figures: Figures,
}

/// What is used; nothing where this host does not count it, or nothing runs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Thousandths of a CPU since the sample before.
    pub(crate) cpu_milli: Option<u64>,
    /// The working set, in bytes.
    pub(crate) memory: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    /// Bytes a second since the sample before.
    pub(crate) read_per_second: Option<u64>,
    pub(crate) written_per_second: Option<u64>,
    /// Per cent of the last ten seconds in which something waited (PSI, some avg10).
    pub(crate) cpu_stall: Option<f64>,
    pub(crate) memory_stall: Option<f64>,
    pub(crate) io_stall: Option<f64>,
    pub(crate) processes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// By namespace and name.
    Name,
    /// Who uses most CPU time.
    Cpu,
    /// Who has most memory.
    Memory,
    /// Who reads and writes most.
    Io,
}

/// What is used by these pods. Rates are there where `before` is.
pub(crate) fn sample(before: Option<&StatsResponse>, now: &StatsResponse, pods: &[Pod], order: Order) -> Sample {
    let host = figures(before.and_then(|all| all.usage.as_ref()), now.usage.as_ref());
    let mut rows: Vec<_> = pods.iter().map(|pod| row(before, now, pod)).collect();
    let first = |row: &PodRow| match order {
        Order::Name => 0,
        Order::Cpu => row.figures.cpu_milli.unwrap_or(0),
        Order::Memory => row.figures.memory.unwrap_or(0),
        Order::Io => row.figures.read_per_second.unwrap_or(0) + row.figures.written_per_second.unwrap_or(0),
    };
    rows.sort_by_cached_key(|row| (Reverse(first(row)), row.namespace.clone(), row.name.clone()));
    Sample { cpus: now.cpus, memory_total: now.memory, host, pods: rows }
}

fn row(before: Option<&StatsResponse>, now: &StatsResponse, pod: &Pod) -> PodRow {
    let of = |all: &StatsResponse| all.pods.iter().find(|stats| stats.uid == pod.uid).cloned();
    let (earlier, later) = (before.and_then(of), of(now));
    let usage = |stats: &Option<PodStats>| stats.as_ref().and_then(|stats| stats.usage);
    let container = |name: &str, stats: &Option<PodStats>| -> Option<ContainerStats> {
        stats.as_ref()?.containers.iter().find(|container| container.name == name).cloned()
    };
    let containers = pod.containers.iter().map(|of| {
        let (earlier, later) = (container(&of.name, &earlier), container(&of.name, &later));
        // Another attempt has counters of its own.
        let earlier = earlier.filter(|one| later.as_ref().is_some_and(|other| other.started == one.started));
        ContainerRow {
            name: of.name.clone(),
            status: if of.state == "running" { of.state.clone() } else { of.reason.clone() },
            restarts: of.restart_count,
            figures: figures(
                earlier.as_ref().and_then(|stats| stats.usage.as_ref()),
                later.as_ref().and_then(|stats| stats.usage.as_ref()),
            ),
        }
    });
    PodRow {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        status: pod.phase.clone(),
        restarts: pod.containers.iter().map(|container| container.restart_count).sum(),
        figures: figures(usage(&earlier).as_ref(), usage(&later).as_ref()),
        containers: containers.collect(),
    }
}

fn figures(before: Option<&Usage>, now: Option<&Usage>) -> Figures {
    let Some(now) = now else { return Figures::default() };
    let rate = |counter: fn(&Usage) -> Option<u64>, unit: f64| -> Option<u64> {
        let before = before?;
        let seconds = seconds(now.time.as_ref()?) - seconds(before.time.as_ref()?);
        let more = counter(now)?.checked_sub(counter(before)?)?;
        // Counters that anybody can reach fit into the mantissa.
        (seconds > 0.0).then(|| (more as f64 / seconds / unit).round() as u64)
    };
    let stall = |stall: &Option<Stall>| stall.as_ref()?.some.as_ref().map(|some| some.avg10);
    Figures {
        cpu_milli: rate(|usage| usage.cpu_ns, 1e6),
        memory: now.memory.map(|memory| memory.saturating_sub(now.memory_inactive_file.unwrap_or(0))),
        memory_limit: now.memory_limit,
        read_per_second: rate(|usage| usage.io_read, 1.0),
        written_per_second: rate(|usage| usage.io_written, 1.0),
        cpu_stall: stall(&now.cpu_stall),
        memory_stall: stall(&now.memory_stall),
        io_stall: stall(&now.io_stall),
        processes: now.processes,
        oom_kills: now.oom_kills,
    }
}

fn seconds(time: &Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

impl Sample {
    /// The host in a line.
    pub(crate) fn heading(&self) -> String {
        let Figures { cpu_milli, memory, cpu_stall, memory_stall, io_stall, .. } = self.host;
        let stalls = [cpu_stall, memory_stall, io_stall].map(percent);
        format!(
            "cpu {} of {}   memory {} of {}   waiting for cpu {}, memory {}, io {}   pods {}",
            cores(cpu_milli),
            self.cpus,
            size(memory),
            size(Some(self.memory_total)),
            stalls[0],
            stalls[1],
            stalls[2],
            self.pods.len()
        )
    }

    /// Pods, and below each its containers where it has several.
    pub(crate) fn table(&self, namespaces: bool) -> String {
        let mut headings = vec![
            "NAME", "STATUS", "CPU", "MEMORY", "LIMIT", "READ/s", "WRITE/s", "PSI-CPU", "PSI-MEM", "PSI-IO", "RESTARTS",
        ];
        if namespaces {
            headings.insert(0, "NAMESPACE");
        }
        let mut table = Table::new(&headings);
        for pod in &self.pods {
            let mut row = |name: String, status: &str, figures: &Figures, restarts: u32| {
                let mut cells = vec![name, status.to_owned()];
                cells.extend(figures.cells());
                cells.push(restarts.to_string());
                if namespaces {
                    cells.insert(0, pod.namespace.clone());
                }
                table.row(cells);
            };
            row(pod.name.clone(), &pod.status, &pod.figures, pod.restarts);
            if pod.containers.len() > 1 {
                for container in &pod.containers {
                    row(format!("  {}", container.name), &container.status, &container.figures, container.restarts);
                }
            }
        }
        table.render()
    }
}

impl Figures {
    fn cells(&self) -> [String; 8] {
        [
            cores(self.cpu_milli),
            size(self.memory),
            size(self.memory_limit),
            size(self.read_per_second),
            size(self.written_per_second),
            percent(self.cpu_stall),
            percent(self.memory_stall),
            percent(self.io_stall),
        ]
    }
}

/// `0.25`: CPUs.
fn cores(milli: Option<u64>) -> String {
    milli.map_or_else(|| UNKNOWN.to_owned(), |milli| format!("{}.{:02}", milli / 1000, milli % 1000 / 10))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.to_owned(), |share| format!("{share:.1}%"))
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::{Container, Stalled};

    use super::*;

    fn usage(seconds: i64, cpu_ms: u64, written: u64) -> Usage {
        let some = Some(Stalled { avg10: 12.345, ..Stalled::default() });
        Usage {
            time: Some(Timestamp { seconds, nanos: 0 }),
            cpu_ns: Some(cpu_ms * 1_000_000),
            memory: Some(300 << 20),
            memory_inactive_file: Some(100 << 20),
            memory_limit: Some(1536 << 20),
            io_read: Some(0),
            io_written: Some(written),
            io_stall: Some(Stall { some, full: None }),
            ..Usage::default()
        }
    }

    fn stats(seconds: i64, cpu_ms: u64, started: i64) -> StatsResponse {
        let usage = Some(usage(seconds, cpu_ms, cpu_ms * 1024));
        let started = Some(Timestamp { seconds: started, nanos: 0 });
        let container =
            |name: &str| ContainerStats { name: name.to_owned(), started, usage, ..ContainerStats::default() };
        let pod = PodStats {
            uid: "1".to_owned(),
            usage,
            containers: vec![container("db"), container("log")],
            ..PodStats::default()
        };
        StatsResponse { usage, cpus: 4, memory: 16 << 30, pods: vec![pod], ..StatsResponse::default() }
    }

    fn pods() -> Vec<Pod> {
        let container = |name: &str, state: &str, reason: &str, restart_count| Container {
            name: name.to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            restart_count,
            ..Container::default()
        };
        let pod = |uid: &str, name: &str, phase: &str, containers| Pod {
            uid: uid.to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
            phase: phase.to_owned(),
            containers,
            ..Pod::default()
        };
        vec![
            pod("2", "cache", "CrashLoopBackOff", vec![container("cache", "waiting", "CrashLoopBackOff", 7)]),
            pod("1", "db", "Running", vec![container("db", "running", "", 1), container("log", "running", "", 2)]),
        ]
    }

    #[test]
    fn what_is_used_is_the_difference_of_two_samples() {
        let (before, now) = (stats(100, 1000, 50), stats(104, 3000, 50));
        let sample = sample(Some(&before), &now, &pods(), Order::Cpu);
        insta::assert_snapshot!(format!("{}\n{}", sample.heading(), sample.table(true)));
        assert_eq!(sample.pods[0].containers[1].figures.cpu_milli, Some(500));
    }

    #[test]
    fn one_sample_and_another_attempt_have_no_rates() {
        let (before, now) = (stats(100, 1000, 50), stats(104, 3000, 103));
        let alone = sample(None, &now, &pods(), Order::Name);
        assert_eq!((alone.host.cpu_milli, alone.host.memory), (None, Some(200 << 20)));
        assert_eq!(alone.pods[0].name, "cache");
        let restarted = sample(Some(&before), &now, &pods(), Order::Memory);
        assert_eq!(restarted.pods[0].figures.cpu_milli, Some(500), "the pod's own group goes on");
        assert_eq!(restarted.pods[0].containers[0].figures.cpu_milli, None);
        let stepped = sample(Some(&now), &before, &pods(), Order::Io);
        assert_eq!(stepped.host.cpu_milli, None, "a clock that went back");
    }
}
