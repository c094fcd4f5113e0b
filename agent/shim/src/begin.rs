//! `barepod-shim run`: from a directory to a running supervisor.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use barepod_sys::{descriptor, identity, path, proc, process};

use crate::adopt;
use crate::attach::Attachments;
use crate::layout;
use crate::record::Identity;
use crate::supervisor::{self, End, Supervisor};

/// Why a shim could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another shim has this directory.
    #[error("{}: another shim holds the lock", .0.display())]
    Locked(PathBuf),
    /// One of its files.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The kernel refuses something that every shim needs.
    #[error("{0}")]
    Kernel(&'static str, #[source] io::Error),
}

/// Takes the directory, and what an earlier shim left in it.
///
/// # Errors
/// When it is taken, or something in it is not as it must be.
pub fn begin(directory: &Path) -> Result<Supervisor, BeginError> {
    let kernel = |what| move |error| BeginError::Kernel(what, error);
    let directory = fs::canonicalize(directory).map_err(|error| BeginError::File(directory.to_owned(), error))?;
    let at = |name: &str| directory.join(name);
    let lock = take_lock(&at(layout::LOCK))?;
    // a group leader cannot leave its session, and need not
    let _ = process::new_session();
    process::become_subreaper().map_err(kernel("subreaper"))?;
    let signals = supervisor::take_signals().map_err(kernel("signals"))?;
    std::env::set_current_dir("/").map_err(kernel("/"))?;
    let identity = Identity::read(&directory).map_err(|error| BeginError::File(at(layout::IDENTITY), error))?;
    let boot_id = proc::boot_id(Path::new("/proc")).map_err(kernel("/proc: boot id"))?;
    supervisor::check_journal(&directory).map_err(|error| BeginError::File(at(layout::JOURNAL), error))?;
    let attempt = adopt::adopt(&directory, &boot_id).map_err(|error| BeginError::File(at(layout::ATTEMPT), error))?;
    let listener = listen(&directory, layout::SOCKET).map_err(|error| BeginError::File(at(layout::SOCKET), error))?;
    let attach = listen(&directory, layout::ATTACH).map_err(|error| BeginError::File(at(layout::ATTACH), error))?;
    Ok(Supervisor {
        directory,
        identity,
        boot_id,
        lock,
        listener,
        attachments: Attachments::new(attach),
        signals,
        link: None,
        attempt,
        ready: None,
        lingering: None,
        end: End::NotAsked,
    })
}

fn take_lock(path: &Path) -> Result<File, BeginError> {
    let failed = |error| BeginError::File(path.to_owned(), error);
    let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BeginError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// By way of the open directory, since the path of a socket is at most 107 bytes long.
pub(crate) fn listen(directory: &Path, name: &str) -> io::Result<UnixListener> {
    match fs::remove_file(directory.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let open = path::refer(directory)?;
    identity::set_umask(0o177);
    let listener = UnixListener::bind(Path::new(&descriptor::path_of(open.as_fd())).join(name));
    identity::set_umask(0o022);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
