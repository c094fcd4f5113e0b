//! The two clocks, read at the edge: the core gets them as arguments.

use std::io;
use std::time::Duration;

use barepod_core::Moment;
use barepod_model::{BootId, BootTime, Stamp, WallTime};
use nix::time::{ClockId, clock_gettime};

/// Now, on both clocks.
pub(crate) fn now() -> Moment {
    Moment { boot: boot_time(), wall: WallTime(jiff::Timestamp::now()) }
}

fn boot_time() -> BootTime {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every kernel since 2.6.39 has CLOCK_BOOTTIME");
    BootTime(Duration::from(time))
}

/// How long until `deadline`, zero if it has passed.
pub(crate) fn until(deadline: BootTime) -> Duration {
    deadline.since(boot_time())
}

/// A stamp of this moment.
pub(crate) fn stamp(boot_id: &BootId) -> Stamp {
    let Moment { boot, wall } = now();
    Stamp { boot_id: boot_id.clone(), boot, wall }
}

/// The kernel's id of this boot.
///
/// # Errors
/// `/proc` is not mounted.
pub(crate) fn boot_id() -> io::Result<BootId> {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| BootId(id.trim().to_owned()))
}
