//! Mounts, namespaces, and the kernel's own controls.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use crate::attempt::Outcome::{Held, NotMade, Out};
use crate::attempt::{Attempt, Outcome, Targets};
use crate::call::{self, call};

pub(crate) const ALL: &[Attempt] = &[
    Attempt { name: "mount-a-file-system", run: |t| mount("tmpfs", t) },
    Attempt { name: "mount-proc-anew", run: |t| mount("proc", t) },
    Attempt { name: "mount-the-control-groups", run: |t| mount("cgroup2", t) },
    Attempt { name: "mount-by-the-new-calls", run: |_| fsopen() },
    Attempt { name: "copy-the-root-by-open-tree", run: |_| open_tree() },
    Attempt { name: "bind-over-a-file", run: bind },
    Attempt { name: "make-the-root-writable", run: |_| remount() },
    Attempt { name: "make-the-root-writable-by-mount-setattr", run: |_| set_attributes() },
    Attempt { name: "unmount-a-mask", run: unmount },
    Attempt { name: "pivot-the-root", run: |_| pivot() },
    Attempt { name: "change-the-root", run: |_| chroot() },
    Attempt { name: "make-a-user-namespace", run: |_| unshare(libc::CLONE_NEWUSER) },
    Attempt { name: "make-a-mount-namespace", run: |_| unshare(libc::CLONE_NEWNS) },
    Attempt { name: "clone-into-a-user-namespace", run: |_| clone() },
    Attempt { name: "clone3-into-a-user-namespace", run: |_| clone3() },
    Attempt { name: "write-a-control-groups-file", run: |_| cgroup_files() },
    Attempt { name: "make-a-control-group", run: |_| cgroup_directory() },
    Attempt { name: "set-the-core-pattern", run: |_| writable("/proc/sys/kernel/core_pattern") },
    Attempt { name: "set-the-module-loader", run: |_| writable("/proc/sys/kernel/modprobe") },
    Attempt { name: "set-a-sysctl", run: |_| writable("/proc/sys/vm/swappiness") },
    Attempt { name: "write-to-sysfs", run: |_| sysfs() },
    Attempt { name: "press-sysrq", run: |_| writable("/proc/sysrq-trigger") },
    Attempt { name: "read-the-kernels-memory", run: |_| readable("/proc/kcore") },
    Attempt {
        name: "read-the-kernels-log",
        run: |_| Outcome::of(call(libc::SYS_syslog, &[10, 0, 0]), "asked its size"),
    },
    Attempt { name: "load-a-module", run: |_| module() },
    Attempt { name: "remove-a-module", run: |_| remove_module() },
    Attempt { name: "load-another-kernel", run: |_| refused(libc::SYS_kexec_load, &[0, 0, 0, 0], "may load one") },
    Attempt { name: "reboot", run: |_| refused(libc::SYS_reboot, &[1, 2, 3, 0], "may reboot") },
    Attempt { name: "set-the-clock", run: |_| refused(libc::SYS_settimeofday, &[0, 0], "may set it") },
    Attempt { name: "set-the-host-name", run: |_| host_name() },
    Attempt { name: "switch-swap-on", run: |_| swap() },
    Attempt { name: "make-a-bpf-map", run: |_| bpf() },
    Attempt { name: "watch-the-whole-machine-by-perf", run: |_| perf() },
    Attempt { name: "open-userfaultfd", run: |_| user_faults() },
    Attempt { name: "set-up-io-uring", run: |_| io_uring() },
    Attempt { name: "open-a-raw-socket", run: |_| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP) },
    Attempt { name: "open-a-packet-socket", run: |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0) },
    Attempt { name: "open-a-socket-to-the-hypervisor", run: |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0) },
    Attempt { name: "open-a-socket-of-the-kernels-ciphers", run: |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) },
    Attempt { name: "type-into-a-terminal", run: |_| terminal() },
    Attempt { name: "gain-access-to-ports", run: |_| refused(PORTS, &[3], "has it") },
    Attempt { name: "turn-randomisation-off", run: |_| personality() },
];

#[cfg(target_arch = "x86_64")]
const PORTS: libc::c_long = libc::SYS_iopl;
/// Where there are no ports, the nearest thing: another's quota.
#[cfg(not(target_arch = "x86_64"))]
const PORTS: libc::c_long = libc::SYS_quotactl;

fn refused(number: libc::c_long, arguments: &[usize], got: &str) -> Outcome {
    Outcome::unless_refused(call(number, arguments), got)
}

// ---- mounts ----

fn mount(kind: &str, targets: &Targets) -> Outcome {
    let (name, place) = (call::owned(kind), call::owned(&targets.own.to_string_lossy()));
    let mounted = call(libc::SYS_mount, &[call::text(&name), call::text(&place), call::text(&name), 0, 0]);
    if mounted.is_ok() {
        call(libc::SYS_umount2, &[call::text(&place), libc::MNT_DETACH as usize]).ok();
    }
    Outcome::of(mounted, "mounted it")
}

fn fsopen() -> Outcome {
    Outcome::of(call(libc::SYS_fsopen, &[call::text(c"tmpfs"), 0]), "began one")
}

fn open_tree() -> Outcome {
    let flags = libc::OPEN_TREE_CLONE as usize;
    Outcome::of(call(libc::SYS_open_tree, &[libc::AT_FDCWD as usize, call::text(c"/"), flags]), "copied it")
}

fn bind(targets: &Targets) -> Outcome {
    let own = call::owned(&targets.own.to_string_lossy());
    let arguments = [call::text(&own), call::text(c"/etc"), 0, libc::MS_BIND as usize, 0];
    let bound = call(libc::SYS_mount, &arguments);
    if bound.is_ok() {
        call(libc::SYS_umount2, &[call::text(c"/etc"), libc::MNT_DETACH as usize]).ok();
    }
    Outcome::of(bound, "bound over /etc")
}

fn remount() -> Outcome {
    let flags = (libc::MS_REMOUNT | libc::MS_BIND) as usize;
    let one = |place| Outcome::of(call(libc::SYS_mount, &[0, call::text(place), 0, flags, 0]), "remounted it");
    Outcome::any([c"/", c"/usr", c"/etc", c"/proc/sys", c"/sys"].map(one))
}

fn set_attributes() -> Outcome {
    // attr_set, attr_clr, propagation, userns_fd
    let mut attributes = [0_u8; 32];
    attributes[8] = libc::MOUNT_ATTR_RDONLY as u8;
    let address = call::bytes(&mut attributes);
    let one = |place| {
        let arguments = [libc::AT_FDCWD as usize, call::text(place), 0, address, attributes.len()];
        Outcome::of(call(libc::SYS_mount_setattr, &arguments), "changed it")
    };
    Outcome::any([c"/", c"/usr", c"/etc"].map(one))
}

fn unmount(targets: &Targets) -> Outcome {
    let Some(mask) = targets.place("mask") else { return NotMade("the test names no mask".to_owned()) };
    let one = |place: &Path| {
        let place = call::owned(&place.to_string_lossy());
        Outcome::of(call(libc::SYS_umount2, &[call::text(&place), libc::MNT_DETACH as usize]), "unmounted it")
    };
    Outcome::any([mask.as_path(), Path::new("/proc/kcore"), Path::new("/proc/sys"), Path::new("/tmp")].map(one))
}

fn pivot() -> Outcome {
    let entered = std::env::set_current_dir("/tmp");
    match entered.and_then(|()| call(libc::SYS_pivot_root, &[call::text(c"."), call::text(c".")])) {
        // Only who may pivot is told that this is no place for it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EBUSY)) => {
            Out(format!("may pivot ({error})"))
        }
        pivoted => Outcome::of(pivoted, "pivoted"),
    }
}

fn chroot() -> Outcome {
    Outcome::of(call(libc::SYS_chroot, &[call::text(c"/tmp")]), "changed it")
}

// ---- namespaces ----

fn unshare(flags: libc::c_int) -> Outcome {
    Outcome::of(call(libc::SYS_unshare, &[flags as usize]), "made it")
}

/// The copy ends at once.
fn clone() -> Outcome {
    let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as usize;
    match call(libc::SYS_clone, &[flags, 0, 0, 0, 0]) {
        Ok(0) => std::process::exit(0),
        cloned => Outcome::of(cloned, "made it"),
    }
}

fn clone3() -> Outcome {
    let mut arguments = [0_u8; 88];
    arguments[..8].copy_from_slice(&(libc::CLONE_NEWUSER as u64).to_ne_bytes());
    arguments[32..40].copy_from_slice(&(libc::SIGCHLD as u64).to_ne_bytes());
    match call(libc::SYS_clone3, &[call::bytes(&mut arguments), 88]) {
        Ok(0) => std::process::exit(0),
        // A filter says so, to have C libraries take clone; a kernel without it is older than barepod runs on.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Held(error.to_string()),
        cloned => Outcome::of(cloned, "made it"),
    }
}

// ---- control groups ----

const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

fn cgroup_files() -> Outcome {
    let files = ["cgroup.procs", "cgroup.kill", "memory.max", "pids.max", "cgroup.subtree_control", "tasks"];
    let open = |path: std::path::PathBuf| {
        Outcome::of(OpenOptions::new().write(true).open(&path), &format!("opened {}", path.display()))
    };
    Outcome::any(CGROUPS.iter().flat_map(|group| files.map(|file| open(Path::new(group).join(file)))))
}

fn cgroup_directory() -> Outcome {
    let make = |group: &str| {
        let path = Path::new(group).join("hostile");
        let made = fs::create_dir(&path);
        fs::remove_dir(&path).ok();
        Outcome::of(made, &format!("made {}", path.display()))
    };
    Outcome::any(CGROUPS.map(make))
}

// ---- the kernel's controls ----

/// Opened for writing and not written to.
fn writable(path: &str) -> Outcome {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => NotMade(format!("this kernel has no {path}")),
        opened => Outcome::of(opened, &format!("opened {path}")),
    }
}

fn readable(path: &str) -> Outcome {
    let mut first = [0];
    match File::open(path).and_then(|mut file| file.read(&mut first)) {
        Ok(0) => Held("it is empty".to_owned()),
        read => Outcome::of(read, &format!("read {path}")),
    }
}

fn sysfs() -> Outcome {
    let files = ["/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/uevent_helper", "/sys/power/state"];
    Outcome::any(files.map(writable))
}

fn module() -> Outcome {
    let mut nonsense = *b"no module";
    refused(libc::SYS_init_module, &[call::bytes(&mut nonsense), 9, call::text(c"")], "may load one")
}

fn remove_module() -> Outcome {
    refused(libc::SYS_delete_module, &[call::text(c"hostile"), 0], "may remove one")
}

fn host_name() -> Outcome {
    let mut name = [0_u8; 65];
    let length = fs::read("/proc/sys/kernel/hostname").map_or(0, |own| {
        let own = own.trim_ascii_end();
        name[..own.len()].copy_from_slice(own);
        own.len()
    });
    Outcome::of(call(libc::SYS_sethostname, &[call::bytes(&mut name), length]), "set it to what it was")
}

fn swap() -> Outcome {
    refused(libc::SYS_swapon, &[call::text(c"/no/such/file"), 0], "may do it")
}

fn bpf() -> Outcome {
    // BPF_MAP_CREATE of an array with one entry of four bytes
    let mut attributes = [0_u8; 120];
    for (at, value) in [(0, 2_u32), (4, 4), (8, 4), (12, 1)] {
        attributes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    Outcome::of(call(libc::SYS_bpf, &[0, call::bytes(&mut attributes), 120]), "made one")
}

/// A software clock, of all processes on the first processor.
fn perf() -> Outcome {
    let mut attributes = [0_u8; 128];
    attributes[0] = 1;
    attributes[4] = 128;
    let everybody = -1_isize as usize;
    Outcome::of(call(libc::SYS_perf_event_open, &[call::bytes(&mut attributes), everybody, 0, everybody, 0]), "watches")
}

fn user_faults() -> Outcome {
    // 1: faults of user space alone, which the kernel lets everybody handle
    Outcome::any([0, 1].map(|flags| Outcome::of(call(libc::SYS_userfaultfd, &[flags]), "opened it")))
}

fn io_uring() -> Outcome {
    let mut parameters = [0_u8; 120];
    Outcome::of(call(libc::SYS_io_uring_setup, &[1, call::bytes(&mut parameters)]), "set it up")
}

fn socket(family: i32, kind: i32, protocol: i32) -> Outcome {
    Outcome::of(call(libc::SYS_socket, &[family as usize, kind as usize, protocol as usize]), "opened it")
}

/// A terminal of its own becomes the controlling one, and is typed into: what `su` and its like leave open to whom they run.
fn terminal() -> Outcome {
    let controller = match OpenOptions::new().read(true).write(true).open("/dev/ptmx") {
        Ok(controller) => controller,
        Err(error) => return NotMade(format!("no terminal can be made: {error}")),
    };
    let fd = controller.as_raw_fd() as usize;
    let mut number = 0_u32.to_ne_bytes();
    let unlocked = call(libc::SYS_ioctl, &[fd, libc::TIOCSPTLCK as usize, call::bytes(&mut number)]);
    let named = unlocked.and_then(|_| call(libc::SYS_ioctl, &[fd, libc::TIOCGPTN as usize, call::bytes(&mut number)]));
    let path = format!("/dev/pts/{}", u32::from_ne_bytes(number));
    let opened = named.and_then(|_| OpenOptions::new().read(true).write(true).open(path));
    let terminal = match opened.and_then(|terminal| call(libc::SYS_setsid, &[]).map(|_| terminal)) {
        Ok(terminal) => terminal,
        Err(error) => return NotMade(format!("no terminal can be had: {error}")),
    };
    let fd = terminal.as_raw_fd() as usize;
    // Whose terminal is closed is hung up on: it stays open until the end.
    std::mem::forget((controller, terminal));
    let mut letter = *b"x";
    let typed = call(libc::SYS_ioctl, &[fd, libc::TIOCSCTTY as usize, 0])
        .and_then(|_| call(libc::SYS_ioctl, &[fd, libc::TIOCSTI as usize, call::bytes(&mut letter)]));
    Outcome::of(typed, "typed")
}

fn personality() -> Outcome {
    Outcome::of(call(libc::SYS_personality, &[libc::ADDR_NO_RANDOMIZE as usize]), "turned it off")
}
