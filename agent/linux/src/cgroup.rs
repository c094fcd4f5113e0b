//! Control groups: where a pod's processes live, what they may use, how they are counted and killed.
//!
//! ```text
//!   <base>/                                 barepod's own
//!     <namespace>_<pod>_<uid>/              cpu weight against other pods, limits of the pod as a whole
//!       shim/                               the pod's shims: killed with no container, charged to none
//!       <container>/                        limits, for all attempts
//!         <attempt>/                        one process tree, never reused
//! ```
//!
//! On cgroup v2 this tree is all there is. On a hybrid host the same tree stands in the cgroup2 mount, which has no
//! controllers but knows when a group is empty and kills it at once, and beside it in each v1 hierarchy that limits
//! something. A group that was once killed is never used again: some kernels kill whatever is cloned into it later.

mod arithmetic;
mod cpuset;
mod error;
mod files;
mod groups;
mod hierarchy;
mod io;
mod limits;
mod measured;
mod pressure;
mod rules;
mod usage;
mod whole;

#[cfg(test)]
pub(crate) mod testing;

pub use arithmetic::{CFS_PERIOD_US, Cpu, cpu_quota_us, cpu_shares, cpu_weight};
pub use error::CgroupError;
pub use groups::{Groups, Leaf, Stray};
pub use hierarchy::{Controller, Hierarchy};
pub use limits::{InForce, Unenforced};
pub use measured::Measured;
pub use pressure::{Awaited, Pressure, Stalled, host_pressure};
pub use rules::Rules;
pub use usage::{MemoryFigures, Usage};
