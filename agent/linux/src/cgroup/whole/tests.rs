//! Pods as a whole, on temporary directories that stand for v2.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use barepod_model::{HugePages, Io, IoMax, MilliCpu, PodResources, Resources};

use super::*;
use crate::cgroup::testing::bare;
use crate::cgroup::{Hierarchy, Rules};
use crate::testing::{container, pod};

const GROUP: [(&str, &str); 17] = [
    ("memory.max", "max"),
    ("memory.swap.max", "max"),
    ("memory.current", "4096"),
    ("memory.stat", "inactive_file 0\nactive_file 0"),
    ("memory.min", "0"),
    ("memory.low", "0"),
    ("memory.oom.group", "0"),
    ("cpu.max", "max 100000"),
    ("cpu.weight", "100"),
    ("pids.max", "max"),
    ("io.max", ""),
    ("io.weight", ""),
    ("cgroup.procs", ""),
    ("hugetlb.2MB.max", "max"),
    ("hugetlb.2MB.rsvd.max", "max"),
    ("hugetlb.1GB.max", "max"),
    ("cgroup.controllers", ""),
];

/// Directories that look like the groups of this pod on v2.
fn unified(pod: &Pod, rules: Rules) -> (tempfile::TempDir, Groups, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("barepod/podu");
    let groups: Vec<_> = pod.containers.iter().map(|container| own.join(container.name.as_str())).collect();
    groups.iter().for_each(|group| fs::create_dir_all(group).unwrap());
    for dir in groups.iter().chain([&own, &root.path().join("barepod")]) {
        GROUP.iter().for_each(|(file, contents)| fs::write(dir.join(file), contents).unwrap());
    }
    for dir in [root.path().to_owned(), root.path().join("barepod"), own.clone()] {
        fs::write(dir.join("cgroup.controllers"), "cpu memory pids io hugetlb").unwrap();
        fs::write(dir.join("cgroup.subtree_control"), "cpu memory pids io hugetlb").unwrap();
    }
    let groups = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap().with_rules(rules);
    (root, groups, own)
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

fn limited(cpu: u64, memory: u64) -> Resources {
    Resources {
        cpu_request: Some(MilliCpu(cpu)),
        cpu_limit: Some(MilliCpu(cpu)),
        memory_request: Some(Bytes(memory)),
        memory_limit: Some(Bytes(memory)),
        ..Resources::default()
    }
}

/// Two containers, of which one has a limit of its own, in a pod of 2 CPUs and 64 MiB.
fn shared() -> Pod {
    let mut pod = pod("u", vec![container("db"), container("side")]);
    pod.containers[0].resources = limited(500, 16 << 20);
    pod.resources = PodResources { level: Some(limited(2000, 64 << 20)), io: Io::default() };
    pod
}

fn put(groups: &Groups, pod: &Pod) -> Vec<Unenforced> {
    let mut unenforced = Vec::new();
    for container in &pod.containers {
        unenforced.extend(groups.apply_container(pod, container).unwrap());
    }
    unenforced.extend(groups.apply_pod(pod).unwrap());
    unenforced
}

#[test]
fn a_pod_is_limited_as_a_whole_and_a_container_without_limits_by_those_of_its_pod() {
    let pod = shared();
    let (_root, groups, dir) = unified(&pod, Rules::default());
    assert_eq!(put(&groups, &pod), []);
    assert_eq!(text(&dir, "memory.max"), (64 << 20).to_string());
    assert_eq!(text(&dir, "cpu.max"), "200000 100000");
    assert_eq!(text(&dir, "cpu.weight"), "174", "2048 shares");
    assert_eq!(text(&dir.join("db"), "memory.max"), (16 << 20).to_string());
    assert_eq!(text(&dir.join("db"), "cpu.max"), "50000 100000");
    assert_eq!(text(&dir.join("side"), "memory.max"), (64 << 20).to_string());
    assert_eq!(text(&dir.join("side"), "cpu.max"), "200000 100000");
}

#[test]
fn a_pod_that_says_nothing_of_itself_has_the_weight_of_its_containers_and_no_limit() {
    let mut pod = shared();
    pod.resources.level = None;
    let (_root, groups, dir) = unified(&pod, Rules::default());
    put(&groups, &pod);
    assert_eq!((text(&dir, "memory.max").as_str(), text(&dir, "cpu.max").as_str()), ("max", "max 100000"));
    assert_eq!(text(&dir, "cpu.weight"), "59", "512 shares");
    pod.containers[0].resources = Resources::default();
    put(&groups, &pod);
    assert_eq!(text(&dir, "cpu.weight"), "1", "who asks for nothing comes last");
}

#[test]
fn limits_of_the_whole_move_both_ways() {
    let mut pod = shared();
    let (_root, groups, dir) = unified(&pod, Rules::default());
    for (cpu, memory) in [(2000, 64 << 20), (4000, 128 << 20), (1000, 32 << 20)] {
        pod.resources.level = Some(limited(cpu, memory));
        put(&groups, &pod);
        assert_eq!(text(&dir, "memory.max"), memory.to_string());
        assert_eq!(text(&dir, "cpu.max"), format!("{} 100000", cpu * 100));
        assert_eq!(text(&dir.join("side"), "memory.max"), memory.to_string());
    }
}

#[test]
fn another_period_is_kept_to() {
    let pod = shared();
    let (_root, groups, dir) = unified(&pod, Rules { period_us: 20_000, ..Rules::default() });
    put(&groups, &pod);
    assert_eq!(text(&dir, "cpu.max"), "40000 20000");
    assert_eq!(groups.pod_in_force(&pod.uid).unwrap().cpu_quota_us, Some(40_000));
}

#[test]
fn processes_of_a_pod_are_limited_where_the_administrator_says_so() {
    let pod = shared();
    let (_root, groups, dir) = unified(&pod, Rules { pod_pids: Some(300), ..Rules::default() });
    put(&groups, &pod);
    assert_eq!((text(&dir, "pids.max").as_str(), text(&dir.join("db"), "pids.max").as_str()), ("300", "max"));
}

#[test]
fn requested_memory_is_reserved_only_where_the_administrator_says_so() {
    let pod = shared();
    let (_root, groups, dir) = unified(&pod, Rules::default());
    put(&groups, &pod);
    assert_eq!(text(&dir, "memory.min"), "0");
    let (root, groups, dir) = unified(&pod, Rules { reserve_memory: true, ..Rules::default() });
    put(&groups, &pod);
    assert_eq!(text(&dir, "memory.min"), (64 << 20).to_string(), "guaranteed");
    assert_eq!(text(&dir.join("db"), "memory.min"), (16 << 20).to_string());
    assert_eq!(text(&root.path().join("barepod"), "memory.min"), (64 << 20).to_string(), "and above it");
    let mut burstable = shared();
    burstable.resources.level.as_mut().unwrap().cpu_limit = None;
    let (_root, groups, dir) = unified(&burstable, Rules { reserve_memory: true, ..Rules::default() });
    put(&groups, &burstable);
    assert_eq!((text(&dir, "memory.min").as_str(), text(&dir, "memory.low")), ("0", (64 << 20).to_string()));
}

#[test]
fn whether_one_process_takes_the_others_with_it_is_the_containers() {
    let mut pod = shared();
    pod.containers[0].oom_group = true;
    let (_root, groups, dir) = unified(&pod, Rules::default());
    put(&groups, &pod);
    assert_eq!(text(&dir.join("db"), "memory.oom.group"), "1");
    assert_eq!(text(&dir.join("side"), "memory.oom.group"), "0");
}

#[test]
fn huge_pages_are_limited_to_what_is_asked_for_and_else_to_none() {
    let mut pod = shared();
    let two = HugePages { two_mi: Some(Bytes(4 << 20)), one_gi: None };
    pod.containers[0].resources.huge_pages = two;
    pod.resources.level.as_mut().unwrap().huge_pages = two;
    let (_root, groups, dir) = unified(&pod, Rules::default());
    assert_eq!(put(&groups, &pod), []);
    for (dir, pages) in [(dir.join("db"), "4194304"), (dir.join("side"), "0"), (dir, "4194304")] {
        assert_eq!(text(&dir, "hugetlb.2MB.max"), pages);
    }
    let root = tempfile::tempdir().unwrap();
    let groups = Groups::open(bare(root.path()), "barepod").unwrap();
    let missed: BTreeSet<_> = put(&groups, &pod).into_iter().map(|missed| missed.what).collect();
    assert!(missed.contains("huge pages"), "{missed:?}");
}

#[test]
fn disks_are_limited_by_device() {
    let mut pod = shared();
    let max = IoMax { device: "7:1".to_owned(), rbps: Some(1000), ..IoMax::default() };
    pod.resources.io = Io { weight: Some(250), max: vec![max] };
    let (_root, groups, dir) = unified(&pod, Rules::default());
    assert_eq!(put(&groups, &pod), []);
    assert_eq!(text(&dir, "io.weight"), "default 250");
    assert_eq!(text(&dir, "io.max"), "7:1 rbps=1000 wbps=max riops=max wiops=max");
    let root = tempfile::tempdir().unwrap();
    let groups = Groups::open(bare(root.path()), "barepod").unwrap();
    let missed = put(&groups, &pod);
    assert!(missed.iter().any(|missed| missed.to_string().contains("io weight")), "{missed:?}");
}
