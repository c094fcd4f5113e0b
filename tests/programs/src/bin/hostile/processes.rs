//! Processes of others, and what the kernel keeps for them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::attempt::Outcome::{Held, NotMade, Out};
use crate::attempt::{Attempt, Outcome, Targets};
use crate::call::{self, call};

pub(crate) const ALL: &[Attempt] = &[
    Attempt { name: "see-another-pods-process", run: see },
    Attempt { name: "signal-another-pods-process", run: |t| Outcome::of(signal(t.victim), "it can be signalled") },
    Attempt { name: "read-another-pods-environment", run: environment },
    Attempt { name: "go-through-the-root-of-a-process", run: |t| through(t, "root") },
    Attempt { name: "go-through-the-directory-of-a-process", run: |t| through(t, "cwd") },
    Attempt { name: "open-a-file-of-a-process", run: open_files },
    Attempt { name: "open-the-program-of-a-process", run: program },
    Attempt { name: "open-the-memory-of-a-process", run: memory },
    Attempt { name: "read-the-memory-of-a-process", run: |t| read_memory(t) },
    Attempt { name: "trace-a-process", run: trace },
    Attempt { name: "take-a-file-from-a-process", run: take_file },
    Attempt { name: "join-a-processs-namespace", run: join },
    Attempt { name: "make-a-process-less-favoured", run: nice },
    Attempt { name: "attach-the-hosts-shared-memory", run: shared_memory },
    Attempt { name: "open-the-users-keyring", run: user_keyring },
    Attempt { name: "add-a-key", run: add_key },
    Attempt { name: "list-the-kernels-keys", run: |_| keys() },
];

/// The victim, and every process that is seen and is none of one's own: those have this program or a shell as theirs.
fn others(targets: &Targets) -> Vec<u32> {
    let own =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/environ")).is_ok_and(|env| env.contains("HOSTILE_MARK"));
    let seen = fs::read_dir("/proc").into_iter().flatten().flatten();
    let seen = seen.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| !own(pid));
    let mut all: Vec<u32> = seen.filter(|pid| *pid != targets.victim).collect();
    all.insert(0, targets.victim);
    all
}

fn see(targets: &Targets) -> Outcome {
    let command = fs::read_to_string(format!("/proc/{}/cmdline", targets.victim));
    match command {
        Ok(text) if text.contains(&targets.mark) => Out("it is seen".to_owned()),
        Ok(_) => Held("that pid is another's".to_owned()),
        Err(error) => Held(error.to_string()),
    }
}

/// By signal 0, which asks only whether one may.
fn signal(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(kill(Pid::from_raw(pid), None)?)
}

fn environment(targets: &Targets) -> Outcome {
    let one = |pid: u32| match fs::read(format!("/proc/{pid}/environ")) {
        Ok(text) if !text.is_empty() => Out(format!("read that of {pid}")),
        Ok(_) => Held("it is empty".to_owned()),
        Err(error) => Held(error.to_string()),
    };
    Outcome::any(others(targets).into_iter().map(one))
}

/// To what the victim has in its own directory, or to the host's root.
fn through(targets: &Targets, link: &str) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let link = PathBuf::from(format!("/proc/{pid}/{link}/"));
        Outcome::of(fs::read_dir(&link), &format!("listed {}", link.display()))
    }))
}

fn open_files(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let directory = format!("/proc/{pid}/fd");
        Outcome::of(fs::read_dir(&directory), &format!("listed {directory}"))
    }))
}

fn program(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let file = format!("/proc/{pid}/exe");
        Outcome::of(File::open(&file), &format!("opened {file}"))
    }))
}

fn memory(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let file = format!("/proc/{pid}/mem");
        Outcome::of(File::open(&file), &format!("opened {file}"))
    }))
}

/// Where its memory is cannot be told, an address in the first megabyte answers whether one may (`EFAULT`).
fn read_memory(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let address = call::mapping(pid).unwrap_or(0x10_0000);
        match call::read_memory(pid, address) {
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Out(format!("may read that of {pid}")),
            read => Outcome::of(read, &format!("read that of {pid}")),
        }
    }))
}

fn trace(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let seized = call(libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, pid as usize, 0, 0]);
        Outcome::of(seized, &format!("traces {pid}"))
    }))
}

fn take_file(targets: &Targets) -> Outcome {
    Outcome::any(others(targets).into_iter().map(|pid| {
        let opened = call(libc::SYS_pidfd_open, &[pid as usize, 0]).map(call::descriptor);
        let taken = opened.and_then(|process| {
            use std::os::fd::AsRawFd as _;
            call(libc::SYS_pidfd_getfd, &[process.as_raw_fd() as usize, 0, 0])
        });
        Outcome::of(taken, &format!("has a file of {pid}"))
    }))
}

/// Those of the first process of the host, which a PID namespace hides.
fn join(targets: &Targets) -> Outcome {
    use std::os::fd::AsRawFd as _;
    let one = |pid: u32, kind: &str| {
        let joined = File::open(format!("/proc/{pid}/ns/{kind}"))
            .and_then(|namespace| call(libc::SYS_setns, &[namespace.as_raw_fd() as usize, 0]));
        Outcome::of(joined, &format!("joined {kind} of {pid}"))
    };
    let pids = std::iter::once(1).chain(others(targets));
    Outcome::any(pids.flat_map(|pid| ["uts", "ipc", "net", "pid", "mnt"].map(|kind| one(pid, kind))))
}

fn nice(targets: &Targets) -> Outcome {
    let pid = targets.victim as usize;
    let changed = call(libc::SYS_setpriority, &[libc::PRIO_PROCESS as usize, pid, 19]);
    Outcome::of(changed, "its priority is changed")
}

fn shared_memory(targets: &Targets) -> Outcome {
    match targets.place("sysv-key").and_then(|key| key.to_string_lossy().parse::<usize>().ok()) {
        Some(key) => Outcome::of(call(libc::SYS_shmget, &[key, 0, 0]), "found it"),
        None => NotMade("the test names no sysv-key".to_owned()),
    }
}

const GET_KEYRING_ID: usize = 0;
const USER_KEYRING: usize = -4_isize as usize;

fn user_keyring(_: &Targets) -> Outcome {
    Outcome::of(call(libc::SYS_keyctl, &[GET_KEYRING_ID, USER_KEYRING, 1]), "it is open to all pods of this user")
}

fn add_key(_: &Targets) -> Outcome {
    let (kind, name, mut value) = (c"user", c"hostile", *b"x");
    let arguments = [call::text(kind), call::text(name), call::bytes(&mut value), 1, USER_KEYRING];
    Outcome::of(call(libc::SYS_add_key, &arguments), "added one where all pods of this user find it")
}

fn keys() -> Outcome {
    let one = |file: &str| match fs::read_to_string(file) {
        Ok(text) if !text.is_empty() => Out(format!("read {file}")),
        Ok(_) => Held("it is empty".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => NotMade(format!("this kernel has no {file}")),
        Err(error) => Held(error.to_string()),
    };
    Outcome::any(["/proc/keys", "/proc/key-users"].map(one))
}

/// Shared memory of the IPC namespace that this process is in.
pub(crate) fn share(key: usize) -> io::Result<()> {
    call(libc::SYS_shmget, &[key, 4096, (libc::IPC_CREAT | 0o666) as usize]).map(drop)
}

pub(crate) fn unshare(key: usize) -> io::Result<()> {
    let id = call(libc::SYS_shmget, &[key, 0, 0])?;
    call(libc::SYS_shmctl, &[id, libc::IPC_RMID as usize, 0]).map(drop)
}

const SESSION_KEYRING: usize = -3_isize as usize;

/// As `/proc/keys` writes it.
pub(crate) fn session() -> io::Result<()> {
    use std::io::Write as _;
    let id = call(libc::SYS_keyctl, &[GET_KEYRING_ID, SESSION_KEYRING, 0])?;
    writeln!(io::stdout(), "{id:08x}")
}
