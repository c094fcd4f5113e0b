//! The kernel's clocks.

use std::time::Duration;

/// Time since the host booted, suspend included (`CLOCK_BOOTTIME`).
#[must_use]
pub fn boot() -> Duration {
    let time = read(libc::CLOCK_BOOTTIME);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Nanoseconds since 1970 (`CLOCK_REALTIME`).
#[must_use]
pub fn wall_ns() -> i64 {
    let time = read(libc::CLOCK_REALTIME);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Whether the kernel holds its clock to be synchronised: something disciplines it and says that it is good (adjtimex(2)).
///
/// # Errors
/// As adjtimex(2).
pub fn synchronised() -> std::io::Result<bool> {
    // SAFETY: all-zero is a valid value of this plain structure of numbers: nothing is to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is live and written within its bounds.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    crate::result::check(result).map(|clock| clock != libc::TIME_ERROR)
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec. The call cannot fail: every kernel that has pidfds has both clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_whether_its_clock_is_synchronised() {
        assert!(synchronised().is_ok());
    }

    #[test]
    fn boot_time_does_not_go_back_and_wall_time_is_after_2020() {
        let first = boot();

        assert!(boot() >= first);
        assert!(wall_ns() > 1_577_836_800 * 1_000_000_000);
    }
}
