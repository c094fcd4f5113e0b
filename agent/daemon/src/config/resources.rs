//! What the configuration says of the host's resources, in kubelet's words.

use std::collections::BTreeMap;

use barepod_core::{Capacity, CpuPool, CpuSet, PressureRules};
use barepod_linux::cgroup::Rules;
use barepod_model::{Amounts, Bytes, MilliCpu};
use serde::Deserialize;

use super::eviction;

/// The keys as they are written.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Raw {
    max_pods: Option<u64>,
    pod_pids_limit: Option<u64>,
    system_reserved: BTreeMap<String, String>,
    eviction_hard: BTreeMap<String, String>,
    eviction_soft: BTreeMap<String, String>,
    eviction_soft_grace_period: BTreeMap<String, String>,
    eviction_minimum_reclaim: BTreeMap<String, String>,
    eviction_max_pod_grace_period: Option<u64>,
    eviction_pressure_transition_period: Option<String>,
    eviction_exempt_priority: Option<i32>,
    #[serde(rename = "cpuCFSQuotaPeriodMilliseconds")]
    cpu_cfs_quota_period_milliseconds: Option<u64>,
    memory_reservation_policy: Option<String>,
    cpu_manager_policy: Option<String>,
    #[serde(rename = "reservedSystemCPUs")]
    reserved_system_cpus: Option<String>,
}

impl Raw {
    fn eviction(&self) -> eviction::Raw {
        eviction::Raw {
            hard: self.eviction_hard.clone(),
            soft: self.eviction_soft.clone(),
            soft_grace_period: self.eviction_soft_grace_period.clone(),
            minimum_reclaim: self.eviction_minimum_reclaim.clone(),
            max_pod_grace_period: self.eviction_max_pod_grace_period,
            pressure_transition_period: self.eviction_pressure_transition_period.clone(),
            exempt_priority: self.eviction_exempt_priority,
        }
    }
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourceRules {
    /// For all groups.
    pub(crate) groups: Rules,
    /// What of the host is not for pods.
    pub(crate) reserved: Amounts,
    /// So many pods at most.
    pub(crate) max_pods: Option<u64>,
    /// When the host is short of something, and who goes for it.
    pub(crate) pressure: PressureRules,
    /// CPUs that no container gets for itself; `None` if none gets any.
    pub(crate) reserved_cpus: Option<CpuSet>,
}

impl ResourceRules {
    /// What is left for pods on a host that has so much.
    /// `cores` are the threads of each of its cores.
    pub(crate) fn capacity(&self, host: Amounts, cores: Vec<CpuSet>) -> Capacity {
        let cpus = CpuPool { cores, reserved: self.reserved_cpus.clone() };
        Capacity { amounts: host.less(self.reserved), pods: self.max_pods, cpus, ..Capacity::default() }
    }
}

/// Reads the keys.
///
/// # Errors
/// The key, and what is wrong with its value.
pub(super) fn parse(raw: &Raw) -> Result<ResourceRules, (&'static str, String)> {
    let mut groups = Rules { pod_pids: raw.pod_pids_limit, ..Rules::default() };
    if raw.pod_pids_limit == Some(0) {
        let message = "a pod without processes does not run; leave it out for no limit".to_owned();
        return Err(("resources.podPidsLimit", message));
    }
    if let Some(period) = raw.cpu_cfs_quota_period_milliseconds {
        // The kernel's own bounds (`min_cfs_quota_period`, `max_cfs_quota_period`).
        if !(1..=1000).contains(&period) {
            let message = format!("{period} is not from 1 to 1000");
            return Err(("resources.cpuCFSQuotaPeriodMilliseconds", message));
        }
        groups.period_us = period * 1000;
    }
    groups.reserve_memory = match raw.memory_reservation_policy.as_deref() {
        None | Some("None") => false,
        Some("TieredReservation") => true,
        Some(other) => {
            let message = format!("there is no policy {other:?}; write None or TieredReservation");
            return Err(("resources.memoryReservationPolicy", message));
        }
    };
    let reserved = reserved(&raw.system_reserved).map_err(|message| ("resources.systemReserved", message))?;
    let reserved_cpus = reserved_cpus(raw)?;
    let pressure = eviction::parse(&raw.eviction())?;
    Ok(ResourceRules { groups, reserved, max_pods: raw.max_pods, pressure, reserved_cpus })
}

/// The static policy needs some: somebody must do the rest.
fn reserved_cpus(raw: &Raw) -> Result<Option<CpuSet>, (&'static str, String)> {
    const KEY: &str = "resources.reservedSystemCPUs";
    let listed = raw.reserved_system_cpus.as_deref().map(|text| {
        cpu_list(text).ok_or_else(|| (KEY, format!("{text:?} is no list of CPUs; write for example 0-1,4")))
    });
    match (raw.cpu_manager_policy.as_deref(), listed.transpose()?) {
        (None | Some("none"), None) => Ok(None),
        (None | Some("none"), Some(_)) => Err((KEY, "it has no effect without cpuManagerPolicy: static".to_owned())),
        (Some("static"), Some(listed)) if !listed.is_empty() => Ok(Some(listed)),
        (Some("static"), _) => Err((KEY, "the static policy needs at least one; write for example 0".to_owned())),
        (Some(other), _) => {
            let message = format!("there is no policy {other:?}; write none or static");
            Err(("resources.cpuManagerPolicy", message))
        }
    }
}

/// CPUs as the kernel writes them: `0-2,5`.
pub(crate) fn cpu_list(text: &str) -> Option<CpuSet> {
    let mut cpus = CpuSet::new();
    for word in text.trim().split(',').filter(|word| !word.is_empty()) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        if first > last || last > 8191 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

fn reserved(raw: &BTreeMap<String, String>) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for (name, text) in raw {
        let bytes = || text.parse::<Bytes>().map_err(|error| error.to_string());
        match name.as_str() {
            "cpu" => amounts.cpu = text.parse::<MilliCpu>().map_err(|error| error.to_string())?,
            "memory" => amounts.memory = bytes()?,
            "ephemeral-storage" => amounts.storage = bytes()?,
            "hugepages-2Mi" => amounts.huge_two_mi = bytes()?,
            "hugepages-1Gi" => amounts.huge_one_gi = bytes()?,
            other => {
                return Err(format!(
                    "{other:?} cannot be reserved; use cpu, memory, ephemeral-storage, hugepages-2Mi or hugepages-1Gi"
                ));
            }
        }
    }
    Ok(amounts)
}
