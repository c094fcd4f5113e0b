//! What the administrator chooses for all groups.

use super::CFS_PERIOD_US;

/// Figures for all groups; the defaults are kubelet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The period over which CPU quotas are counted, in microseconds.
    pub period_us: u64,
    /// Processes and threads that a pod may have at most (`podPidsLimit`).
    pub pod_pids: Option<u64>,
    /// Requested memory is kept from reclaim: `memory.min` for guaranteed pods, `memory.low` for burstable ones.
    pub reserve_memory: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { period_us: CFS_PERIOD_US, pod_pids: None, reserve_memory: false }
    }
}
