//! Where all of it lies.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// The files of a host that has joined a cluster, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What it is let in by.
    pub bootstrap_kubeconfig: PathBuf,
    /// What it is known by, once it is let in.
    pub kubeconfig: PathBuf,
    /// Its certificates and their keys.
    pub certificates: PathBuf,
    /// The daemon's configuration, which says who the bridge is.
    pub(crate) configuration: PathBuf,
}

impl Layout {
    /// Below `/` or another root, as the daemon's `--root` has it.
    pub fn below(root: &Path) -> Self {
        let kubernetes = root.join("etc/barepod/kubernetes");
        Self {
            bootstrap_kubeconfig: kubernetes.join("bootstrap-kubeconfig"),
            kubeconfig: kubernetes.join("kubeconfig"),
            configuration: root.join("etc/barepod/barepod.yaml"),
            certificates: root.join("var/lib/barepod-bridge/pki"),
        }
    }

    /// All files that may be there, secrets first.
    fn all(&self) -> Vec<PathBuf> {
        let stored = crate::Store::new(self.certificates.clone()).files();
        [self.bootstrap_kubeconfig.clone()].into_iter().chain(stored).chain([self.kubeconfig.clone()]).collect()
    }

    /// The first file that says that this host has joined.
    pub fn trace(&self) -> Option<PathBuf> {
        self.all().into_iter().find(|path| path.exists())
    }

    /// Removes all of them, and nothing else; those that there were.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn reset(&self) -> io::Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for path in self.all() {
            if files::remove(&path)? {
                removed.push(path);
            }
        }
        Ok(removed)
    }
}
