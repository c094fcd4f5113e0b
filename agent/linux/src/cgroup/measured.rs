//! All that the kernel counts of a pod or a container, for those who watch it. A figure that this host does not count, or that
//! cannot be read, is missing, and the others are there all the same.

use std::path::Path;

use barepod_model::{Attempt, ContainerKey, PodUid};

use super::{Awaited, Controller, Groups, Pressure, files, pressure};

/// v1's word for no limit is a number near the largest there is.
const UNLIMITED: u64 = 1 << 62;

/// What a group uses; times in nanoseconds since the group was made, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// CPU time.
    pub cpu_ns: Option<u64>,
    /// Of it, in programs.
    pub cpu_user_ns: Option<u64>,
    /// Of it, in the kernel.
    pub cpu_system_ns: Option<u64>,
    /// Periods of its quota, where it has one.
    pub periods: Option<u64>,
    /// Of them, those in which it had to wait.
    pub throttled_periods: Option<u64>,
    /// How long it had to.
    pub throttled_ns: Option<u64>,
    /// Memory, cache included.
    pub memory: Option<u64>,
    /// File cache that nobody touched of late; without it, Kubernetes calls memory the working set.
    pub inactive_file: Option<u64>,
    /// Memory that belongs to no file.
    pub rss: Option<u64>,
    /// Memory of files.
    pub cache: Option<u64>,
    /// Of it, what is mapped.
    pub mapped_file: Option<u64>,
    /// The limit.
    pub memory_limit: Option<u64>,
    /// Page faults.
    pub page_faults: Option<u64>,
    /// Of them, those that had to read.
    pub major_page_faults: Option<u64>,
    /// What lies in swap space.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// How often the kernel killed for memory.
    pub oom_kills: Option<u64>,
    /// How long it waited for a CPU.
    pub cpu_stall: Option<Pressure>,
    /// For memory.
    pub memory_stall: Option<Pressure>,
    /// For disks.
    pub io_stall: Option<Pressure>,
    /// Bytes read from block devices. v1 counts those of pods alone that ask for a part of the disks.
    pub io_read: Option<u64>,
    /// Bytes written to them.
    pub io_written: Option<u64>,
    /// How often it read from them.
    pub io_reads: Option<u64>,
    /// How often it wrote to them.
    pub io_writes: Option<u64>,
    /// Its CPU quota in microseconds a period, where it has one.
    pub cpu_quota_us: Option<u64>,
    /// The period of its quota, in microseconds.
    pub cpu_period_us: Option<u64>,
}

impl Groups {
    /// What a pod uses, its shims included.
    #[must_use]
    pub fn measured_pod(&self, pod: &PodUid) -> Measured {
        let path = self.pod_path(pod);
        self.measured(&path, &self.hierarchy().unified().join(&path))
    }

    /// What a container uses. CPU time is that of this attempt, as a restarted container begins anew for Kubernetes; memory
    /// is what its limit is held against.
    #[must_use]
    pub fn measured_container(&self, key: &ContainerKey, attempt: Attempt) -> Measured {
        self.measured(&self.container_path(key), &self.leaf(key, attempt).unified)
    }

    /// The group's path below the hierarchy of each kind, as what watches it calls it.
    #[must_use]
    pub fn name_of(&self, pod: &PodUid, container: Option<&ContainerKey>) -> String {
        let path = container.map_or_else(|| self.pod_path(pod), |key| self.container_path(key));
        format!("/{}", path.display())
    }

    fn measured(&self, group: &Path, timed: &Path) -> Measured {
        let mut measured = Measured::default();
        measured.time(&text(&timed.join("cpu.stat")));
        if let Some(dir) = self.directory_at(group, Controller::Cpu) {
            measured.throttling(&text(&dir.join("cpu.stat")));
            match self.hierarchy().is_set_in_v2(Controller::Cpu) {
                true => measured.quota_v2(&text(&dir.join("cpu.max"))),
                false => measured.quota_v1(&dir),
            }
        }
        if let Some(dir) = self.directory_at(group, Controller::Memory) {
            match self.hierarchy().is_set_in_v2(Controller::Memory) {
                true => measured.memory_v2(&dir),
                false => measured.memory_v1(&dir),
            }
        }
        if let Some(dir) = self.directory_at(group, Controller::Pids) {
            measured.processes = number(&dir.join("pids.current"));
        }
        if let Some(dir) = self.directory_at(group, Controller::Io) {
            match self.hierarchy().is_set_in_v2(Controller::Io) {
                true => measured.io_v2(&dir),
                false => measured.io_v1(&dir),
            }
        }
        let stall = |of| pressure::read_of(&self.hierarchy().unified().join(group), of).ok().flatten();
        measured.cpu_stall = stall(Awaited::Cpu);
        measured.memory_stall = stall(Awaited::Memory);
        measured.io_stall = stall(Awaited::Io);
        measured
    }
}

impl Measured {
    /// cgroup2 counts CPU time even where it has no controllers.
    fn time(&mut self, stat: &str) {
        let ns = |name| value(stat, name).map(|us| us.saturating_mul(1000));
        (self.cpu_ns, self.cpu_user_ns, self.cpu_system_ns) = (ns("usage_usec"), ns("user_usec"), ns("system_usec"));
    }

    fn throttling(&mut self, stat: &str) {
        self.periods = value(stat, "nr_periods");
        self.throttled_periods = value(stat, "nr_throttled");
        let v2 = value(stat, "throttled_usec").map(|us| us.saturating_mul(1000));
        self.throttled_ns = v2.or(value(stat, "throttled_time"));
    }

    /// `max 100000`, or a quota and its period.
    fn quota_v2(&mut self, max: &str) {
        let mut words = max.split_whitespace().map(|word| word.parse().ok());
        (self.cpu_quota_us, self.cpu_period_us) = (words.next().flatten(), words.next().flatten());
    }

    /// A quota of -1 is none.
    fn quota_v1(&mut self, dir: &Path) {
        let word = |name| text(&dir.join(name)).trim().parse().ok();
        (self.cpu_quota_us, self.cpu_period_us) = (word("cpu.cfs_quota_us"), word("cpu.cfs_period_us"));
    }

    fn memory_v2(&mut self, dir: &Path) {
        let stat = text(&dir.join("memory.stat"));
        self.memory = number(&dir.join("memory.current"));
        self.memory_limit = number(&dir.join("memory.max"));
        self.swap = number(&dir.join("memory.swap.current"));
        self.oom_kills = value(&text(&dir.join("memory.events")), "oom_kill");
        self.inactive_file = value(&stat, "inactive_file");
        (self.rss, self.cache) = (value(&stat, "anon"), value(&stat, "file"));
        self.mapped_file = value(&stat, "file_mapped");
        (self.page_faults, self.major_page_faults) = (value(&stat, "pgfault"), value(&stat, "pgmajfault"));
    }

    /// A line a device: `8:0 rbytes=1 wbytes=2 rios=3`; without one nothing was read or written.
    fn io_v2(&mut self, dir: &Path) {
        let Ok(stat) = files::read(&dir.join("io.stat")) else { return };
        let figures = || stat.lines().flat_map(str::split_whitespace);
        let sum = |name| figures().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum();
        (self.io_read, self.io_written) = (Some(sum("rbytes=")), Some(sum("wbytes=")));
        (self.io_reads, self.io_writes) = (Some(sum("rios=")), Some(sum("wios=")));
    }

    fn io_v1(&mut self, dir: &Path) {
        let of = |name: &str| {
            let figures = files::read(&dir.join(format!("blkio.throttle.{name}_recursive"))).ok();
            figures.map(|figures| (blkio(&figures, "Read"), blkio(&figures, "Write"))).unzip()
        };
        (self.io_read, self.io_written) = of("io_service_bytes");
        (self.io_reads, self.io_writes) = of("io_serviced");
    }

    fn memory_v1(&mut self, dir: &Path) {
        let stat = text(&dir.join("memory.stat"));
        self.memory = number(&dir.join("memory.usage_in_bytes"));
        self.memory_limit = number(&dir.join("memory.limit_in_bytes")).filter(|limit| *limit < UNLIMITED);
        self.oom_kills = value(&text(&dir.join("memory.oom_control")), "oom_kill");
        self.inactive_file = value(&stat, "total_inactive_file");
        (self.rss, self.cache) = (value(&stat, "total_rss"), value(&stat, "total_cache"));
        (self.mapped_file, self.swap) = (value(&stat, "total_mapped_file"), value(&stat, "total_swap"));
        (self.page_faults, self.major_page_faults) = (value(&stat, "total_pgfault"), value(&stat, "total_pgmajfault"));
    }
}

/// The sum over all devices, of lines of three words: `8:0 Read 1`.
fn blkio(figures: &str, kind: &str) -> u64 {
    let of_kind = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, word, number] if word == kind => number.parse::<u64>().ok(),
        _ => None,
    };
    figures.lines().filter_map(of_kind).sum()
}

/// A file's text; none if it cannot be read.
fn text(path: &Path) -> String {
    files::read(path).unwrap_or_default()
}

/// The number in a file; none for `max`, too.
fn number(path: &Path) -> Option<u64> {
    files::read_limit(path).ok().flatten()
}

/// The number after a word, in lines of a word and a number.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use barepod_model::ContainerName;

    use super::*;
    use crate::cgroup::{Hierarchy, Rules};

    const UID: &str = "0a7f5f1e-3f5c-4f0e-9d8c-0a7f5f1e3f5c";

    fn groups(root: &Path, hierarchy: Hierarchy) -> Groups {
        let base = root.join("barepod");
        fs::create_dir_all(base).unwrap();
        Groups::open(hierarchy, "barepod").unwrap().with_rules(Rules::default())
    }

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (path, contents) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
    }

    fn key() -> ContainerKey {
        ContainerKey { pod: PodUid::new(UID).unwrap(), container: ContainerName::new("main").unwrap() }
    }

    #[test]
    fn what_v2_counts_is_read_and_a_file_that_makes_no_sense_leaves_a_hole() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[("cgroup.controllers", "cpu io memory pids\n"), ("cgroup.subtree_control", "cpu io memory pids\n")],
        );
        for above in ["barepod", "barepod/podX"] {
            let above = root.path().join(above.replace('X', UID));
            put(
                &above,
                &[("cgroup.controllers", "cpu io memory pids\n"), ("cgroup.subtree_control", "cpu io memory pids\n")],
            );
        }
        let groups = groups(root.path(), Hierarchy::detect(root.path()).unwrap());
        let main = root.path().join(format!("barepod/pod{UID}/main"));
        put(
            &main,
            &[
                ("0/cpu.stat", "usage_usec 70\nuser_usec 50\nsystem_usec 20\n"),
                ("1/cpu.stat", "usage_usec 7\nuser_usec 5\nsystem_usec 2\n"),
                ("cpu.weight", "100\n"),
                ("cpu.max", "30000 100000\n"),
                ("cpu.stat", "usage_usec 77\nnr_periods 4\nnr_throttled 3\nthrottled_usec 9\n"),
                ("memory.max", "max\n"),
                ("memory.current", "4096\n"),
                ("memory.stat", "anon 1000\nfile 3000\nfile_mapped 12\ninactive_file 96\npgfault 8\npgmajfault 1\n"),
                ("memory.swap.current", "garbage\n"),
                ("memory.events", "low 0\noom 2\noom_kill 1\n"),
                ("pids.max", "max\n"),
                ("pids.current", "3\n"),
                ("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=42\n"),
                ("memory.pressure", "nonsense\n"),
                ("cgroup.procs", ""),
                ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=5 wbytes=7 rios=1 wios=2\n"),
            ],
        );
        let found = groups.measured_container(&key(), Attempt(1));
        assert_eq!((found.cpu_ns, found.cpu_user_ns, found.cpu_system_ns), (Some(7000), Some(5000), Some(2000)));
        assert_eq!((found.periods, found.throttled_periods, found.throttled_ns), (Some(4), Some(3), Some(9000)));
        assert_eq!((found.memory, found.memory_limit, found.inactive_file), (Some(4096), None, Some(96)));
        assert_eq!((found.rss, found.cache, found.mapped_file), (Some(1000), Some(3000), Some(12)));
        assert_eq!((found.page_faults, found.major_page_faults), (Some(8), Some(1)));
        assert_eq!((found.swap, found.oom_kills, found.processes), (None, Some(1), Some(3)));
        assert_eq!(found.cpu_stall.map(|stall| stall.some.total_us), Some(42));
        assert_eq!((found.memory_stall, found.io_stall), (None, None));
        assert_eq!((found.io_read, found.io_written), (Some(15), Some(27)));
        assert_eq!((found.io_reads, found.io_writes), (Some(2), Some(4)));
        assert_eq!((found.cpu_quota_us, found.cpu_period_us), (Some(30_000), Some(100_000)));
    }

    #[test]
    fn what_a_hybrid_host_counts_is_read() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[
                ("unified/cgroup.controllers", ""),
                ("memory/cgroup.procs", ""),
                ("cpu/cgroup.procs", ""),
                ("pids/cgroup.procs", ""),
                ("blkio/cgroup.procs", ""),
            ],
        );
        let groups = groups(root.path(), Hierarchy::detect(root.path()).unwrap());
        let at = |mount: &str| root.path().join(mount).join(format!("barepod/pod{UID}/main"));
        put(&at("unified"), &[("0/cpu.stat", "usage_usec 7\nuser_usec 5\nsystem_usec 2\n")]);
        let stat = "nr_periods 4\nnr_throttled 3\nthrottled_time 9\n";
        let quota = [("cpu.cfs_quota_us", "-1\n"), ("cpu.cfs_period_us", "100000\n")];
        put(&at("cpu"), &[[("cpu.shares", "2\n"), ("cpu.stat", stat)], quota].concat());
        let serviced = "8:0 Read 11\n8:0 Write 12\n8:0 Total 23\n8:16 Read 1\n8:16 Write 2\nTotal 26\n";
        let times = "8:0 Read 3\n8:0 Write 4\n8:16 Read 5\nTotal 12\n";
        put(
            &at("blkio"),
            &[
                ("cgroup.procs", ""),
                ("blkio.throttle.io_service_bytes_recursive", serviced),
                ("blkio.throttle.io_serviced_recursive", times),
            ],
        );
        let stat = "rss 1\ntotal_rss 10\ntotal_cache 20\ntotal_inactive_file 5\ntotal_swap 7\ntotal_pgfault 8\n";
        put(
            &at("memory"),
            &[
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.usage_in_bytes", "30\n"),
                ("memory.stat", stat),
            ],
        );
        let found = groups.measured_container(&key(), Attempt(0));
        assert_eq!((found.cpu_ns, found.throttled_ns), (Some(7000), Some(9)));
        assert_eq!((found.memory, found.memory_limit, found.inactive_file), (Some(30), None, Some(5)));
        assert_eq!((found.rss, found.swap, found.major_page_faults), (Some(10), Some(7), None));
        assert_eq!((found.io_read, found.io_written), (Some(12), Some(14)));
        assert_eq!((found.io_reads, found.io_writes), (Some(8), Some(4)));
        assert_eq!((found.cpu_quota_us, found.cpu_period_us), (None, Some(100_000)));
        assert_eq!(groups.measured_pod(&PodUid::new("another").unwrap()), Measured::default());
    }
}
