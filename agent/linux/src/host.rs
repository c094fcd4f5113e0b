//! The host: which boot this is, what time it is on it, how much memory it has.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use barepod_model::{BootId, BootTime, Bytes};
use nix::time::{ClockId, clock_gettime};
use procfs::Current as _;

/// Why the host did not answer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of procfs cannot be read.
    #[error("cannot read {}; is /proc mounted?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `/proc/meminfo` cannot be read or understood.
    #[error("cannot read /proc/meminfo")]
    Memory(#[source] procfs::ProcError),
    /// The clock cannot be read.
    #[error("cannot read CLOCK_BOOTTIME")]
    Clock(#[source] io::Error),
}

/// Memory of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All there is.
    pub total: Bytes,
    /// What could be had without swapping.
    pub available: Bytes,
}

/// The kernel's id of this boot.
///
/// # Errors
/// `Read`.
pub fn boot_id() -> Result<BootId, HostError> {
    let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(BootId(text.trim().to_owned())),
        Err(source) => Err(HostError::Read { path, source }),
    }
}

/// Time since boot, suspend included.
///
/// # Errors
/// `Clock`.
pub fn boot_time() -> Result<BootTime, HostError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| HostError::Clock(errno.into()))?;
    Ok(BootTime(Duration::from(now)))
}

/// Memory of the host. Before Linux 3.14 nothing says what is available; what is free counts then.
///
/// # Errors
/// `Memory`.
pub fn memory() -> Result<Memory, HostError> {
    let info = procfs::Meminfo::current().map_err(HostError::Memory)?;
    Ok(Memory { total: Bytes(info.mem_total), available: Bytes(info.mem_available.unwrap_or(info.mem_free)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_answers_plausibly() {
        assert_eq!(boot_id().unwrap().0.len(), 36);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert!(boot_time().unwrap() <= boot_time().unwrap());
        let memory = memory().unwrap();
        assert!(memory.available <= memory.total && memory.total.0 > 1 << 20);
    }
}
