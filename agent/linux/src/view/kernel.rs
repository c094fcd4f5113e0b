//! `/dev`, `/proc` and `/sys` of a container's own.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use barepod_model::{Bytes, Launch};
use barepod_shim::wire::Mount;
use barepod_shim::wire::mount::Kind;

use super::host_dirs::{Kind as HostKind, Node};
use super::mount::{Without, bind, directory, file_system, link, mask, read_only};

/// What every container runtime gives.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What tells of the host's hardware and kernel, or steers it.
const MASKED: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What may be read. All of `/proc` cannot be: a service sets its own `oom_score_adj`.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What container runtimes take where nothing is said; tmpfs would take 0 for no limit.
const DEFAULT_SHM: Bytes = Bytes(64 << 20);

/// What `/dev` of a privileged container does not take from the host, since it has its own.
const OWN_DEVICES: [&str; 11] =
    ["core", "fd", "initctl", "log", "mqueue", "ptmx", "pts", "shm", "stderr", "stdin", "stdout"];

/// All three, on directories that are made if they are missing. `host_devices` are the entries of the host's `/dev`, for a
/// privileged container.
pub(super) fn mounts(launch: &Launch, shared: Option<&Path>, host_devices: &[(OsString, Node)]) -> Vec<Mount> {
    let confinement = &launch.confinement;
    let mut mounts = devices(confinement.privileged, host_devices);
    mounts.extend(shared_memory(launch, shared));
    mounts.extend(processes());
    mounts.extend(system(confinement.privileged));
    if !confinement.privileged && !confinement.unmasked_proc {
        mounts.extend(MASKED.map(|path| mask(Path::new(path))));
        mounts.extend(READ_ONLY.map(|path| Mount { optional: true, ..read_only(Path::new(path)) }));
    }
    mounts
}

/// Every device of the host, each by itself: nothing that is made or removed in `/dev` reaches the host.
fn host_device(name: &OsStr, node: &Node) -> Option<Mount> {
    let name = name.to_str().filter(|name| !OWN_DEVICES.contains(name) && !DEVICES.contains(name))?;
    let path = Path::new("/dev").join(name);
    match &node.kind {
        HostKind::Link(to) => to.to_str().map(|_| link(to, &path)),
        // It may have gone by then.
        HostKind::Directory | HostKind::File => {
            let inside = Without { dev: false, ..Without::ANY };
            let recursive = node.kind == HostKind::Directory;
            Some(Mount { make_target: true, optional: true, recursive, ..bind(&path, &path, inside) })
        }
    }
}

/// Each device is a mount of its own. A node that somebody makes beside them is none that works, whatever capabilities its
/// maker has.
fn devices(privileged: bool, host_devices: &[(OsString, Node)]) -> Vec<Mount> {
    let dev = Path::new("/dev");
    let (inside, beside) = (Without { dev: false, ..Without::ANY }, Without { dev: !privileged, ..Without::ANY });
    let mut mounts = vec![directory(dev, 0o755), file_system(Kind::Tmpfs, dev, "mode=755,size=64k".to_owned(), beside)];
    mounts.extend(DEVICES.iter().map(|name| {
        let path = dev.join(name);
        Mount { make_target: true, ..bind(&path, &path, inside) }
    }));
    let pts = dev.join("pts");
    let options = "newinstance,ptmxmode=0666,mode=0620,gid=5".to_owned();
    mounts.extend([directory(&pts, 0o755), file_system(Kind::Devpts, &pts, options, inside)]);
    let links = [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    mounts.extend(links.map(|(name, to)| link(Path::new(to), &dev.join(name))));
    mounts.extend(host_devices.iter().filter_map(|(name, node)| host_device(name, node)));
    mounts
}

/// Who shares an IPC namespace shares what is named in it: the host's `/dev/shm`, that of the pod, or one of its own.
fn shared_memory(launch: &Launch, shared: Option<&Path>) -> Vec<Mount> {
    let (shm, mqueue) = (Path::new("/dev/shm"), Path::new("/dev/mqueue"));
    let mut mounts = vec![directory(shm, 0o1777), directory(mqueue, 0o755)];
    if launch.namespaces.host_ipc {
        let shared = |path| Mount { optional: true, ..bind(path, path, Without::ANY) };
        mounts.extend([shared(shm), shared(mqueue)]);
    } else if let Some(source) = shared {
        mounts.push(bind(source, shm, Without::ANY));
        mounts.push(file_system(Kind::Mqueue, mqueue, String::new(), Without::ANY));
    } else {
        let size = if launch.shm_size == Bytes(0) { DEFAULT_SHM } else { launch.shm_size };
        let options = format!("mode=1777,size={}", size.0);
        mounts.push(file_system(Kind::Tmpfs, shm, options, Without::ANY));
        mounts.push(file_system(Kind::Mqueue, mqueue, String::new(), Without::ANY));
    }
    mounts
}

fn processes() -> Vec<Mount> {
    let proc = Path::new("/proc");
    vec![directory(proc, 0o555), file_system(Kind::Proc, proc, String::new(), Without::ANY)]
}

fn system(writable: bool) -> Vec<Mount> {
    let not_writable = |mount| Mount { read_only: !writable, ..mount };
    let (sys, cgroup) = (Path::new("/sys"), Path::new("/sys/fs/cgroup"));
    vec![
        directory(sys, 0o555),
        not_writable(file_system(Kind::Sysfs, sys, String::new(), Without::ANY)),
        not_writable(file_system(Kind::Cgroup2, cgroup, String::new(), Without::ANY)),
    ]
}
