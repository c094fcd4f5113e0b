//! Limits on temporary directories that stand for v2; `as_root` on this host's own controllers.

use std::fs;

use barepod_model::{ContainerName, MilliCpu, PodUid};

use super::*;
use crate::cgroup::Hierarchy;
use crate::cgroup::testing::bare;

fn key() -> ContainerKey {
    ContainerKey { pod: PodUid::new("u").unwrap(), container: ContainerName::new("db").unwrap() }
}

const CONTAINER_FILES: [(&str, &str); 7] = [
    ("memory.max", "max"),
    ("memory.swap.max", "max"),
    ("memory.current", "4096"),
    ("memory.stat", "inactive_file 1024\nactive_file 1024"),
    ("cpu.max", "max 100000"),
    ("cpu.weight", "100"),
    ("pids.max", "max"),
];

/// A directory that looks like the container's group on v2.
fn unified() -> (tempfile::TempDir, Groups, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("cgroup.controllers"), "cpu memory pids").unwrap();
    let container = root.path().join("barepod/podu/db");
    fs::create_dir_all(&container).unwrap();
    for dir in [root.path().join("barepod"), root.path().to_owned()] {
        fs::write(dir.join("cgroup.controllers"), "cpu memory pids").unwrap();
        fs::write(dir.join("cgroup.subtree_control"), "cpu memory pids").unwrap();
    }
    for (file, contents) in CONTAINER_FILES {
        fs::write(container.join(file), contents).unwrap();
    }
    let groups = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap();
    (root, groups, container)
}

fn resources(memory: u64) -> Resources {
    Resources {
        cpu_request: Some(MilliCpu(1000)),
        cpu_limit: Some(MilliCpu(2000)),
        memory_request: None,
        memory_limit: Some(Bytes(memory)),
        pids_limit: Some(64),
        ..Resources::default()
    }
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[test]
fn on_v2_limits_are_written_where_the_kernel_reads_them() {
    let (_root, groups, dir) = unified();
    assert_eq!(groups.apply(&key(), &resources(1 << 20)).unwrap(), []);
    assert_eq!(text(&dir, "memory.max"), "1048576");
    assert_eq!(text(&dir, "memory.swap.max"), "0");
    assert_eq!(text(&dir, "cpu.max"), "200000 100000");
    assert_eq!(text(&dir, "cpu.weight"), "100");
    assert_eq!(text(&dir, "pids.max"), "64");
}

#[test]
fn on_v2_no_limit_is_max() {
    let (_root, groups, dir) = unified();
    groups.apply(&key(), &resources(1 << 20)).unwrap();
    groups.apply(&key(), &Resources::default()).unwrap();
    assert_eq!(text(&dir, "memory.max"), "max");
    assert_eq!(text(&dir, "memory.swap.max"), "max");
    assert_eq!(text(&dir, "cpu.max"), "max 100000");
    assert_eq!(text(&dir, "pids.max"), "max");
    let found = groups.in_force(&key()).unwrap();
    assert_eq!(found, InForce { memory: None, cpu_quota_us: None, cpu_weight: Some(1), pids: None });
}

#[test]
fn on_v2_a_limit_below_what_is_used_is_refused_and_nothing_changes() {
    let (_root, groups, dir) = unified();
    groups.apply(&key(), &resources(1 << 20)).unwrap();
    let before = groups.in_force(&key()).unwrap();
    let lower = Resources { pids_limit: Some(1), ..resources(1024) };
    let refused = groups.apply(&key(), &lower).unwrap_err();
    assert!(matches!(refused, CgroupError::InUse { limit: Bytes(1024), used: Bytes(2048), .. }), "{refused:?}");
    assert_eq!(groups.in_force(&key()).unwrap(), before);
    assert_eq!(text(&dir, "memory.max"), "1048576");
}

#[test]
fn on_v2_cache_is_given_back_before_the_limit_is_lowered() {
    let (_root, groups, dir) = unified();
    fs::write(dir.join("memory.reclaim"), "").unwrap();
    let refused = groups.apply(&key(), &resources(3072)).unwrap_err();
    assert_eq!(text(&dir, "memory.reclaim"), "1024", "what is used above the new limit");
    assert!(matches!(refused, CgroupError::InUse { used: Bytes(4096), .. }));
}

#[test]
fn a_write_refused_half_way_brings_the_old_limits_back() {
    let (_root, groups, dir) = unified();
    groups.apply(&key(), &resources(1 << 20)).unwrap();
    fs::write(dir.join("cpu.max"), "garbage").unwrap();
    // cpu.max comes after memory.max; it cannot be read, so nothing may be changed at all.
    assert!(groups.apply(&key(), &resources(2 << 20)).is_err());
    assert_eq!(text(&dir, "memory.max"), "1048576");
}

#[test]
fn a_limit_without_a_controller_is_reported() {
    let root = tempfile::tempdir().unwrap();
    let hierarchy = bare(root.path());
    let groups = Groups::open(hierarchy, "barepod").unwrap();
    let missing: Vec<_> =
        groups.apply(&key(), &resources(1 << 20)).unwrap().into_iter().map(|missing| missing.controller).collect();
    assert_eq!(missing, [Controller::Memory, Controller::Cpu, Controller::Pids]);
}

mod as_root {
    use std::process::{Child, Command, Stdio};

    use barepod_model::Attempt;

    use super::*;
    use crate::cgroup::testing::RealGroups;

    fn prepared(real: &RealGroups) {
        crate::cgroup::testing::prepare(&real.groups, &key().pod);
        real.groups.prepare_container(&key()).unwrap();
    }

    fn hold(real: &RealGroups, megabytes: usize) -> Child {
        let leaf = real.groups.make_leaf(&key(), Attempt(0)).unwrap();
        let script = format!(
            "for dir in {}; do echo 0 > $dir/cgroup.procs; done; \
             exec head -c {megabytes}m /dev/zero | {{ data=$(tr '\\0' x); echo ready; read forever; echo ${{#data}}; }}",
            leaf.legacy.iter().chain([&leaf.unified]).map(|dir| dir.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        );
        let mut child =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[test]
    fn limits_are_in_force_in_the_kernel_and_move_both_ways() {
        let real = RealGroups::new("limits");
        prepared(&real);
        for megabytes in [64, 256, 32] {
            real.groups.apply(&key(), &resources(megabytes << 20)).unwrap();
            let found = real.groups.in_force(&key()).unwrap();
            assert_eq!(found.memory, Some(megabytes << 20));
            assert_eq!(found.cpu_quota_us, Some(200_000));
            assert_eq!(found.pids, Some(64));
        }
        real.groups.apply(&key(), &Resources::default()).unwrap();
        let free = real.groups.in_force(&key()).unwrap();
        assert_eq!((free.memory, free.cpu_quota_us, free.pids), (None, None, None));
    }

    #[test]
    fn a_limit_below_the_memory_in_use_is_refused_and_the_process_lives() {
        let real = RealGroups::new("in-use");
        prepared(&real);
        real.groups.apply(&key(), &resources(256 << 20)).unwrap();
        let mut child = hold(&real, 40);
        let used = real.groups.usage(&key()).unwrap();
        assert!(used.memory > Some(40 << 20), "{used:?}");
        assert!(used.pids >= Some(1) && used.cpu_us > Some(0), "{used:?}");

        let refused = real.groups.apply(&key(), &resources(8 << 20)).unwrap_err();

        assert!(matches!(refused, CgroupError::InUse { .. }), "{refused:?}");
        assert_eq!(real.groups.in_force(&key()).unwrap().memory, Some(256 << 20));
        assert_eq!(real.groups.oom_kills(&key(), Attempt(0)).unwrap(), Some(0));
        assert!(child.try_wait().unwrap().is_none());
        real.groups.kill(&key(), Attempt(0)).unwrap();
        child.wait().unwrap();
        while !real.groups.is_empty(&key(), Attempt(0)).unwrap() {
            std::thread::yield_now();
        }
    }
}
