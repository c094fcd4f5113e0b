//! How much the host has left of what it can be short of.

use std::collections::BTreeMap;
use std::path::Path;

use barepod_core::{Level, Signal};
use barepod_linux::disk;

/// Of each thing that can be read; `state` lies on the file system that counts.
pub(crate) fn levels(state: &Path) -> BTreeMap<Signal, Level> {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let mut levels = BTreeMap::new();
    levels.extend(memory(&read("/proc/meminfo")).map(|level| (Signal::Memory, level)));
    levels.extend(pids(&read("/proc/loadavg"), &read("/proc/sys/kernel/pid_max")).map(|level| (Signal::Pids, level)));
    if let Ok(space) = disk::space(state) {
        levels.insert(Signal::Disk, Level { available: space.bytes_available, all: space.bytes });
        // Some file systems have as many as they have room.
        if space.inodes > 0 {
            levels.insert(Signal::Inodes, Level { available: space.inodes_free, all: space.inodes });
        }
    }
    levels
}

fn memory(table: &str) -> Option<Level> {
    let amount = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    };
    Some(Level { available: amount("MemAvailable:")?, all: amount("MemTotal:")? })
}

/// Threads there are, after the slash of the fourth field of loadavg, beside what the kernel gives out.
fn pids(load: &str, most: &str) -> Option<Level> {
    let all: u64 = most.trim().parse().ok()?;
    let used: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Level { available: all.saturating_sub(used), all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let table = "MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(memory(table), Some(Level { available: 2 << 20, all: 9_000_000 << 10 }));
        assert_eq!(pids("0.1 0.2 0.3 1/980 77", "1000\n"), Some(Level { available: 20, all: 1000 }));
        assert_eq!((memory(""), pids("", "")), (None, None));
    }

    #[test]
    fn this_host_has_some_of_all() {
        let levels = levels(Path::new("/"));
        assert!([Signal::Memory, Signal::Disk, Signal::Pids].iter().all(|signal| levels[signal].available > 0));
    }
}
