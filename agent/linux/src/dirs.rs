//! Where barepod's files are.

use std::fs;
use std::path::{Path, PathBuf};

use barepod_model::{Attempt, ContainerKey, Namespace, Pod, PodName, PodUid};

use crate::ids;

/// barepod's directories on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Ledger, volumes, pods' own directories: survives a reboot.
    pub state: PathBuf,
    /// Sockets and shims: gone with the boot.
    pub run: PathBuf,
    /// Logs of containers.
    pub log: PathBuf,
    /// Manifests, presets, policy: the administrator's.
    pub config: PathBuf,
    /// Where log forwarders look for links to containers' logs.
    pub container_logs: PathBuf,
}

impl Dirs {
    /// Those of an installed barepod.
    #[must_use]
    pub fn system() -> Self {
        Self::under(Path::new("/"))
    }

    /// The same below `prefix`: a second barepod, or a test.
    #[must_use]
    pub fn under(prefix: &Path) -> Self {
        Self {
            state: prefix.join("var/lib/barepod"),
            run: prefix.join("run/barepod"),
            log: prefix.join("var/log/barepod"),
            config: prefix.join("etc/barepod"),
            container_logs: prefix.join("var/log/containers"),
        }
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.state.join("ledger")
    }

    /// Manifest files of the `file` source.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.config.join("manifests")
    }

    /// The claims' directories, in one for each namespace.
    #[must_use]
    pub fn claims(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// A claim's directory; kept when pods go.
    #[must_use]
    pub fn claim(&self, namespace: &Namespace, claim: &str) -> PathBuf {
        self.claims().join(namespace.as_str()).join(claim)
    }

    /// What goes when the pod goes.
    #[must_use]
    pub fn pod(&self, pod: &PodUid) -> PathBuf {
        self.state.join("pods").join(pod.as_str())
    }

    /// An emptyDir.
    #[must_use]
    pub fn empty_dir(&self, pod: &PodUid, volume: &str) -> PathBuf {
        self.pod(pod).join("volumes").join(volume)
    }

    /// Files made for a pod's containers. They may hold secrets and are made anew for each attempt, so they lie in memory.
    #[must_use]
    pub fn made_files(&self, pod: &PodUid) -> PathBuf {
        self.run.join("files").join(pod.as_str())
    }

    /// Files made for a container's attempt: those of the next one are made while one runs.
    #[must_use]
    pub fn files(&self, key: &ContainerKey, attempt: Attempt) -> PathBuf {
        self.made_files(&key.pod).join(key.container.as_str()).join(attempt.to_string())
    }

    /// The file in which a container leaves its last words. It is the container's to fill, so it lies on the disk.
    #[must_use]
    pub fn termination_log(&self, key: &ContainerKey, attempt: Attempt) -> PathBuf {
        self.pod(&key.pod).join("last-words").join(key.container.as_str()).join(attempt.to_string())
    }

    /// Mount points of a container's sub paths.
    #[must_use]
    pub fn sub_paths(&self, key: &ContainerKey) -> PathBuf {
        self.pod(&key.pod).join("subpaths").join(key.container.as_str())
    }

    /// The empty directory on which a container's view is put together.
    #[must_use]
    pub fn root(&self, key: &ContainerKey) -> PathBuf {
        self.pod(&key.pod).join("roots").join(key.container.as_str())
    }

    /// What a container writes into a directory tree that is its root; counted, and new for each attempt.
    #[must_use]
    pub fn overlay(&self, key: &ContainerKey) -> PathBuf {
        self.pod(&key.pod).join("overlays").join(key.container.as_str())
    }

    /// All shims' directories.
    #[must_use]
    pub fn shims(&self) -> PathBuf {
        self.run.join("shims")
    }

    /// What a pod's containers share: namespaces, shared memory. Gone with the boot like them.
    #[must_use]
    pub fn sandbox(&self, pod: &PodUid) -> PathBuf {
        self.run.join("pods").join(pod.as_str())
    }

    /// A shim's directory. Its name is short, because a socket's path has at most 107 bytes.
    #[must_use]
    pub fn shim(&self, key: &ContainerKey) -> PathBuf {
        self.shims().join(ids::shim_name(key))
    }

    /// A container's log files.
    #[must_use]
    pub fn log_of(&self, pod: &Pod, key: &ContainerKey) -> PathBuf {
        self.pod_log(&pod.namespace, &pod.name, &key.pod).join(key.container.as_str())
    }

    /// A pod's log directories.
    #[must_use]
    pub fn pod_log(&self, namespace: &Namespace, name: &PodName, pod: &PodUid) -> PathBuf {
        self.log.join("pods").join(format!("{namespace}_{name}_{pod}"))
    }

    /// Namespace and name of a pod, as its log directory has them; a pod of which nothing ever ran has none.
    #[must_use]
    pub fn logged_name(&self, pod: &PodUid) -> Option<(Namespace, PodName)> {
        let entries = fs::read_dir(self.log.join("pods")).ok()?;
        entries.flatten().find_map(|entry| {
            let name = entry.file_name();
            let mut parts = name.to_str()?.splitn(3, '_');
            let (namespace, name) = (Namespace::new(parts.next()?).ok()?, PodName::new(parts.next()?).ok()?);
            (parts.next()? == pod.as_str()).then_some((namespace, name))
        })
    }

    /// What no container may see, not even through a volume: other pods' data, secrets, sockets, the administrator's word.
    #[must_use]
    pub fn secret(&self) -> Vec<PathBuf> {
        [&self.state, &self.run, &self.config].map(|dir| real(dir)).into()
    }

    /// What a container sees only through a volume: the secret ones, and logs.
    #[must_use]
    pub fn hidden(&self) -> Vec<PathBuf> {
        let mut hidden = self.secret();
        hidden.extend([&self.log, &self.container_logs].map(|dir| real(dir)));
        hidden
    }
}

/// Without links, as far as the directory is there: what is hidden is where it really lies.
fn real(dir: &Path) -> PathBuf {
    fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned())
}

#[cfg(test)]
mod tests {
    use barepod_model::ContainerName;

    use super::*;

    #[test]
    fn a_shims_socket_path_is_short_enough_for_the_longest_names() {
        let key = ContainerKey {
            pod: PodUid::new("u".repeat(63)).unwrap(),
            container: ContainerName::new("c".repeat(63)).unwrap(),
        };
        assert!(Dirs::system().shim(&key).join("sock").as_os_str().len() <= 107);
    }

    #[test]
    fn the_name_of_a_pod_is_known_by_its_logs() {
        let scratch = tempfile::tempdir().unwrap();
        let dirs = Dirs::under(scratch.path());
        let (namespace, name) = (Namespace::new("default").unwrap(), PodName::new("db").unwrap());
        let [ours, other] = ["a-1", "a-2"].map(|uid| PodUid::new(uid).unwrap());
        fs::create_dir_all(dirs.pod_log(&namespace, &name, &ours)).unwrap();
        assert_eq!(dirs.logged_name(&ours), Some((namespace, name)));
        assert_eq!(dirs.logged_name(&other), None);
    }

    #[test]
    fn nothing_lies_outside_the_prefix() {
        let dirs = Dirs::under(Path::new("/scratch"));
        assert!(dirs.hidden().iter().all(|dir| dir.starts_with("/scratch")));
    }
}
