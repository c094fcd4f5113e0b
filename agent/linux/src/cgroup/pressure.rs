//! How long a container's processes stood waiting for CPU, memory or disks (PSI), and how often memory ran out.

use std::path::{Path, PathBuf};

use barepod_model::{Attempt, ContainerKey};

use super::{CgroupError, Groups, files};

/// What tasks wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Awaited {
    /// CPU time.
    Cpu,
    /// Memory: reclaim, refaults, swap.
    Memory,
    /// Disks.
    Io,
}

/// Shares of wall time in per cent, over the last 10, 60 and 300 seconds; and the total in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stalled {
    /// Over 10 s.
    pub avg10: f64,
    /// Over 60 s.
    pub avg60: f64,
    /// Over 300 s.
    pub avg300: f64,
    /// Since the group was made, in microseconds.
    pub total_us: u64,
}

/// Pressure on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pressure {
    /// Some task waited.
    pub some: Stalled,
    /// All of them did.
    pub full: Stalled,
}

impl Groups {
    /// The pressure that a container felt, over all its attempts; `None` where this host does not count it: only cgroup2
    /// does, and not on every kernel.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn pressure(&self, key: &ContainerKey, of: Awaited) -> Result<Option<Pressure>, CgroupError> {
        read_of(&self.hierarchy().unified().join(self.container_path(key)), of)
    }

    /// The file that changes when the kernel kills in an attempt's group for memory, in v2.
    #[must_use]
    pub fn memory_events(&self, key: &ContainerKey, attempt: Attempt) -> Option<PathBuf> {
        let file = self.leaf(key, attempt).unified.join("memory.events");
        (self.hierarchy().is_unified() && file.exists()).then_some(file)
    }
}

/// The pressure on the whole host, below `proc`, normally `/proc`; `None` where the kernel does not count it.
///
/// # Errors
/// `Read`, `Parse`.
pub fn host_pressure(proc: &Path, of: Awaited) -> Result<Option<Pressure>, CgroupError> {
    let name = file(of).trim_end_matches(".pressure");
    read(&proc.join("pressure").join(name))
}

/// Of the group in this directory.
pub(super) fn read_of(group: &Path, of: Awaited) -> Result<Option<Pressure>, CgroupError> {
    read(&group.join(file(of)))
}

fn file(of: Awaited) -> &'static str {
    match of {
        Awaited::Cpu => "cpu.pressure",
        Awaited::Memory => "memory.pressure",
        Awaited::Io => "io.pressure",
    }
}

fn read(path: &Path) -> Result<Option<Pressure>, CgroupError> {
    let text = match files::read(path) {
        Ok(text) => text,
        // A kernel that could count but was told not to (`psi=0`) says so with EOPNOTSUPP.
        Err(CgroupError::Read { source, .. })
            if matches!(source.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::EOPNOTSUPP)) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let bad = || CgroupError::Parse { path: path.to_owned(), contents: text.clone() };
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, figures) = line.split_once(' ').ok_or_else(bad)?;
        let stalled = stalled(figures).ok_or_else(bad)?;
        match kind {
            "some" => pressure.some = stalled,
            "full" => pressure.full = stalled,
            _ => return Err(bad()),
        }
    }
    Ok(Some(pressure))
}

/// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn stalled(figures: &str) -> Option<Stalled> {
    let value = |name: &str| {
        figures.split(' ').find_map(|word| word.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    let share = |name: &str| value(name)?.parse::<f64>().ok();
    Some(Stalled {
        avg10: share("avg10")?,
        avg60: share("avg60")?,
        avg300: share("avg300")?,
        total_us: value("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use barepod_model::{ContainerName, PodUid};

    use super::*;
    use crate::cgroup::testing::bare;

    #[test]
    fn pressure_is_read_where_the_kernel_counts_it() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("barepod/podu/db");
        fs::create_dir_all(&group).unwrap();
        let text =
            "some avg10=6.11 avg60=7.70 avg300=5.74 total=32487137\nfull avg10=0.00 avg60=0.10 avg300=0.00 total=9\n";
        fs::write(group.join("cpu.pressure"), text).unwrap();
        fs::write(group.join("io.pressure"), "nonsense").unwrap();
        let groups = Groups::open(bare(root.path()), "barepod").unwrap();
        let key = ContainerKey { pod: PodUid::new("u").unwrap(), container: ContainerName::new("db").unwrap() };
        let found = groups.pressure(&key, Awaited::Cpu).unwrap().unwrap();
        assert_eq!((found.some.avg10, found.some.total_us, found.full.avg60), (6.11, 32_487_137, 0.1));
        assert_eq!(groups.pressure(&key, Awaited::Memory).unwrap(), None);
        assert!(matches!(groups.pressure(&key, Awaited::Io), Err(CgroupError::Parse { .. })));
    }

    #[test]
    fn the_whole_host_has_its_own() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(host_pressure(root.path(), Awaited::Memory).unwrap(), None);
        fs::create_dir(root.path().join("pressure")).unwrap();
        fs::write(root.path().join("pressure/memory"), "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n").unwrap();
        let found = host_pressure(root.path(), Awaited::Memory).unwrap().unwrap();
        assert_eq!((found.some.avg300, found.full), (3.0, Stalled::default()));
    }
}
