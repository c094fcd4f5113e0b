//! This host's own control groups, for tests that need root.

use std::path::Path;

use barepod_model::{Namespace, PodName, PodUid};

use super::{Groups, Hierarchy};

/// A hybrid host that can limit nothing.
pub(crate) fn bare(root: &Path) -> Hierarchy {
    Hierarchy::Hybrid {
        unified: root.to_owned(),
        legacy: Vec::new(),
        optional: Vec::new(),
        controllers: std::collections::BTreeSet::new(),
    }
}

/// Makes the groups of `shop/front`.
pub(crate) fn prepare(groups: &Groups, pod: &PodUid) {
    groups.prepare_pod(pod, &Namespace::new("shop").unwrap(), &PodName::new("front").unwrap()).unwrap();
}

/// Groups under a base of their own, removed when dropped.
pub(crate) struct RealGroups {
    pub(crate) groups: Groups,
    base: String,
}

impl RealGroups {
    pub(crate) fn new(name: &str) -> Self {
        let base = format!("barepod-test-{name}-{}", std::process::id());
        let hierarchy =
            Hierarchy::detect(std::path::Path::new("/sys/fs/cgroup")).expect("this host has control groups");
        let groups = Groups::open(hierarchy, &base).expect("this test makes control groups: run it as root");
        Self { groups, base }
    }
}

impl Drop for RealGroups {
    fn drop(&mut self) {
        for stray in self.groups.strays().unwrap_or_default() {
            let _ = self.groups.remove_pod(&stray.pod);
        }
        for mount in self.groups.hierarchy().mounts() {
            let _ = std::fs::remove_dir(mount.join(&self.base));
        }
    }
}
