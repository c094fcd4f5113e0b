//! An attempt's leaf cgroup: whether anything is left in it, killing all of it, and whether memory ran out there.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use barepod_sys::proc;

use crate::wire;

/// A leaf in the cgroup2 mount, and where v1 tells of memory.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    events: File,
    /// Where the kernel counts what it killed for memory.
    memory: Option<File>,
}

impl Group {
    /// Opens it.
    ///
    /// # Errors
    /// As open(2) of `cgroup.events`.
    pub fn open(cgroup: &wire::Cgroup) -> io::Result<Self> {
        let directory = PathBuf::from(&cgroup.unified);
        let events = File::open(directory.join("cgroup.events"))?;
        let legacy =
            (!cgroup.legacy_memory.is_empty()).then(|| Path::new(&cgroup.legacy_memory).join("memory.oom_control"));
        let memory = File::open(directory.join("memory.events")).ok().or_else(|| File::open(legacy?).ok());
        Ok(Self { directory, events, memory })
    }

    /// Becomes ready for change when the last process leaves.
    #[must_use]
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether a process is in it. A group that was removed is empty; one that cannot be read is not known to be.
    #[must_use]
    pub fn populated(&self) -> bool {
        let mut text = [0; 256];
        match self.events.read_at(&mut text, 0) {
            Ok(length) => !has_line(&text[..length], b"populated 0"),
            Err(error) => self.directory.exists() && error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Kills every process in it and below, at once.
    ///
    /// # Errors
    /// As write(2) to `cgroup.kill` (Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.kill"), "1")
    }

    /// Whether the kernel has killed in it for memory. The group is an attempt's own, so its counter began at 0.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        self.memory.as_ref().and_then(|file| counter(file, "oom_kill")).is_some_and(|count| count > 0)
    }

    /// The processes in it.
    ///
    /// # Errors
    /// As read(2) of `cgroup.procs`.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// The process whose parent is outside: the one that was put here, if it still lives; of several the oldest.
    #[must_use]
    pub fn main_process(&self, proc: &Path) -> Option<u32> {
        let pids = self.processes().ok()?;
        let mut candidates: Vec<(u64, u32)> = pids
            .iter()
            .filter_map(|&pid| Some((pid, proc::stat(proc, pid).ok()?)))
            .filter(|(_, stat)| !pids.contains(&stat.parent))
            .map(|(pid, stat)| (stat.start_ticks, pid))
            .collect();
        candidates.sort_unstable();
        candidates.first().map(|&(_, pid)| pid)
    }
}

fn has_line(text: &[u8], wanted: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| line == wanted)
}

fn counter(file: &File, name: &str) -> Option<u64> {
    let mut text = [0; 512];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn group(scratch: &Scratch, events: &str) -> Group {
        fs::write(scratch.path().join("cgroup.events"), events).unwrap();
        let path = scratch.path().to_str().unwrap().to_owned();
        Group::open(&wire::Cgroup { unified: path.clone(), legacy: vec![], legacy_memory: path }).unwrap()
    }

    #[test]
    fn only_populated_0_is_empty() {
        let scratch = Scratch::new();

        assert!(!group(&scratch, "populated 0\nfrozen 0\n").populated());
        assert!(group(&scratch, "populated 1\nfrozen 0\n").populated());
        assert!(group(&scratch, "").populated());
    }

    #[test]
    fn memory_events_of_v2_come_before_oom_control_of_v1() {
        let scratch = Scratch::new();
        assert!(!group(&scratch, "populated 1\n").ran_out_of_memory());

        fs::write(scratch.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap();
        assert!(group(&scratch, "populated 1\n").ran_out_of_memory());

        fs::write(scratch.path().join("memory.events"), "low 0\noom 1\noom_kill 0\noom_group_kill 0\n").unwrap();
        assert!(!group(&scratch, "populated 1\n").ran_out_of_memory());
    }

    #[test]
    fn a_kill_after_the_group_was_opened_is_counted() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("memory.events"), "oom 0\noom_kill 0\n").unwrap();
        let group = group(&scratch, "populated 1\n");
        assert!(!group.ran_out_of_memory());

        fs::write(scratch.path().join("memory.events"), "oom 1\noom_kill 1\n").unwrap();

        assert!(group.ran_out_of_memory());
    }
}
