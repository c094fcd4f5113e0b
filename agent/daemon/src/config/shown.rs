//! The configuration in force, in the words of its file: what is shown here, read again, is the same configuration.

use std::time::Duration;

use barepod_core::{Least, PressureRules, Threshold};
use barepod_linux::cgroup::Rules;
use barepod_model::{Amounts, Bytes};
use serde_json::{Map, Value, json};

use super::Config;
use super::resources::ResourceRules;

impl Config {
    /// All keys with their values; those that have none are absent.
    pub(crate) fn shown(&self) -> Value {
        let Config {
            cgroup,
            socket_group,
            bridge_user,
            backoff,
            log_max_size,
            log_max_files,
            probe_address,
            cluster_dns,
            node_labels,
            resources,
            seccomp_default,
        } = self;
        without_nothing(json!({
            "cgroup": cgroup,
            "socketGroup": socket_group,
            "bridgeUser": bridge_user,
            "crashLoopBackOff": {
                "initialSeconds": backoff.initial.as_secs_f64(),
                "maxSeconds": backoff.max.as_secs_f64(),
            },
            "containerLogMaxSize": log_max_size.to_string(),
            "containerLogMaxFiles": log_max_files,
            "probeAddress": probe_address,
            "clusterDNS": cluster_dns,
            "nodeLabels": node_labels,
            "resources": of_resources(resources),
            "seccompDefault": seccomp_default,
        }))
    }
}

fn of_resources(rules: &ResourceRules) -> Value {
    let ResourceRules { groups, reserved, max_pods, pressure, reserved_cpus } = rules;
    let Rules { period_us, pod_pids, reserve_memory } = groups;
    let PressureRules { thresholds, max_grace, transition, exempt_from } = pressure;
    let (hard, soft): (Vec<_>, Vec<_>) = thresholds.iter().partition(|threshold| threshold.patience.is_none());
    let cpus = reserved_cpus.as_ref().map(|cpus| cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    without_nothing(json!({
        "systemReserved": of_amounts(reserved),
        "maxPods": max_pods,
        "podPidsLimit": pod_pids,
        "evictionHard": by_signal(&hard, |threshold| Some(text(threshold.least))),
        "evictionExemptPriority": exempt_from,
        "evictionSoft": by_signal(&soft, |threshold| Some(text(threshold.least))),
        "evictionSoftGracePeriod": by_signal(&soft, |threshold| threshold.patience.map(span)),
        "evictionMaxPodGracePeriod": max_grace.as_secs(),
        "evictionMinimumReclaim": by_signal(&hard, |threshold| {
            Some(text(threshold.reclaim)).filter(|_| threshold.reclaim != Least::Amount(0))
        }),
        "evictionPressureTransitionPeriod": span(*transition),
        "cpuCFSQuotaPeriodMilliseconds": period_us / 1000,
        "memoryReservationPolicy": if *reserve_memory { "TieredReservation" } else { "None" },
        "cpuManagerPolicy": if cpus.is_some() { "static" } else { "none" },
        "reservedSystemCPUs": cpus,
    }))
}

fn of_amounts(amounts: &Amounts) -> Value {
    let Amounts { cpu, memory, storage, huge_two_mi, huge_one_gi } = amounts;
    let bytes = |bytes: &Bytes| (bytes.0 > 0).then(|| bytes.to_string());
    without_nothing(json!({
        "cpu": (cpu.0 > 0).then(|| cpu.to_string()),
        "memory": bytes(memory),
        "ephemeral-storage": bytes(storage),
        "hugepages-2Mi": bytes(huge_two_mi),
        "hugepages-1Gi": bytes(huge_one_gi),
    }))
}

fn by_signal(thresholds: &[&Threshold], value: impl Fn(&Threshold) -> Option<String>) -> Map<String, Value> {
    let one = |threshold: &&Threshold| Some((threshold.signal.name().to_owned(), Value::from(value(threshold)?)));
    thresholds.iter().filter_map(one).collect()
}

fn text(least: Least) -> String {
    match least {
        Least::Amount(bytes) => Bytes(bytes).to_string(),
        Least::Percent(percent) => format!("{percent}%"),
    }
}

fn span(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Config {
        super::super::parse(Path::new("barepod.yaml"), text).unwrap()
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_configuration() {
        let full = "cgroup: a/b\nsocketGroup: g\nbridgeUser: u\ncrashLoopBackOff: {initialSeconds: 0.5, maxSeconds: 9}\n\
            containerLogMaxSize: 3Mi\ncontainerLogMaxFiles: 7\nprobeAddress: '::1'\nclusterDNS: [10.0.0.1, 10.0.0.2]\n\
            nodeLabels: {disk: fast}\nseccompDefault: false\nresources:\n  systemReserved: {cpu: 1500m, memory: 1Gi, \
            ephemeral-storage: 2Gi, hugepages-2Mi: 4Mi, hugepages-1Gi: 1Gi}\n  maxPods: 7\n  podPidsLimit: 9\n  evictionHard: \
            {memory.available: 200Mi, nodefs.available: 12%}\n  evictionExemptPriority: 5\n  evictionSoft: {memory.available: \
            1Gi}\n  evictionSoftGracePeriod: {memory.available: 1m30s}\n  evictionMaxPodGracePeriod: 60\n  \
            evictionMinimumReclaim: {nodefs.available: 1Gi}\n  evictionPressureTransitionPeriod: 30s\n  \
            cpuCFSQuotaPeriodMilliseconds: 50\n  memoryReservationPolicy: TieredReservation\n  cpuManagerPolicy: static\n  \
            reservedSystemCPUs: 0-1,4\n";
        for text in ["", full] {
            let config = read(text);
            let shown = serde_saphyr::to_string(&config.shown()).unwrap();
            assert_eq!(read(&shown), config, "{shown}");
        }
    }
}
