//! Files, sockets and devices that belong to others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use crate::attempt::Outcome::{Held, NotMade, Out};
use crate::attempt::{Attempt, Outcome, Targets};
use crate::call::{self, call};

pub(crate) const ALL: &[Attempt] = &[
    Attempt { name: "read-another-pods-emptydir", run: |t| read(t, "emptydir") },
    Attempt { name: "read-another-pods-claim", run: |t| read(t, "claim") },
    Attempt { name: "read-another-pods-secret-volume", run: |t| read(t, "secret") },
    Attempt { name: "read-files-made-for-another-pod", run: |t| list(t, "made-files") },
    Attempt { name: "read-another-pods-log", run: |t| read(t, "log") },
    Attempt { name: "read-another-pods-termination-message", run: |t| list(t, "last-words") },
    Attempt { name: "list-the-ledger", run: |t| list(t, "ledger") },
    Attempt { name: "read-barepods-configuration", run: |t| read_any(t, "config") },
    Attempt { name: "list-the-manifests", run: |t| list(t, "manifests") },
    Attempt { name: "write-a-manifest", run: write_manifest },
    Attempt { name: "connect-to-barepods-socket", run: |t| connect(t, "socket") },
    Attempt { name: "connect-to-a-shims-socket", run: |t| connect(t, "shim-socket") },
    Attempt { name: "open-another-containers-output", run: |t| open_fifo(t) },
    Attempt { name: "connect-to-another-pods-socket", run: |t| connect(t, "victims-socket") },
    Attempt { name: "connect-to-an-abstract-socket", run: abstract_socket },
    Attempt { name: "read-the-hosts-passwords", run: |_| passwords() },
    Attempt { name: "read-a-file-that-only-root-may", run: |t| read(t, "root-only") },
    Attempt { name: "list-roots-home", run: |_| entries(Path::new("/root")) },
    Attempt { name: "read-the-hosts-temporary-files", run: |t| read(t, "tmp") },
    Attempt { name: "read-the-hosts-runtime-files", run: |t| read(t, "run") },
    Attempt { name: "read-the-hosts-shared-memory", run: |t| read(t, "shm") },
    Attempt { name: "write-on-the-hosts-root", run: write_host },
    Attempt { name: "link-a-file-of-the-host-into-a-volume", run: hard_link },
    Attempt { name: "follow-a-link-out-of-a-volume", run: |t| follow_link(t) },
    Attempt { name: "leave-a-volume-by-dots", run: dots },
    Attempt { name: "make-a-disks-node", run: |t| make_node(t, "own-disk", libc::S_IFBLK, "disk-number") },
    Attempt { name: "make-a-node-of-the-kernels-log", run: |t| make_node(t, "own-kmsg", libc::S_IFCHR, "kmsg-number") },
    Attempt { name: "open-the-hosts-devices", run: |_| devices() },
    Attempt { name: "open-a-terminal-of-the-host", run: |_| terminals() },
    Attempt { name: "open-by-handle", run: by_handle },
    Attempt { name: "run-a-setuid-file-of-the-host", run: |t| setuid(t, "host-setuid") },
    Attempt { name: "run-a-setuid-file-in-a-volume", run: |t| setuid(t, "volume-setuid") },
];

fn with(targets: &Targets, name: &str, attempt: impl FnOnce(&PathBuf) -> Outcome) -> Outcome {
    match targets.place(name) {
        Some(path) => attempt(path),
        None => NotMade(format!("the test names no {name}")),
    }
}

/// What is not there is held back: that it cannot be named is the view's doing.
fn read(targets: &Targets, name: &str) -> Outcome {
    with(targets, name, |path| match fs::read_to_string(path) {
        Ok(text) if text.contains(&targets.mark) => Out(format!("read {}", path.display())),
        Ok(_) => Held("something else lies there".to_owned()),
        Err(error) => Held(error.to_string()),
    })
}

fn read_any(targets: &Targets, name: &str) -> Outcome {
    with(targets, name, |path| match fs::read(path) {
        Ok(text) if !text.is_empty() => Out(format!("read {}", path.display())),
        Ok(_) => Held("it is empty".to_owned()),
        Err(error) => Held(error.to_string()),
    })
}

fn list(targets: &Targets, name: &str) -> Outcome {
    with(targets, name, |path| entries(path))
}

fn entries(path: &Path) -> Outcome {
    match fs::read_dir(path).map(|entries| entries.flatten().count()) {
        Ok(0) => Held("it is empty".to_owned()),
        Ok(count) => Out(format!("{count} entries in {}", path.display())),
        Err(error) => Held(error.to_string()),
    }
}

fn write_manifest(targets: &Targets) -> Outcome {
    with(targets, "manifests", |path| made(&path.join("hostile.yaml")))
}

/// Makes an empty file and takes it away again.
fn made(path: &Path) -> Outcome {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    fs::remove_file(path).ok();
    Outcome::of(made, &format!("made {}", path.display()))
}

fn connect(targets: &Targets, name: &str) -> Outcome {
    with(targets, name, |path| Outcome::of(UnixStream::connect(path), "connected"))
}

/// For reading it as well as for writing into it.
fn open_fifo(targets: &Targets) -> Outcome {
    with(targets, "fifo", |path| {
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        Outcome::of(open, "opened it")
    })
}

fn abstract_socket(targets: &Targets) -> Outcome {
    with(targets, "abstract", |name| {
        let address = SocketAddr::from_abstract_name(name.as_os_str().as_encoded_bytes());
        Outcome::of(address.and_then(|address| UnixStream::connect_addr(&address)), "connected")
    })
}

fn passwords() -> Outcome {
    let one = |file: &str| match fs::read_to_string(file) {
        Ok(text) if text.contains("root:") => Out(format!("read {file}")),
        Ok(_) => Held("it is empty".to_owned()),
        Err(error) => Held(error.to_string()),
    };
    Outcome::any(["/etc/shadow", "/etc/gshadow", "/etc/shadow-"].map(one))
}

fn write_host(_: &Targets) -> Outcome {
    let one = |directory: &str| made(&Path::new(directory).join(".hostile"));
    Outcome::any(["/", "/etc", "/usr", "/var", "/var/lib", "/var/log", "/root", "/home", "/opt", "/srv"].map(one))
}

fn hard_link(targets: &Targets) -> Outcome {
    let link = targets.own.join("hard-link");
    let linked = ["/etc/passwd", "/etc/shadow", "/usr/bin/env"].map(|file| fs::hard_link(file, &link));
    fs::remove_file(&link).ok();
    Outcome::any(linked.map(|linked| Outcome::of(linked, "linked")))
}

fn follow_link(targets: &Targets) -> Outcome {
    with(targets, "claim", |path| {
        let link = targets.own.join("link-out");
        fs::remove_file(&link).ok();
        let text = symlink(path, &link).and_then(|()| fs::read_to_string(&link));
        fs::remove_file(&link).ok();
        match text {
            Ok(text) if text.contains(&targets.mark) => Out("followed it".to_owned()),
            Ok(_) => Held("something else lies there".to_owned()),
            Err(error) => Held(error.to_string()),
        }
    })
}

/// `..` of a volume is the view's, not that of the directory it lies in.
fn dots(targets: &Targets) -> Outcome {
    with(targets, "emptydir", |path| {
        let Some(relative) = path.parent().and_then(|volume| Some((volume.file_name()?, path.file_name()?))) else {
            return NotMade("the place has no parent".to_owned());
        };
        let mut near = targets.own.join("..");
        near.push(relative.0);
        near.push(relative.1);
        let far = PathBuf::from("../".repeat(12)).join(path.strip_prefix("/").unwrap_or(path));
        let far = targets.own.join(far);
        Outcome::any([near, far].map(|path| match fs::read_to_string(&path) {
            Ok(text) if text.contains(&targets.mark) => Out(format!("read {}", path.display())),
            Ok(_) => Held("something else lies there".to_owned()),
            Err(error) => Held(error.to_string()),
        }))
    })
}

/// Makes a device in a volume and opens it: `number` is major and minor, `254:0`.
fn make_node(targets: &Targets, name: &str, kind: libc::mode_t, number: &str) -> Outcome {
    with(targets, number, |number| {
        let text = number.to_string_lossy();
        let Some((major, minor)) = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        else {
            return NotMade(format!("{text} is no number of a device"));
        };
        let path = targets.own.join(name);
        let made = call(
            libc::SYS_mknodat,
            &[
                libc::AT_FDCWD as usize,
                call::text(&call::owned(&path.to_string_lossy())),
                (kind | 0o666) as usize,
                libc::makedev(major, minor) as usize,
            ],
        );
        let opened = made.and_then(|_| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path));
        fs::remove_file(&path).ok();
        Outcome::of(opened, "made and opened it")
    })
}

fn devices() -> Outcome {
    let harmless = ["null", "zero", "full", "random", "urandom", "tty", "ptmx"];
    let Ok(entries) = fs::read_dir("/dev") else { return NotMade("/dev cannot be read".to_owned()) };
    let device = |entry: &fs::DirEntry| {
        let kind = entry.metadata().map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_block_device() || kind.is_char_device())
    };
    let found: Vec<_> = entries.flatten().filter(device).map(|entry| entry.path()).collect();
    let foreign = found.iter().filter(|path| !harmless.iter().any(|name| path.ends_with(name)));
    let tried: Vec<_> = foreign
        .map(|path| {
            let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
            Outcome::of(open, &format!("opened {}", path.display()))
        })
        .collect();
    if tried.is_empty() { Held("there are none but the harmless ones".to_owned()) } else { Outcome::any(tried) }
}

fn terminals() -> Outcome {
    let Ok(entries) = fs::read_dir("/dev/pts") else { return Held("there is no /dev/pts".to_owned()) };
    let tried: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name() != "ptmx")
        .map(|entry| {
            let open = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(entry.path());
            Outcome::of(open, &format!("opened {}", entry.path().display()))
        })
        .collect();
    if tried.is_empty() { Held("there are none".to_owned()) } else { Outcome::any(tried) }
}

/// The root of the file system that a file of the host's lies on has a number that is known.
fn by_handle(targets: &Targets) -> Outcome {
    let mounts = [Path::new("/etc/hostname"), Path::new("/etc/hosts"), &targets.own].map(File::open);
    Outcome::any(mounts.into_iter().flatten().flat_map(|mount| {
        [2, 128, 256].map(|inode| Outcome::of(call::by_handle(&mount, inode), "opened the root of a file system"))
    }))
}

/// The file is this program: it tells as whom it runs, and with which capabilities.
fn setuid(targets: &Targets, name: &str) -> Outcome {
    with(targets, name, |path| {
        let before = who();
        let output = std::process::Command::new(path).arg("whoami").output();
        let after = match output {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => return Held(error.to_string()),
        };
        match after.as_str() {
            "" => Held("it did not run".to_owned()),
            same if same == before => Held(format!("it runs as its caller: {same}")),
            more => Out(format!("from {before} to {more}")),
        }
    })
}

/// Effective user and capabilities of this process.
pub(crate) fn who() -> String {
    let mut text = String::new();
    let read = File::open("/proc/self/status").and_then(|mut file| file.read_to_string(&mut text));
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().nth(1).or(line.split_whitespace().next()).unwrap_or_default().to_owned()
    };
    match read {
        Ok(_) => format!("user {} capabilities {}", field("Uid:"), field("CapEff:")),
        Err(_) => String::new(),
    }
}

/// Whether `path` is the file that this process runs.
pub(crate) fn is_this_program(file: &File) -> io::Result<bool> {
    let (one, own) = (file.metadata()?, fs::metadata("/proc/self/exe")?);
    Ok((one.dev(), one.ino()) == (own.dev(), own.ino()))
}
