//! The tree, on temporary directories that stand for mounts; `as_root` uses this host's own control groups.

use super::*;
use crate::cgroup::testing::bare;

const UID: &str = "0d5e5a46-7bd4-4a7e-9d2a-0ab5c4e7a111";

fn key(container: &str) -> ContainerKey {
    ContainerKey { pod: PodUid::new(UID).unwrap(), container: ContainerName::new(container).unwrap() }
}

fn hybrid() -> (tempfile::TempDir, Groups) {
    let root = tempfile::tempdir().unwrap();
    for (mount, file) in [("unified", "cgroup.controllers"), ("memory", "cgroup.procs"), ("cpu", "cgroup.procs")] {
        fs::create_dir(root.path().join(mount)).unwrap();
        fs::write(root.path().join(mount).join(file), "").unwrap();
    }
    let hierarchy = Hierarchy::detect(root.path()).unwrap();
    let groups = Groups::open(hierarchy, "barepod").unwrap();
    (root, groups)
}

fn pod_with(groups: &Groups, container: &str) -> ContainerKey {
    let key = key(container);
    crate::cgroup::testing::prepare(groups, &key.pod);
    groups.prepare_container(&key).unwrap();
    key
}

#[test]
fn a_leaf_lies_under_its_container_and_its_pod() {
    let (root, groups) = hybrid();
    let key = pod_with(&groups, "db");
    let leaf = groups.make_leaf(&key, Attempt(3)).unwrap();
    let base = format!("barepod/shop_front_{UID}/db");
    assert_eq!(leaf.unified, root.path().join("unified").join(&base).join("3"));
    let memory = root.path().canonicalize().unwrap().join("memory").join(&base).join("3");
    assert_eq!(leaf.legacy_memory, Some(memory.clone()));
    assert!(leaf.unified.is_dir() && memory.is_dir());
    assert!(leaf.legacy.iter().all(|path| path.is_dir()), "{:?}", leaf.legacy);
}

#[test]
fn a_pod_keeps_the_group_that_an_earlier_release_has_made_and_a_new_one_has_its_name() {
    let (root, groups) = hybrid();
    let base = root.path().join("unified/barepod");
    fs::create_dir_all(base.join(format!("pod{UID}/db/4"))).unwrap();

    let key = pod_with(&groups, "db");

    assert_eq!(groups.leaf(&key, Attempt(4)).unified, base.join(format!("pod{UID}/db/4")));
    assert_eq!(children(&base).unwrap(), [format!("pod{UID}")], "there are no two groups of one pod");
    groups.remove_pod(&key.pod).unwrap();
    pod_with(&groups, "db");
    assert_eq!(children(&base).unwrap(), [format!("shop_front_{UID}")]);

    // Another daemon finds it by its name alone.
    let later = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap();
    assert_eq!(later.leaf(&key, Attempt(0)), groups.leaf(&key, Attempt(0)));
}

#[test]
fn a_name_is_as_long_as_a_directory_s_may_be_and_has_its_uid() {
    let (pod, namespace) = (PodUid::new("u".repeat(63)).unwrap(), Namespace::new("n".repeat(63)).unwrap());
    let name = name_of(&pod, &namespace, &PodName::new("p".repeat(253)).unwrap());
    assert_eq!((name.len(), pod_of(&name)), (255, Some(pod)));
    assert_eq!(pod_of("cgroup.procs"), None);
}

#[test]
fn a_leaf_that_an_interrupted_start_has_left_is_made_anew() {
    let (_root, groups) = hybrid();
    let key = pod_with(&groups, "db");
    let leaf = groups.make_leaf(&key, Attempt(0)).unwrap();
    fs::create_dir(leaf.unified.join("left")).unwrap();
    groups.make_leaf(&key, Attempt(0)).unwrap();
    assert!(leaf.unified.is_dir() && !leaf.unified.join("left").exists());
}

#[test]
fn a_pod_s_processes_are_those_of_all_its_groups_but_the_shims() {
    let (_root, groups) = hybrid();
    let key = pod_with(&groups, "db");
    let leaf = groups.make_leaf(&key, Attempt(0)).unwrap().unified;
    fs::create_dir_all(leaf.join("own/shim")).unwrap();
    let shims = groups.shim_leaf(&key.pod).unified;
    for (group, pids) in [(&leaf, "17\n18\n"), (&leaf.join("own/shim"), "19\n"), (&shims, "20\n")] {
        fs::write(group.join("cgroup.procs"), pids).unwrap();
    }
    let mut found = groups.processes(&key.pod);
    found.sort_unstable();
    assert_eq!(found, [17, 18, 19]);
    assert!(groups.processes(&PodUid::new("another").unwrap()).is_empty());
}

#[test]
fn preparing_twice_is_preparing_once() {
    let (_root, groups) = hybrid();
    pod_with(&groups, "db");
    pod_with(&groups, "db");
}

#[test]
fn a_container_called_shim_does_not_meet_the_shims() {
    let (_root, groups) = hybrid();
    let key = pod_with(&groups, "shim");
    let leaf = groups.make_leaf(&key, Attempt(0)).unwrap();
    assert!(!leaf.unified.starts_with(groups.shim_leaf(&key.pod).unified));
    assert_eq!(groups.strays().unwrap()[0].attempts, [(key.container, Attempt(0))]);
}

#[test]
fn every_attempt_on_the_host_is_found() {
    let (root, groups) = hybrid();
    let key = pod_with(&groups, "db");
    groups.make_leaf(&key, Attempt(10)).unwrap();
    groups.make_leaf(&key, Attempt(9)).unwrap();
    fs::create_dir(root.path().join("unified/barepod/not-a-pod")).unwrap();
    let found = groups.strays().unwrap();
    let attempts = [9, 10].map(|number| (key.container.clone(), Attempt(number))).to_vec();
    assert_eq!(found, [Stray { pod: key.pod, attempts }]);
}

#[test]
fn removing_a_pod_leaves_nothing_of_it_in_any_mount() {
    let (root, groups) = hybrid();
    let key = pod_with(&groups, "db");
    groups.make_leaf(&key, Attempt(0)).unwrap();
    groups.remove_pod(&key.pod).unwrap();
    for mount in ["unified", "memory", "cpu"] {
        assert_eq!(fs::read_dir(root.path().join(mount).join("barepod")).unwrap().count(), 0, "{mount}");
    }
    groups.remove_pod(&key.pod).unwrap();
}

#[test]
fn a_base_cannot_leave_the_mount() {
    let root = tempfile::tempdir().unwrap();
    for base in ["../x", "/x", "", "a/../b"] {
        let hierarchy = bare(root.path());
        assert!(matches!(Groups::open(hierarchy, base), Err(CgroupError::Base { .. })), "{base:?}");
    }
}

#[test]
fn on_v2_a_controller_that_cannot_be_handed_down_is_reported_not_fatal() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("cgroup.controllers"), "memory").unwrap();
    fs::write(root.path().join("cgroup.subtree_control"), "").unwrap();
    fs::create_dir(root.path().join("barepod")).unwrap();
    fs::write(root.path().join("barepod/cgroup.controllers"), "cpu memory").unwrap();
    // No subtree_control below: a read error stands for the kernel's refusal.
    let groups = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap();
    assert_eq!(groups.degraded().len(), 2, "{:?}", groups.degraded());
    assert_eq!(fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap(), "+memory");
}

mod as_root {
    use std::process::{Child, Command};

    use super::*;
    use crate::cgroup::testing::RealGroups;

    fn put(child: &Child, leaf: &Leaf) {
        for dir in leaf.legacy.iter().chain([&leaf.unified]) {
            files::write(&dir.join("cgroup.procs"), &child.id().to_string()).unwrap();
        }
    }

    #[test]
    fn a_killed_group_is_seen_empty_and_can_be_removed() {
        let real = RealGroups::new("kill");
        let key = pod_with(&real.groups, "db");
        let leaf = real.groups.make_leaf(&key, Attempt(0)).unwrap();
        assert!(real.groups.is_empty(&key, Attempt(0)).unwrap());
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        put(&child, &leaf);
        assert!(!real.groups.is_empty(&key, Attempt(0)).unwrap());
        assert!(matches!(real.groups.remove_leaf(&key, Attempt(0)), Err(CgroupError::Remove { .. })));
        assert!(matches!(real.groups.make_leaf(&key, Attempt(0)), Err(CgroupError::Used { .. })));

        real.groups.kill(&key, Attempt(0)).unwrap();
        child.wait().unwrap();

        assert!(real.groups.is_empty(&key, Attempt(0)).unwrap());
        real.groups.remove_leaf(&key, Attempt(0)).unwrap();
        real.groups.kill(&key, Attempt(0)).unwrap();
        assert!(!leaf.unified.exists());
    }
}
