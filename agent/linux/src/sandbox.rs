//! What the containers of a pod share, whichever of them run: its sandbox, in Kubernetes' word.
//!
//! | shared | where it is kept | who it is not shared by |
//! |---|---|---|
//! | IPC namespace | bound to `<run>/pods/<uid>/ipc` | `hostIPC` |
//! | `/dev/shm` | a tmpfs on `<run>/pods/<uid>/shm` | `hostIPC` |
//! | UTS namespace, with the pod's host name | bound to `<run>/pods/<uid>/uts` | |
//! | PID namespace | by its first process, see [`pause`] | all but `shareProcessNamespace` |
//!
//! A namespace that is bound to a file needs no process: the deaths of daemon, shims and containers leave it as it is. All
//! of it goes with the pod, or with the boot.

pub mod pause;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barepod_model::{Bytes, Pod, PodUid};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, statfs};
use nix::sys::statvfs::statvfs;

use crate::Dirs;

/// `linux/magic.h`.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// What container runtimes take where nothing is said.
const DEFAULT_SHM: Bytes = Bytes(64 << 20);

/// Why a pod has no sandbox.
#[derive(Debug, thiserror::Error)]
#[error("cannot make what the pod's containers share: {what} at {}", path.display())]
pub struct SandboxError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Where a pod's sandbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The file of its IPC namespace; none with `hostIPC`.
    pub ipc: Option<PathBuf>,
    /// The directory that is its `/dev/shm`; none with `hostIPC`.
    pub shared_memory: Option<PathBuf>,
    /// The file of its UTS namespace.
    pub uts: PathBuf,
}

/// Two containers of a pod may ask at once.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes what is missing of it. What is there stays, with all that is in it; the size of `/dev/shm` and the host name become
/// those that the pod has now.
///
/// # Errors
/// As unshare(2), setns(2), mount(2), with what was to be made.
pub fn ensure(dirs: &Dirs, pod: &Pod) -> Result<Sandbox, SandboxError> {
    let own = dirs.sandbox(&pod.uid);
    let of_host = pod.containers.iter().all(|container| container.launch.namespaces.host_ipc);
    let sandbox = Sandbox {
        ipc: (!of_host).then(|| own.join("ipc")),
        shared_memory: (!of_host).then(|| own.join("shm")),
        uts: own.join("uts"),
    };
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    DirBuilder::new().recursive(true).mode(0o700).create(&own).map_err(at("directory", &own))?;
    if let Some(directory) = &sandbox.shared_memory {
        memory(directory, size(pod)).map_err(at("/dev/shm", directory))?;
    }
    let missing = |file: &PathBuf| !is_namespace(file);
    let names: Vec<&Path> =
        sandbox.ipc.iter().chain([&sandbox.uts]).filter(|file| missing(file)).map(PathBuf::as_path).collect();
    let hostname = pod.containers.first().map_or("", |container| container.launch.hostname.as_str());
    let named = own.join("hostname");
    if !names.is_empty() || fs::read_to_string(&named).ok().as_deref() != Some(hostname) {
        namespaces(&names, &sandbox.uts, hostname).map_err(at("namespaces", &own))?;
        fs::write(&named, hostname).map_err(at("file", &named))?;
    }
    Ok(sandbox)
}

/// Removes it. Nothing there is success.
///
/// # Errors
/// As umount2(2), unlink(2).
pub fn tear_down(dirs: &Dirs, pod: &PodUid) -> Result<(), SandboxError> {
    let own = dirs.sandbox(pod);
    for name in ["ipc", "uts", "shm"] {
        let path = own.join(name);
        while is_mounted(&path) {
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            umount2(&path, flags).map_err(|error| at("mount", &path)(error.into()))?;
        }
    }
    match fs::remove_dir_all(&own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("directory", &own)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let path = path.to_owned();
    move |source| SandboxError { what, path, source }
}

/// Presets that say how much shared memory their services need get it, one beside the other.
fn size(pod: &Pod) -> Bytes {
    let sizes = pod.containers.iter().map(|container| container.launch.shm_size);
    let said = sizes.filter(|size| *size != DEFAULT_SHM).map(|size| size.0).sum();
    Bytes(said).max(DEFAULT_SHM)
}

fn memory(directory: &Path, size: Bytes) -> io::Result<()> {
    if !directory.exists() {
        fs::create_dir(directory)?;
    }
    let (flags, options) =
        (MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, format!("mode=1777,size={}", size.0));
    if !is_mounted(directory) {
        return Ok(mount(Some("shm"), directory, Some("tmpfs"), flags, Some(options.as_str()))?);
    }
    let now = statvfs(directory)?;
    if now.blocks() != size.0.div_ceil(now.fragment_size()) {
        // Refused by the kernel if more is used already: then it stays as it is until the pod goes.
        let resized = mount(Some("shm"), directory, Some("tmpfs"), flags | MsFlags::MS_REMOUNT, Some(options.as_str()));
        resized.or_else(|error| if error == nix::errno::Errno::EINVAL { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// Binds new namespaces to the files that lack one, and gives the host name to that of `uts`. On a thread of its own,
/// which ends in them.
fn namespaces(missing: &[&Path], uts: &Path, hostname: &str) -> io::Result<()> {
    let work = || -> io::Result<()> {
        for file in missing {
            let (flag, name) =
                if *file == uts { (CloneFlags::CLONE_NEWUTS, "uts") } else { (CloneFlags::CLONE_NEWIPC, "ipc") };
            unshare(flag)?;
            File::create(file)?;
            let own = PathBuf::from("/proc/thread-self/ns").join(name);
            mount(Some(&own), *file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        if !missing.contains(&uts) {
            setns(File::open(uts)?, CloneFlags::CLONE_NEWUTS)?;
        }
        Ok(nix::unistd::sethostname(hostname)?)
    };
    match std::thread::scope(|scope| scope.spawn(work).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn is_namespace(file: &Path) -> bool {
    statfs(file).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC)
}

/// On another device than its parent: here that is what was mounted there.
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::symlink_metadata(path).map(|found| found.dev()).ok();
    let (own, parent) = (device(path), path.parent().and_then(device));
    own.is_some() && own != parent
}
