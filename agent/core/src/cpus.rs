//! CPUs that one container has for itself: kubelet's static CPU manager policy.
//!
//! A container of a guaranteed pod that asks for whole CPUs gets so many of its own when its pod is begun, and keeps them
//! until nothing of the pod lives, over restarts of the daemon too. All others share the rest, reserved CPUs among it. Whole
//! cores are given before single threads of cores. What others have for themselves, as Nomad's tasks with `cores` have, is
//! nobody's here, whatever the policy.

use std::collections::{BTreeMap, BTreeSet};

use barepod_model::{ContainerKey, ContainerName, Pod, PodUid, QosClass, Reason};
use serde::{Deserialize, Serialize};

use crate::admission::Blocker;
use crate::capacity::{Capacity, has_something};
use crate::planted::{self, Fault};
use crate::pod::PodMachine;

/// CPUs by the kernel's numbers.
pub type CpuSet = BTreeSet<u32>;

/// The CPUs of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CpuPool {
    /// The threads of each core, those of one socket together.
    pub cores: Vec<CpuSet>,
    /// Never given to a container alone; `None` where no container gets any.
    pub reserved: Option<CpuSet>,
}

impl CpuPool {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> CpuSet {
        self.cores.iter().flatten().copied().collect()
    }
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CpuTable {
    /// Containers that have CPUs for themselves.
    pub exclusive: BTreeMap<ContainerKey, CpuSet>,
    /// All other containers.
    pub shared: CpuSet,
}

/// The whole CPUs that a container wants for itself, if it does. One whose pod asks as a whole does not (kubelet's
/// `guaranteedCPUs`).
fn wanted(pod: &Pod) -> BTreeMap<ContainerName, usize> {
    if pod.qos() != QosClass::Guaranteed || pod.resources.level.is_some() {
        return BTreeMap::new();
    }
    let whole = |milli: u64| (milli > 0 && milli.is_multiple_of(1000)).then_some((milli / 1000) as usize);
    let of = pod.containers.iter().filter_map(|container| {
        let count = whole(container.resources.cpu_request?.0)?;
        Some((container.name.clone(), count))
    });
    of.collect()
}

/// What all pods that have been begun have for themselves.
fn taken(pods: &BTreeMap<PodUid, PodMachine>) -> impl Iterator<Item = (&PodMachine, &BTreeMap<ContainerName, CpuSet>)> {
    pods.values().filter(|pod| has_something(pod)).map(|pod| (pod, &pod.record.exclusive))
}

/// Picks the CPUs for a pod that is about to be begun.
pub(crate) fn pick(
    pods: &BTreeMap<PodUid, PodMachine>,
    host: Option<&Capacity>,
    uid: &PodUid,
) -> Result<BTreeMap<ContainerName, CpuSet>, Blocker> {
    let (Some(host), Some(pod)) = (host, pods.get(uid)) else { return Ok(BTreeMap::new()) };
    let Some(reserved) = &host.cpus.reserved else { return Ok(BTreeMap::new()) };
    let pool = &host.cpus;
    let mut gone = reserved | &host.others.cpus;
    if !planted::on(Fault::CpuGivenTwice) {
        let others = taken(pods).filter(|(other, _)| other.uid() != uid);
        gone.extend(others.flat_map(|(_, sets)| sets.values().flatten()));
    }
    let mut picked = BTreeMap::new();
    for (name, count) in wanted(&pod.record.pod) {
        let free: Vec<CpuSet> = pool.cores.iter().map(|core| core - &gone).collect();
        let available = free.iter().map(CpuSet::len).sum::<usize>();
        if available < count {
            let figures = format!("requested={count}, available={available}");
            let message = format!("not enough cpus available to satisfy request: {figures} (container {name})");
            return Err(Blocker { reason: Reason::OutOfcpu, message });
        }
        let set = from(&free, &pool.cores, count);
        gone.extend(&set);
        picked.insert(name, set);
    }
    Ok(picked)
}

/// Whether one of these belongs to a pod that has been begun.
pub(crate) fn are_anothers(pods: &BTreeMap<PodUid, PodMachine>, sets: &BTreeMap<ContainerName, CpuSet>) -> bool {
    taken(pods).flat_map(|(_, theirs)| theirs.values()).any(|theirs| sets.values().any(|set| !set.is_disjoint(theirs)))
}

/// Whole cores as long as one is wanted whole, then threads of cores that are in use already, then of others.
fn from(free: &[CpuSet], cores: &[CpuSet], count: usize) -> CpuSet {
    let mut set = CpuSet::new();
    for (free, core) in free.iter().zip(cores) {
        if free == core && !core.is_empty() && core.len() <= count - set.len() {
            set.extend(free);
        }
    }
    let mut rest: Vec<_> = free.iter().zip(cores).collect();
    rest.sort_by_key(|(free, core)| free.len() == core.len());
    let singles = rest.into_iter().flat_map(|(free, _)| free).filter(|cpu| !set.contains(cpu));
    let singles: Vec<u32> = singles.copied().take(count - set.len()).collect();
    set.extend(singles);
    set
}

/// Who runs where, as things are; `None` where all run everywhere and are not told so.
pub(crate) fn table(pods: &BTreeMap<PodUid, PodMachine>, host: &Capacity) -> Option<CpuTable> {
    let (pool, others) = (&host.cpus, &host.others.cpus);
    if pool.reserved.is_none() && others.is_empty() {
        return None;
    }
    let mut table = CpuTable { exclusive: BTreeMap::new(), shared: &pool.all() - others };
    for (pod, sets) in taken(pods) {
        for (name, set) in sets {
            table.shared = &table.shared - set;
            table.exclusive.insert(pod.key(name), set.clone());
        }
    }
    // A configuration that reserves fewer may leave the others nothing, and so may a Nomad client: what is reserved is theirs
    // in any case, and nothing can run nowhere.
    if table.shared.is_empty() {
        table.shared = pool.reserved.clone().unwrap_or_else(|| pool.all());
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cpus: &[u32]) -> CpuSet {
        cpus.iter().copied().collect()
    }

    #[test]
    fn whole_cores_come_first_and_single_threads_from_cores_in_use() {
        let cores = [set(&[0, 4]), set(&[1, 5]), set(&[2, 6]), set(&[3, 7])];
        let free = [set(&[4]), set(&[1, 5]), set(&[2, 6]), set(&[3, 7])];
        assert_eq!(from(&free, &cores, 1), set(&[4]));
        assert_eq!(from(&free, &cores, 2), set(&[1, 5]));
        assert_eq!(from(&free, &cores, 3), set(&[1, 4, 5]));
        assert_eq!(from(&free, &cores, 7), set(&[1, 2, 3, 4, 5, 6, 7]));
    }
}
