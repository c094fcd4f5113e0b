//! Reads the host. Whatever cannot be read is absent, and is no error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use barepod_linux::Dirs;
use barepod_linux::cgroup::{Controller, Hierarchy};
use barepod_linux::disk::{self, Mount};
use barepod_linux::replaced::{companions, replaced};

use super::facts::{Cgroup, Daemon, Disk, Facts, HugePages, InUse, OpenFiles, Os, Running};

/// Claims that are looked at: each may be a mount of its own. Of more than these nobody reads the findings.
const MAX_CLAIMS: usize = 200;

/// Where to look.
pub(crate) struct Places {
    /// In the place of `/` for what the kernel and the distribution say.
    pub(crate) host: PathBuf,
    /// barepod's own.
    pub(crate) dirs: Dirs,
}

impl Places {
    fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.host.join(path.trim_start_matches('/'))).ok()?;
        Some(text.trim_end().to_owned())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }
}

/// What is known already.
pub(crate) struct Known {
    pub(crate) daemon: Daemon,
    /// The daemon's.
    pub(crate) pid: Option<u32>,
    pub(crate) in_use: Vec<InUse>,
    pub(crate) processes: Vec<Processes>,
}

/// The processes that a pod's containers begin with.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) pids: Vec<u32>,
}

/// Reads all the rest.
pub(crate) fn gather(places: &Places, known: Known) -> Facts {
    let Known { daemon, pid, in_use, processes } = known;
    Facts {
        kernel: places.text("proc/sys/kernel/osrelease"),
        os: os(&places.text("etc/os-release").unwrap_or_default()),
        cgroup: cgroup(&places.host.join("sys/fs/cgroup")),
        pressure: places.text("proc/pressure/cpu").is_some(),
        transparent_huge_pages: places.text("sys/kernel/mm/transparent_hugepage/enabled"),
        huge_pages: huge_pages(&places.text("proc/meminfo").unwrap_or_default()),
        overcommit_memory: places.number("proc/sys/vm/overcommit_memory"),
        max_map_count: places.number("proc/sys/vm/max_map_count"),
        swappiness: places.number("proc/sys/vm/swappiness"),
        files: open_files(places, pid),
        clock: barepod_sys::clock::synchronised().ok(),
        disks: disks(places),
        systemd: places.host.join("run/systemd/system").is_dir(),
        daemon,
        in_use,
        running: processes.into_iter().filter_map(|pod| running(places, pod)).collect(),
    }
}

/// None where no process can be looked at: it has gone, or belongs to somebody else.
fn running(places: &Places, pod: Processes) -> Option<Running> {
    let (proc, cgroup) = (places.host.join("proc"), places.host.join("sys/fs/cgroup"));
    let pids = pod.pids.iter().flat_map(|pid| companions(&proc, &cgroup, *pid)).collect::<BTreeSet<_>>();
    let seen: Vec<_> = pids.into_iter().filter_map(|pid| replaced(&proc, pid).ok()).collect();
    let replaced = seen.iter().flatten().cloned().collect();
    (!seen.is_empty()).then_some(Running { namespace: pod.namespace, name: pod.name, replaced })
}

fn os(release: &str) -> Os {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches(['"', '\'']).to_owned())
    };
    let families = [value("ID"), value("ID_LIKE")].into_iter().flatten();
    let family = families.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    Os { name: value("PRETTY_NAME"), family }
}

fn cgroup(mount: &Path) -> Cgroup {
    let hierarchy = match Hierarchy::detect(mount) {
        Ok(hierarchy) => hierarchy,
        Err(error) => return Cgroup::Unusable(error.to_string()),
    };
    let counted = Controller::ALL.into_iter().filter(|controller| hierarchy.mount_of(*controller).is_some());
    let names = counted.map(Controller::name).collect();
    if hierarchy.is_unified() { Cgroup::Unified(names) } else { Cgroup::Hybrid(names) }
}

fn huge_pages(meminfo: &str) -> Option<HugePages> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (total, free) = (field("HugePages_Total:")?, field("HugePages_Free:")?);
    Some(HugePages { total, free, size: field("Hugepagesize:")? << 10 })
}

/// Pods inherit the daemon's.
fn open_files(places: &Places, daemon: Option<u32>) -> Option<OpenFiles> {
    let of = |process: &str| hard_limit(&places.text(&format!("proc/{process}/limits"))?);
    let of_daemon = daemon.and_then(|pid| of(&pid.to_string()));
    let (hard, is_daemons) = of_daemon.map(|hard| (hard, true)).or_else(|| Some((of("self")?, false)))?;
    Some(OpenFiles { hard, of_daemon: is_daemons })
}

fn hard_limit(table: &str) -> Option<u64> {
    let row = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match row.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// What the directories with data lie on, each mount once.
fn disks(places: &Places) -> Vec<Disk> {
    let mounts = disk::mounts(&places.host.join("proc/self/mountinfo")).unwrap_or_default();
    let mut disks: Vec<Disk> = Vec::new();
    for path in directories(&places.dirs) {
        let Some((mount, there)) = lies_on(places, &mounts, &path) else { continue };
        match disks.iter_mut().find(|disk| disk.mount.point == mount.point) {
            Some(known) => known.paths.push(path),
            None => disks.push(Disk { paths: vec![path], mount: mount.clone(), space: disk::space(&there).ok() }),
        }
    }
    disks
}

/// State and logs, and each claim: an administrator may have mounted a disk there.
fn directories(dirs: &Dirs) -> Vec<PathBuf> {
    let below = |directory: PathBuf| -> Vec<PathBuf> {
        let mut entries: Vec<_> = std::fs::read_dir(directory).into_iter().flatten().flatten().collect();
        entries.retain(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let claims = below(dirs.claims()).into_iter().flat_map(below).take(MAX_CLAIMS);
    [dirs.state.clone(), dirs.log.clone()].into_iter().chain(claims).collect()
}

/// The mount of a directory, or of the nearest one above that is there, and where that is.
fn lies_on<'a>(places: &Places, mounts: &'a [Mount], path: &Path) -> Option<(&'a Mount, PathBuf)> {
    let there = path.ancestors().find_map(|above| std::fs::canonicalize(above).ok())?;
    let root = std::fs::canonicalize(&places.host).ok()?;
    let on_host = Path::new("/").join(there.strip_prefix(root).unwrap_or(&there));
    Some((disk::below(mounts, &on_host)?, there))
}
