//! What the hands work with: directories, cgroups, ledger, the shim's binary, and which processes run.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use barepod_api::CPUS_ANNOTATION;
use barepod_core::{CpuSet, CpuTable, Event, Severity};
use barepod_linux::Dirs;
use barepod_linux::cgroup::{CgroupError, Groups};
use barepod_model::{
    Attempt, BootId, Bytes, Container, ContainerKey, Pod, PodResources, PodUid, Reason, Resources, Source,
};
use barepod_store::Ledger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Confining;
use crate::answers::Answers;
use crate::board::Board;
use crate::journal::Journal;
use crate::prober::Prober;
use crate::settings::Settings;

/// A main process that runs, as far as one may join it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) attempt: Attempt,
    pub(crate) pid: u32,
    /// Field 22 of /proc/PID/stat: with the pid, the process's identity.
    pub(crate) start_ticks: u64,
}

/// The host as the daemon acts on it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) dirs: Dirs,
    pub(crate) groups: Groups,
    pub(crate) ledger: Ledger,
    pub(crate) shim_binary: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) boot_id: BootId,
    pub(crate) board: Arc<Board>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) processes: Processes,
    pub(crate) prober: Prober,
    pub(crate) mounts: MountTable,
    /// All of the host's memory.
    pub(crate) memory: Bytes,
    /// The limits that a container's group was last given.
    pub(crate) limits: Mutex<HashMap<ContainerKey, Limits>>,
    /// Who runs on which CPUs, where that is decided here.
    pub(crate) cpus: Mutex<Option<CpuTable>>,
    pub(crate) confining: Confining,
    /// What probes were answered, for those who count it.
    pub(crate) answers: Answers,
}

/// What a container's limits follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    own: Resources,
    pod: PodResources,
    oom_group: bool,
    cpus: Option<CpuSet>,
}

/// CPUs that a pod may run on by the word of who has bound it: those of a Nomad task's `cores`.
fn cpus_given(pod: &Pod) -> Option<CpuSet> {
    let list = pod.annotations.get(CPUS_ANNOTATION).filter(|_| pod.source == Source::Nomad)?;
    list.split(',').map(|cpu| cpu.parse().ok()).collect()
}

/// The kernel's list of mounts, as far as one can see that it has changed. What barepod mounts for its own pods does not
/// count: no other pod's view shows it.
#[derive(Debug)]
pub(crate) struct MountTable {
    own: [PathBuf; 2],
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    table: Option<std::fs::File>,
    /// Of the lines that count.
    digest: u64,
    generation: u64,
}

/// The main processes that run.
#[derive(Debug, Default)]
pub(crate) struct Processes(Mutex<HashMap<ContainerKey, Process>>);

impl MountTable {
    pub(crate) fn new(dirs: &Dirs) -> Self {
        let table = std::fs::File::open("/proc/self/mountinfo");
        let table = table.inspect_err(|error| tracing::warn!(%error, "the list of mounts cannot be watched")).ok();
        let own = [&dirs.state, &dirs.run].map(|dir| fs_err::canonicalize(dir).unwrap_or_else(|_| dir.clone()));
        Self { own, seen: Mutex::new(Seen { table, digest: 0, generation: 0 }) }
    }

    /// Another number whenever it has changed since it was last asked. Where that cannot be seen, each time.
    pub(crate) fn generation(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = seen.table.as_ref().is_none_or(|table| {
            // The kernel flags a change as an exceptional condition (proc_pid_mountinfo(5)).
            let mut wanted = [PollFd::new(table.as_fd(), PollFlags::POLLPRI)];
            !matches!(poll(&mut wanted, PollTimeout::ZERO), Ok(0))
        });
        if changed {
            match seen.table.as_ref().and_then(|table| self.digest(table).ok()) {
                Some(digest) if digest == seen.digest => {}
                Some(digest) => (seen.digest, seen.generation) = (digest, seen.generation + 1),
                None => seen.generation += 1,
            }
        }
        seen.generation
    }

    /// Without the first two columns: numbers that say nothing of what is where.
    fn digest(&self, mut table: &std::fs::File) -> std::io::Result<u64> {
        let mut text = String::new();
        table.rewind()?;
        table.read_to_string(&mut text)?;
        let mut hasher = DefaultHasher::new();
        for line in text.lines() {
            let mut columns = line.splitn(6, ' ').skip(2);
            let (device, root, point) = (columns.next(), columns.next(), columns.next());
            if !point.is_some_and(|point| self.own.iter().any(|own| Path::new(point).starts_with(own))) {
                (device, root, point, columns.next()).hash(&mut hasher);
            }
        }
        Ok(hasher.finish())
    }
}

impl Host {
    /// `unified` or `hybrid`.
    pub(crate) fn cgroup_mode(&self) -> &'static str {
        if self.groups.hierarchy().is_unified() { "unified" } else { "hybrid" }
    }

    /// Runs what may block (disk, mounts, cgroups) where it blocks nobody.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let host = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&host)).await {
            Ok(result) => result,
            // A panic of the work is a panic of its task; a cancelled one means that the runtime ends.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Limits a container as its pod says. Does nothing where that was done before: it is on the path of a restart.
    pub(crate) fn limit(&self, pod: &Pod, container: &Container) -> Result<(), CgroupError> {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        let cpus = cpus_given(pod).or_else(|| self.cpus_of(&key));
        let (own, oom_group) = (container.resources, container.oom_group);
        let limits = Limits { own, pod: pod.resources.clone(), oom_group, cpus };
        if self.known_limits().get(&key) == Some(&limits) {
            return Ok(());
        }
        self.known_limits().remove(&key);
        for limit in self.groups.apply_container(pod, container)? {
            self.warn(&key, Reason::Degraded, &limit.to_string());
        }
        if let Some(cpus) = &limits.cpus {
            self.confine(&key, cpus);
        }
        self.known_limits().insert(key, limits);
        Ok(())
    }

    /// Puts a new table of CPUs in force, on whatever runs.
    pub(crate) fn set_cpus(&self, table: CpuTable) {
        *self.cpus.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
    }

    /// Puts the table of CPUs in force on all containers that are there.
    pub(crate) fn confine_all(&self) {
        let pods: Vec<_> = self.board.list().into_iter().filter_map(|view| view.pod.clone()).collect();
        let on_board = pods.iter().flat_map(|pod| {
            let key = |container: &Container| ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
            pod.containers.iter().map(key)
        });
        let mut keys: std::collections::BTreeSet<_> = on_board.collect();
        keys.extend(self.known_limits().keys().cloned());
        // What somebody else has given is not the table's to take.
        let given: Vec<_> = pods.iter().filter(|pod| cpus_given(pod).is_some()).map(|pod| &pod.uid).collect();
        keys.retain(|key| !given.contains(&&key.pod));
        for key in keys {
            if let Some(cpus) = self.cpus_of(&key) {
                self.confine(&key, &cpus);
                if let Some(known) = self.known_limits().get_mut(&key) {
                    known.cpus = Some(cpus);
                }
            }
        }
    }

    fn confine(&self, key: &ContainerKey, cpus: &CpuSet) {
        match self.groups.confine(key, cpus) {
            Ok(None) => {}
            Ok(Some(missing)) => self.warn(key, Reason::Degraded, &missing.to_string()),
            Err(error) => self.warn(key, Reason::Degraded, &super::ledger::chain(&error)),
        }
    }

    fn cpus_of(&self, key: &ContainerKey) -> Option<CpuSet> {
        let table = self.cpus.lock().unwrap_or_else(PoisonError::into_inner);
        table.as_ref().map(|table| table.exclusive.get(key).unwrap_or(&table.shared).clone())
    }

    /// Its groups are gone.
    pub(crate) fn forget_limits(&self, pod: &PodUid) {
        self.known_limits().retain(|key, _| key.pod != *pod);
    }

    fn known_limits(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerKey, Limits>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `oom_score_adj` of a container's processes: the preset's word, else Kubernetes' arithmetic.
    pub(crate) fn oom_score_adj(&self, pod: &Pod, container: &Container) -> i32 {
        match container.launch.oom_score_adj {
            0 => pod.oom_score_adj(container, self.memory),
            own => own,
        }
    }

    /// The running main process of a container.
    pub(crate) fn process(&self, key: &ContainerKey) -> Option<Process> {
        self.processes.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(super) fn set_process(&self, key: &ContainerKey, process: Option<Process>) {
        let mut processes = self.processes.0.lock().unwrap_or_else(PoisonError::into_inner);
        match process {
            Some(process) => processes.insert(key.clone(), process),
            None => processes.remove(key),
        };
    }

    /// A container as it is wanted.
    pub(crate) fn container(&self, key: &ContainerKey) -> Option<Container> {
        let view = self.board.get(&key.pod)?;
        let pod = view.pod.as_ref()?;
        pod.containers.iter().find(|container| container.name == key.container).cloned()
    }

    /// Tells people of something about a container that is not as it should be.
    pub(crate) fn warn(&self, key: &ContainerKey, reason: Reason, message: &str) {
        self.add_warning(key.pod.clone(), Some(key), reason, message);
    }

    /// Tells people of something about a pod that is not as it should be.
    pub(crate) fn warn_pod(&self, pod: &PodUid, reason: Reason, message: &str) {
        self.add_warning(pod.clone(), None, reason, message);
    }

    fn add_warning(&self, pod: PodUid, key: Option<&ContainerKey>, reason: Reason, message: &str) {
        let view = self.board.get(&pod);
        let container = key.map(|key| key.container.clone());
        let event = Event { pod, container, severity: Severity::Warning, reason, message: message.to_owned() };
        self.journal.add(event, view.as_deref());
    }
}
