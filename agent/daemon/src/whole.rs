//! What this host has in all.

use std::collections::BTreeMap;
use std::path::Path;

use barepod_core::CpuSet;
use barepod_model::{Amounts, Bytes, HugePageSize};
use barepod_reader::host_facts;

use crate::config::resources::cpu_list;

/// What the host has in all.
pub(crate) fn amounts(state: &Path) -> Amounts {
    let facts = host_facts(state, &BTreeMap::new());
    let pages = |size: HugePageSize| {
        let kib = size.bytes().0 >> 10;
        let file = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
        let count = fs_err::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        Bytes(count * size.bytes().0)
    };
    Amounts {
        cpu: facts.cpu,
        memory: facts.memory,
        storage: facts.ephemeral_storage,
        huge_two_mi: pages(HugePageSize::TwoMi),
        huge_one_gi: pages(HugePageSize::OneGi),
    }
}

/// The threads of each core that is there, those of one socket together; `root` is normally `/sys/devices/system/cpu`.
pub(crate) fn cores(root: &Path) -> Vec<CpuSet> {
    let text = |path: std::path::PathBuf| fs_err::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let online = text(root.join("online")).and_then(|text| cpu_list(&text)).unwrap_or_default();
    let mut cores: Vec<(u32, CpuSet)> = Vec::new();
    for cpu in &online {
        let topology = root.join(format!("cpu{cpu}/topology"));
        let siblings = text(topology.join("thread_siblings_list")).and_then(|text| cpu_list(&text));
        let siblings: CpuSet = siblings.unwrap_or_else(|| [*cpu].into()).intersection(&online).copied().collect();
        let socket = text(topology.join("physical_package_id")).and_then(|text| text.parse().ok()).unwrap_or(0);
        if !cores.iter().any(|(_, core)| core.contains(cpu)) {
            cores.push((socket, siblings));
        }
    }
    cores.sort();
    cores.into_iter().map(|(_, core)| core).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_core_are_found_together() {
        let root = tempfile::tempdir().unwrap();
        fs_err::write(root.path().join("online"), "0-3\n").unwrap();
        for (cpu, siblings, socket) in [(0, "0,2", "1"), (1, "1,3", "0"), (2, "0,2", "1"), (3, "1,3", "0")] {
            let topology = root.path().join(format!("cpu{cpu}/topology"));
            fs_err::create_dir_all(&topology).unwrap();
            fs_err::write(topology.join("thread_siblings_list"), siblings).unwrap();
            fs_err::write(topology.join("physical_package_id"), socket).unwrap();
        }
        assert_eq!(cores(root.path()), [CpuSet::from([1, 3]), CpuSet::from([0, 2])]);
    }

    #[test]
    fn this_host_has_cpus_and_memory() {
        let all = amounts(Path::new("/"));
        assert!(all.cpu.0 >= 1000 && all.memory.0 > 0 && all.storage.0 > 0, "{all:?}");
        assert!(!cores(Path::new("/sys/devices/system/cpu")).is_empty());
    }
}
