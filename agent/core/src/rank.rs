//! Who is evicted first when the host is short of something: kubelet's order (`rankMemoryPressure`, `rankDiskPressureFunc`,
//! `rankPIDPressure` in `pkg/kubelet/eviction/helpers.go`).
//!
//! | short of | first | then | then |
//! |---|---|---|---|
//! | memory, disk space | who uses more than it asks for | the lower priority | who uses more beyond that |
//! | inodes | who has any | the lower priority | who has more |
//! | process ids | the lower priority | | who has more |
//!
//! Two things are not kubelet's. A pod of which nobody knows what it uses counts as one that uses nothing, not as the first
//! to go. And of equals the youngest goes.

use std::cmp::Reverse;

use barepod_model::{Amounts, Pod};
use serde::{Deserialize, Serialize};

use crate::Signal;
use crate::planted::{self, Fault};

/// What a pod uses of its host; what is not known is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PodUse {
    /// Bytes of memory, without file cache that nobody touched of late (the working set).
    pub memory: u64,
    /// Bytes of disk that are given back with the pod: writable layers, logs, emptyDirs.
    pub disk: u64,
    /// Files and directories there.
    pub inodes: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// The place of a pod in the order; the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    keeps_to_requests: bool,
    priority: i32,
    beyond: Reverse<i128>,
    order: Reverse<u64>,
}

/// Where a pod stands; `order` rises with each that came later.
pub(crate) fn place(signal: Signal, pod: &Pod, used: PodUse, order: u64) -> Place {
    let (used, asked) = of(signal, used, pod.requests());
    let beyond = i128::from(used) - i128::from(asked);
    let keeps_to_requests = match signal {
        Signal::Memory | Signal::Disk | Signal::Inodes => beyond <= 0,
        Signal::Pids => true,
    };
    let priority = if planted::on(Fault::PriorityIgnored) { 0 } else { pod.priority };
    Place { keeps_to_requests, priority, beyond: Reverse(beyond), order: Reverse(order) }
}

/// What it uses, and what it asks for.
pub(crate) fn of(signal: Signal, used: PodUse, asked: Amounts) -> (u64, u64) {
    match signal {
        Signal::Memory => (used.memory, asked.memory.0),
        Signal::Disk => (used.disk, asked.storage.0),
        Signal::Inodes => (used.inodes, 0),
        Signal::Pids => (used.processes, 0),
    }
}
