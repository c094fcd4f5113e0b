//! The CPUs that a container may run on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use barepod_model::ContainerKey;

use super::{CgroupError, Controller, Groups, Unenforced, files};

impl Groups {
    /// Lets a container run on these CPUs and no others, whatever of it runs already. Nothing is done for one that has no
    /// group.
    ///
    /// # Errors
    /// `Make`, `Read`, `Write`.
    pub fn confine(&self, key: &ContainerKey, cpus: &BTreeSet<u32>) -> Result<Option<Unenforced>, CgroupError> {
        let controller = Controller::Cpuset;
        let group = self.container_path(key);
        let unified = self.hierarchy().unified().join(&group);
        if !unified.exists() {
            return Ok(None);
        }
        let missing = Unenforced { controller, what: "CPUs" };
        let Some(mount) = self.hierarchy().mount_of(controller) else { return Ok(Some(missing)) };
        let dir = mount.join(&group);
        if self.hierarchy().is_set_in_v2(controller) {
            if !dir.join("cpuset.cpus").exists() {
                return Ok(Some(missing));
            }
            return files::write(&dir.join("cpuset.cpus"), &list(cpus)).map(|()| None);
        }
        self.prepare_optional(mount, &group)?;
        files::write(&dir.join("cpuset.cpus"), &list(cpus))?;
        gather(&unified, &dir)?;
        Ok(None)
    }
}

/// Puts what lives in the attempts of a container into its v1 group, where it is not when the group was made later.
fn gather(unified: &Path, legacy: &Path) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Read { path: unified.to_owned(), source };
    let there = files::read(&legacy.join("cgroup.procs"))?;
    let there: BTreeSet<_> = there.lines().collect();
    for entry in fs::read_dir(unified).map_err(failed)?.flatten() {
        let Ok(pids) = files::read(&entry.path().join("cgroup.procs")) else { continue };
        for pid in pids.lines().filter(|pid| !there.contains(pid)) {
            // One that has ended meanwhile needs no place.
            files::write(&legacy.join("cgroup.procs"), pid).ok();
        }
    }
    Ok(())
}

/// As the kernel writes CPUs: `0-2,5`.
pub(super) fn list(cpus: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            Some(_) | None => ranges.push((cpu, cpu)),
        }
    }
    let words = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use barepod_model::{ContainerName, PodUid};

    use super::*;
    use crate::cgroup::Hierarchy;
    use crate::cgroup::testing::bare;

    fn key() -> ContainerKey {
        ContainerKey { pod: PodUid::new("u").unwrap(), container: ContainerName::new("db").unwrap() }
    }

    #[test]
    fn cpus_are_written_as_the_kernel_writes_them() {
        assert_eq!(list(&[0, 1, 2, 5, 7, 8].into()), "0-2,5,7-8");
        assert_eq!(list(&BTreeSet::new()), "");
    }

    #[test]
    fn on_v2_the_containers_own_file_says_where_it_runs() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("barepod/podu/db");
        fs::create_dir_all(&group).unwrap();
        for dir in [root.path().to_owned(), root.path().join("barepod")] {
            fs::write(dir.join("cgroup.controllers"), "cpuset").unwrap();
            fs::write(dir.join("cgroup.subtree_control"), "cpuset").unwrap();
        }
        fs::write(group.join("cpuset.cpus"), "").unwrap();
        let groups = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap();
        assert_eq!(groups.confine(&key(), &[1, 2].into()).unwrap(), None);
        assert_eq!(fs::read_to_string(group.join("cpuset.cpus")).unwrap(), "1-2");
    }

    #[test]
    fn on_v1_groups_are_made_with_what_those_above_them_have_and_what_lives_is_put_in() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("unified/barepod/podu/db/0")).unwrap();
        fs::write(root.path().join("unified/cgroup.controllers"), "").unwrap();
        fs::write(root.path().join("unified/barepod/podu/db/0/cgroup.procs"), "17\n").unwrap();
        let cpuset = root.path().join("cpuset");
        // The kernel makes these files with the directories.
        for dir in ["", "barepod", "barepod/podu", "barepod/podu/db"] {
            fs::create_dir_all(cpuset.join(dir)).unwrap();
            for (file, top) in [("cpuset.cpus", "0-3"), ("cpuset.mems", "0"), ("cgroup.procs", "")] {
                fs::write(cpuset.join(dir).join(file), if dir.is_empty() { top } else { "" }).unwrap();
            }
        }
        fs::write(root.path().join("unified/cgroup.procs"), "").unwrap();
        let groups = Groups::open(Hierarchy::detect(root.path()).unwrap(), "barepod").unwrap();
        assert_eq!(groups.confine(&key(), &[3].into()).unwrap(), None);
        let text = |path: &str| fs::read_to_string(cpuset.join(path)).unwrap();
        assert_eq!(text("barepod/podu/cpuset.cpus"), "0-3");
        assert_eq!(text("barepod/podu/db/cpuset.mems"), "0");
        assert_eq!(
            (text("barepod/podu/db/cpuset.cpus"), text("barepod/podu/db/cgroup.procs")),
            ("3".into(), "17".into())
        );
    }

    #[test]
    fn a_host_that_cannot_says_so() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("barepod/podu/db")).unwrap();
        let groups = Groups::open(bare(root.path()), "barepod").unwrap();
        assert!(groups.confine(&key(), &[0].into()).unwrap().is_some());
    }
}
