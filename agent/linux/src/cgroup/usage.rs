//! What a container uses.

use barepod_model::{Attempt, ContainerKey};

use super::{CgroupError, Controller, Groups, files};

/// What a container uses; `None` where this host does not count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of memory, cache included.
    pub memory: Option<u64>,
    /// Bytes of file cache that nobody touched of late; without them, Kubernetes calls it the working set.
    pub inactive_file: Option<u64>,
    /// CPU time since the container was made, in microseconds.
    pub cpu_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What an attempt had of memory at most, and what it was allowed; `None` where this host does not say, or allows all it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryFigures {
    /// Bytes: the smaller one of the container's limit and its pod's.
    pub limit: Option<u64>,
    /// Bytes it had at most.
    pub peak: Option<u64>,
}

impl Groups {
    /// What an attempt had of memory, for those who ask why the kernel killed in its group. It may have ended, as long as its
    /// group is there.
    #[must_use]
    pub fn memory_figures(&self, key: &ContainerKey, attempt: Attempt) -> MemoryFigures {
        let leaf = self.leaf(key, attempt);
        let peak = match &leaf.legacy_memory {
            Some(memory) => memory.join("memory.max_usage_in_bytes"),
            // Since Linux 5.19.
            None => leaf.unified.join("memory.peak"),
        };
        let limits = [self.measured_container(key, attempt).memory_limit, self.measured_pod(&key.pod).memory_limit];
        MemoryFigures { limit: limits.into_iter().flatten().min(), peak: files::read_number(&peak).ok().flatten() }
    }

    /// What a container uses, over all its attempts.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn usage(&self, key: &ContainerKey) -> Result<Usage, CgroupError> {
        let unified = self.hierarchy().is_unified();
        // cgroup2 counts CPU time even where it has no controllers.
        let cpu = self.hierarchy().unified().join(self.container_path(key)).join("cpu.stat");
        let mut usage = Usage { cpu_us: files::read_key(&cpu, "usage_usec")?, ..Usage::default() };
        if let Some(dir) = self.directory(key, Controller::Memory) {
            let (file, inactive) = if unified {
                ("memory.current", "inactive_file")
            } else {
                ("memory.usage_in_bytes", "total_inactive_file")
            };
            usage.memory = files::read_number(&dir.join(file))?;
            usage.inactive_file = files::read_key(&dir.join("memory.stat"), inactive)?;
        }
        if let Some(dir) = self.directory(key, Controller::Pids) {
            usage.pids = files::read_number(&dir.join("pids.current"))?;
        }
        Ok(usage)
    }

    /// How often the kernel killed in an attempt's group for memory; `None` where it does not say.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn oom_kills(&self, key: &ContainerKey, attempt: Attempt) -> Result<Option<u64>, CgroupError> {
        let leaf = self.leaf(key, attempt);
        match leaf.legacy_memory {
            Some(memory) => files::read_key(&memory.join("memory.oom_control"), "oom_kill"),
            None => files::read_key(&leaf.unified.join("memory.events"), "oom_kill"),
        }
    }
}
