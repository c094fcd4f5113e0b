//! `/stats/summary`: kubelet's stats v1alpha1.

use barepod_api::v1;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Rates, stats, working_set};
use crate::answer::{Answer, json as answer_json, refused};
use crate::port::Port;
use crate::query::Query;

/// Whose CPU time it is: the node's, or of a pod or one of its containers.
pub(crate) type Whose = (String, String);

/// All, or what needs no look at disks.
pub(crate) async fn show(port: &Port, query: &Query) -> Answer {
    let only_cpu_and_memory = query.all("only_cpu_and_memory").eq(["true"]);
    match stats(port, !only_cpu_and_memory).await {
        Ok(found) => {
            let mut rates = port.rates();
            let (rates, round) = &mut *rates;
            *round += 1;
            let summary = Summary { rates, round: *round, only_cpu_and_memory }.of(port.settings.node.as_str(), &found);
            rates.forget_others(*round);
            answer_json(&summary)
        }
        Err(status) => refused(&status),
    }
}

struct Summary<'a> {
    rates: &'a mut Rates<Whose>,
    round: u64,
    only_cpu_and_memory: bool,
}

impl Summary<'_> {
    fn of(&mut self, name: &str, found: &v1::StatsResponse) -> Value {
        let usage = found.usage.unwrap_or_default();
        let mut node = self.used(&usage, Whose::default(), Some(found.memory));
        put(&mut node, "nodeName", Some(name));
        put(&mut node, "startTime", Some(time(found.started)));
        if !self.only_cpu_and_memory {
            put(&mut node, "network", network(&found.interfaces, usage.time));
            put(&mut node, "fs", found.fs.as_ref().map(|of| fs(of, usage.time)));
            let limits = json!({"time": time(usage.time), "maxpid": found.processes_max, "curproc": usage.processes});
            put(&mut node, "rlimit", Some(limits));
        }
        let pods: Vec<_> = found.pods.iter().map(|pod| self.pod(pod, found.fs.as_ref())).collect();
        json!({"node": node, "pods": pods})
    }

    fn pod(&mut self, of: &v1::PodStats, node_fs: Option<&v1::FsUsage>) -> Value {
        let usage = of.usage.unwrap_or_default();
        let mut pod = self.used(&usage, (of.uid.clone(), String::new()), usage.memory_limit);
        put(&mut pod, "podRef", Some(json!({"name": of.name, "namespace": of.namespace, "uid": of.uid})));
        put(&mut pod, "startTime", Some(time(of.started)));
        let containers: Vec<_> = of.containers.iter().map(|container| self.container(&of.uid, container)).collect();
        put(&mut pod, "containers", Some(containers));
        if !self.only_cpu_and_memory {
            let processes = usage.processes.map(|count| json!({"process_count": count}));
            put(&mut pod, "process_stats", processes);
            let volumes: Vec<_> = of.volumes.iter().map(|volume| self::volume(volume, of, usage.time)).collect();
            put(&mut pod, "volume", (!volumes.is_empty()).then_some(volumes));
            put(&mut pod, "ephemeral-storage", ephemeral(of, node_fs).map(|of| fs(&of, usage.time)));
        }
        Value::Object(pod)
    }

    fn container(&mut self, pod: &str, of: &v1::ContainerStats) -> Value {
        let usage = of.usage.unwrap_or_default();
        let mut container = self.used(&usage, (pod.to_owned(), of.name.clone()), usage.memory_limit);
        put(&mut container, "name", Some(of.name.as_str()));
        put(&mut container, "startTime", Some(time(of.started)));
        put(&mut container, "rootfs", of.rootfs.as_ref().map(|of| fs(of, usage.time)));
        put(&mut container, "logs", of.logs.as_ref().map(|of| fs(of, usage.time)));
        Value::Object(container)
    }

    /// CPU, memory and swap; `limit` is what memory is held against.
    fn used(&mut self, usage: &v1::Usage, whose: Whose, limit: Option<u64>) -> Map<String, Value> {
        let at = usage.time.unwrap_or_default();
        let at_ns = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
        let (mut cpu, mut memory, mut all) = (timed(usage.time), timed(usage.time), Map::new());
        put(&mut cpu, "usageNanoCores", usage.cpu_ns.and_then(|ns| self.rates.of(whose, at_ns, ns, self.round)));
        put(&mut cpu, "usageCoreNanoSeconds", usage.cpu_ns);
        put(&mut cpu, "psi", usage.cpu_stall.as_ref().map(psi));
        let set = working_set(usage);
        put(&mut memory, "availableBytes", limit.zip(set).map(|(limit, set)| limit.saturating_sub(set)));
        put(&mut memory, "usageBytes", usage.memory);
        put(&mut memory, "workingSetBytes", set);
        put(&mut memory, "rssBytes", usage.memory_rss);
        put(&mut memory, "pageFaults", usage.page_faults);
        put(&mut memory, "majorPageFaults", usage.major_page_faults);
        put(&mut memory, "psi", usage.memory_stall.as_ref().map(psi));
        put(&mut all, "cpu", Some(cpu));
        put(&mut all, "memory", Some(memory));
        if !self.only_cpu_and_memory && usage.io_stall.is_some() {
            let mut io = timed(usage.time);
            put(&mut io, "psi", usage.io_stall.as_ref().map(psi));
            put(&mut all, "io", Some(io));
        }
        if usage.swap.is_some() {
            let mut swap = timed(usage.time);
            put(&mut swap, "swapUsageBytes", usage.swap);
            put(&mut swap, "swapAvailableBytes", usage.swap_available);
            put(&mut all, "swap", Some(swap));
        }
        all
    }
}

fn timed(at: Option<v1::Timestamp>) -> Map<String, Value> {
    Map::from_iter([("time".to_owned(), json!(time(at)))])
}

/// What is missing is left out.
fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), json!(value));
    }
}

/// As the API writes times.
fn time(time: Option<v1::Timestamp>) -> Option<String> {
    let time = Timestamp::from_second(time?.seconds).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn psi(stall: &v1::Stall) -> Value {
    let data = |of: v1::Stalled| {
        let total_ns = of.total_us.saturating_mul(1000);
        json!({"total": total_ns, "avg10": of.avg10, "avg60": of.avg60, "avg300": of.avg300})
    };
    json!({"full": data(stall.full.unwrap_or_default()), "some": data(stall.some.unwrap_or_default())})
}

fn fs(of: &v1::FsUsage, at: Option<v1::Timestamp>) -> Map<String, Value> {
    let mut fs = timed(at);
    put(&mut fs, "availableBytes", of.available);
    put(&mut fs, "capacityBytes", of.capacity);
    put(&mut fs, "usedBytes", of.used);
    put(&mut fs, "inodesFree", of.inodes_free);
    put(&mut fs, "inodes", of.inodes);
    put(&mut fs, "inodesUsed", of.inodes_used);
    fs
}

fn volume(of: &v1::VolumeStats, pod: &v1::PodStats, at: Option<v1::Timestamp>) -> Value {
    let mut volume = of.fs.as_ref().map_or_else(|| timed(at), |of| fs(of, at));
    put(&mut volume, "name", Some(of.name.as_str()));
    let claim = (!of.claim.is_empty()).then(|| json!({"name": of.claim, "namespace": pod.namespace}));
    put(&mut volume, "pvcRef", claim);
    Value::Object(volume)
}

/// What goes with the pod, and its logs.
fn ephemeral(pod: &v1::PodStats, node: Option<&v1::FsUsage>) -> Option<v1::FsUsage> {
    let own =
        pod.containers.iter().flat_map(|container| [container.rootfs.as_ref(), container.logs.as_ref()]).flatten();
    let volumes = pod.volumes.iter().filter(|volume| volume.claim.is_empty()).filter_map(|volume| volume.fs.as_ref());
    let all: Vec<_> = own.chain(volumes).collect();
    let sum = |of: fn(&v1::FsUsage) -> Option<u64>| Some(all.iter().filter_map(|fs| of(fs)).sum());
    (!all.is_empty()).then(|| v1::FsUsage {
        used: sum(|fs| fs.used),
        inodes_used: sum(|fs| fs.inodes_used),
        ..node.copied().unwrap_or_default()
    })
}

/// Pods share the host's network: it is the node's alone.
fn network(interfaces: &[v1::Interface], at: Option<v1::Timestamp>) -> Option<Value> {
    let shown = |of: &v1::Interface| {
        json!({
            "name": of.name, "rxBytes": of.received, "rxErrors": of.receive_errors,
            "txBytes": of.sent, "txErrors": of.send_errors,
        })
    };
    let all: Vec<_> = interfaces.iter().map(shown).collect();
    let mut network = all.first()?.clone();
    network["time"] = json!(time(at));
    network["interfaces"] = json!(all);
    Some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_the_rest_is_there() {
        let at = Some(v1::Timestamp { seconds: 1_700_000_000, nanos: 0 });
        let usage = v1::Usage {
            time: at,
            memory: Some(100),
            memory_inactive_file: Some(30),
            memory_limit: Some(200),
            ..v1::Usage::default()
        };
        let container =
            v1::ContainerStats { name: "main".to_owned(), usage: Some(usage), ..v1::ContainerStats::default() };
        let pod = v1::PodStats { uid: "u".to_owned(), containers: vec![container], ..v1::PodStats::default() };
        let found = v1::StatsResponse { pods: vec![pod], memory: 1000, ..v1::StatsResponse::default() };
        let (mut rates, round) = (Rates::default(), 1);
        let summary = Summary { rates: &mut rates, round, only_cpu_and_memory: false }.of("host-1", &found);
        assert_eq!(summary["node"]["nodeName"], "host-1");
        let main = &summary["pods"][0]["containers"][0];
        assert_eq!(main["cpu"], json!({"time": "2023-11-14T22:13:20Z"}));
        let memory = json!({
            "time": "2023-11-14T22:13:20Z", "usageBytes": 100, "workingSetBytes": 70, "availableBytes": 130,
        });
        assert_eq!(main["memory"], memory);
        assert_eq!((&main["swap"], &summary["pods"][0]["ephemeral-storage"]), (&Value::Null, &Value::Null));
    }
}
