//! Which control groups this host has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CgroupError, files};

/// A resource that the kernel can limit for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Memory.
    Memory,
    /// CPU weight and quota.
    Cpu,
    /// Number of processes.
    Pids,
    /// Disk I/O.
    Io,
    /// Which CPUs and NUMA nodes.
    Cpuset,
    /// Huge pages.
    Hugetlb,
}

impl Controller {
    /// Those that barepod hands down the tree where the kernel has them.
    pub const ALL: [Controller; 6] = [
        Controller::Memory,
        Controller::Cpu,
        Controller::Pids,
        Controller::Io,
        Controller::Cpuset,
        Controller::Hugetlb,
    ];
    /// Those that a hybrid host limits through v1.
    const LEGACY: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];
    /// Those that a hybrid host limits through v1 where somebody asks for it.
    const OPTIONAL: [Controller; 3] = [Controller::Io, Controller::Cpuset, Controller::Hugetlb];

    /// The name of its v1 mount.
    fn legacy_name(self) -> &'static str {
        if self == Controller::Io { "blkio" } else { self.name() }
    }

    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
            Controller::Io => "io",
            Controller::Cpuset => "cpuset",
            Controller::Hugetlb => "hugetlb",
        }
    }
}

/// The control groups of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2 with its controllers.
    Unified {
        /// The mount.
        root: PathBuf,
        /// What it can limit.
        controllers: BTreeSet<Controller>,
    },
    /// v1 hierarchies for limits, and a cgroup2 mount for everything else.
    Hybrid {
        /// The cgroup2 mount.
        unified: PathBuf,
        /// The v1 mounts in which every pod has groups.
        legacy: Vec<(Controller, PathBuf)>,
        /// Those in which only pods have groups that ask for it: each costs a start something.
        optional: Vec<(Controller, PathBuf)>,
        /// What the cgroup2 mount itself can limit.
        controllers: BTreeSet<Controller>,
    },
}

impl Hierarchy {
    /// Looks at `root`, normally `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// `NotMounted`; `LegacyOnly` where a cgroup2 mount is missing; `Read`.
    pub fn detect(root: &Path) -> Result<Self, CgroupError> {
        if root.join("cgroup.controllers").is_file() {
            return Ok(Self::Unified { root: root.to_owned(), controllers: controllers(root)? });
        }
        let mounted = |wanted: [Controller; 3]| -> Vec<_> {
            let places = wanted.into_iter().map(|controller| (controller, root.join(controller.legacy_name())));
            places.filter(|(_, path)| path.join("cgroup.procs").exists()).map(resolve).collect()
        };
        let legacy = mounted(Controller::LEGACY);
        let unified = root.join("unified");
        if unified.join("cgroup.controllers").is_file() {
            let (optional, controllers) = (mounted(Controller::OPTIONAL), controllers(&unified)?);
            return Ok(Self::Hybrid { unified, legacy, optional, controllers });
        }
        if legacy.is_empty() {
            Err(CgroupError::NotMounted { root: root.to_owned() })
        } else {
            Err(CgroupError::LegacyOnly { root: root.to_owned() })
        }
    }

    /// The cgroup2 mount.
    #[must_use]
    pub fn unified(&self) -> &Path {
        match self {
            Hierarchy::Unified { root, .. } => root,
            Hierarchy::Hybrid { unified, .. } => unified,
        }
    }

    /// The mount in which `controller` can be set; `None` if this host cannot limit it.
    #[must_use]
    pub fn mount_of(&self, controller: Controller) -> Option<&Path> {
        match self {
            Hierarchy::Unified { root, controllers } => controllers.contains(&controller).then_some(root.as_path()),
            Hierarchy::Hybrid { unified, legacy, optional, controllers } => {
                let mut places = legacy.iter().chain(optional);
                let legacy = places.find(|(legacy, _)| *legacy == controller).map(|(_, path)| path.as_path());
                legacy.or(controllers.contains(&controller).then_some(unified.as_path()))
            }
        }
    }

    /// Whether `controller` is set through files of cgroup v2.
    #[must_use]
    pub fn is_set_in_v2(&self, controller: Controller) -> bool {
        self.mount_of(controller) == Some(self.unified())
    }

    /// v1 mounts in which only some pods have groups.
    #[must_use]
    pub fn optional_mounts(&self) -> Vec<&Path> {
        match self {
            Hierarchy::Unified { .. } => Vec::new(),
            Hierarchy::Hybrid { optional, .. } => optional.iter().map(|(_, path)| path.as_path()).collect(),
        }
    }

    /// Controllers are set through cgroup v2.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        matches!(self, Hierarchy::Unified { .. })
    }

    /// Every mount in which barepod's tree stands with all its pods, the cgroup2 one first.
    #[must_use]
    pub fn mounts(&self) -> Vec<&Path> {
        match self {
            Hierarchy::Unified { root, .. } => vec![root],
            Hierarchy::Hybrid { unified, legacy, .. } => {
                std::iter::once(unified.as_path()).chain(legacy.iter().map(|(_, path)| path.as_path())).collect()
            }
        }
    }
}

/// `cpu` is a link to `cpu,cpuacct` on many hosts.
fn resolve((controller, path): (Controller, PathBuf)) -> (Controller, PathBuf) {
    (controller, fs::canonicalize(&path).unwrap_or(path))
}

/// What the cgroup2 group at `path` can hand down.
pub(super) fn controllers(path: &Path) -> Result<BTreeSet<Controller>, CgroupError> {
    let text = files::read(&path.join("cgroup.controllers"))?;
    let named = |name: &str| Controller::ALL.into_iter().find(|controller| controller.name() == name);
    Ok(text.split_whitespace().filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        root
    }

    #[test]
    fn v2_is_known_by_its_controllers_file() {
        let root = mount(&[("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")]);
        let found = Hierarchy::detect(root.path()).unwrap();
        assert!(found.is_unified());
        assert_eq!(found.mount_of(Controller::Memory), Some(root.path()));
        assert_eq!(found.mounts(), [root.path()]);
    }

    #[test]
    fn v2_without_a_controller_says_so() {
        let root = mount(&[("cgroup.controllers", "cpu pids\n")]);
        let found = Hierarchy::detect(root.path()).unwrap();
        assert_eq!(found.mount_of(Controller::Memory), None);
    }

    #[test]
    fn a_hybrid_host_limits_through_v1_and_lives_in_v2() {
        let root = mount(&[
            ("unified/cgroup.controllers", "hugetlb\n"),
            ("memory/cgroup.procs", ""),
            ("cpu,cpuacct/cgroup.procs", ""),
            ("freezer/cgroup.procs", ""),
        ]);
        std::os::unix::fs::symlink("cpu,cpuacct", root.path().join("cpu")).unwrap();
        let found = Hierarchy::detect(root.path()).unwrap();
        assert!(!found.is_unified());
        assert_eq!(found.unified(), root.path().join("unified"));
        assert!(found.mount_of(Controller::Cpu).is_some_and(|path| path.ends_with("cpu,cpuacct")));
        assert_eq!(found.mount_of(Controller::Pids), None);
        assert_eq!(found.mounts().len(), 3);
    }

    #[test]
    fn v1_alone_is_refused_with_the_mount_to_make() {
        let root = mount(&[("memory/cgroup.procs", "")]);
        let refused = Hierarchy::detect(root.path()).unwrap_err();
        assert!(matches!(refused, CgroupError::LegacyOnly { .. }));
        assert!(refused.to_string().contains("mount -t cgroup2 none"), "{refused}");
    }

    #[test]
    fn nothing_mounted_is_refused() {
        let root = mount(&[]);
        assert!(matches!(Hierarchy::detect(root.path()), Err(CgroupError::NotMounted { .. })));
    }
}
