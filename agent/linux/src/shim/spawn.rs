//! Finding a container's shim, or starting one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_model::ContainerKey;
use barepod_shim::{layout, wire};
use barepod_sys::clone::Child;
use barepod_sys::launch::Launch;
use barepod_sys::wait;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{ShimClient, ShimError};
use crate::cgroup::Leaf;

/// What is needed to start a container's shim.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// The binary.
    pub program: PathBuf,
    /// The shim's directory; made if it is missing.
    pub directory: PathBuf,
    /// Whose shim it is.
    pub key: ContainerKey,
    /// The shims' group of the pod.
    pub group: Leaf,
    /// The daemon's version.
    pub version: String,
}

/// What the shim says for itself: few words, for it ends with them.
const LOG: &str = "shim.log";

/// A shim that listens closes this descriptor.
const READY: i32 = 3;

/// Longest wait for a new shim to listen. It does nothing before that but open files.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to the container's shim; starts one if none lives. A new one in the directory of a dead one takes over the
/// process that is left.
///
/// # Errors
/// It cannot be started, or does not answer.
pub async fn ensure(spawn: &Spawn) -> Result<(ShimClient, wire::Welcome), ShimError> {
    let socket = spawn.directory.join(layout::SOCKET);
    match ShimClient::connect(&socket, &spawn.version).await {
        Err(ShimError::Silent { .. }) => {}
        answer => return answer,
    }
    start(spawn.clone()).await?;
    ShimClient::connect(&socket, &spawn.version).await
}

async fn start(spawn: Spawn) -> Result<(), ShimError> {
    let (log, socket) = (spawn.directory.join(LOG), spawn.directory.join(layout::SOCKET));
    let started = tokio::task::spawn_blocking(move || start_blocking(&spawn)).await;
    let (child, ready) = started.map_err(|error| ShimError::Broken(io::Error::other(error)))??;
    let ended = tokio::spawn(reap(child));
    // The pipe ends when the shim listens and closes it, or when it has died.
    let listening = until_closed(ready);
    match tokio::time::timeout(PATIENCE, listening).await {
        Ok(Ok(())) if !ended.is_finished() => Ok(()),
        Ok(Err(error)) => Err(ShimError::Broken(error)),
        Ok(Ok(())) => Err(ShimError::Ended { log }),
        Err(_) => Err(ShimError::Hung { socket, patience: PATIENCE }),
    }
}

fn start_blocking(spawn: &Spawn) -> Result<(Child, OwnedFd), ShimError> {
    prepare(&spawn.directory, &spawn.key)?;
    let group = open(&spawn.group.unified, |source, path| ShimError::Cgroup { path, source })?;
    let log_file = spawn.directory.join(LOG);
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&log_file);
    let log = log.map_err(|source| ShimError::Directory { path: log_file, source })?;
    let null = open(Path::new("/dev/null"), |source, path| ShimError::Directory { path, source })?;
    let broken = |source| ShimError::Start { program: spawn.program.clone(), source };
    let (ready, told) = io::pipe().map_err(broken)?;
    let mut arguments = vec!["run".to_owned(), "--dir".to_owned(), spawn.directory.display().to_string()];
    arguments.extend(["--ready-fd".to_owned(), READY.to_string()]);
    for group in &spawn.group.legacy {
        arguments.extend(["--legacy-group".to_owned(), group.display().to_string()]);
    }
    let descriptors = vec![null.as_fd(), log.as_fd(), log.as_fd(), told.as_fd()];
    let launch = Launch::new(&spawn.program, &arguments, descriptors).map_err(broken)?;
    let child = launch.cgroup(group.as_fd()).start().map_err(broken)?;
    Ok((child, ready.into()))
}

fn open(path: &Path, error: impl Fn(io::Error, PathBuf) -> ShimError) -> Result<File, ShimError> {
    File::open(path).map_err(|source| error(source, path.to_owned()))
}

/// Makes the directory and says in it whose it is.
fn prepare(directory: &Path, key: &ContainerKey) -> Result<(), ShimError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ShimError::Directory { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    let identity = directory.join(layout::IDENTITY);
    std::fs::write(&identity, format!("{}\n{}\n", key.pod, key.container)).map_err(failed(&identity))
}

async fn until_closed(pipe: OwnedFd) -> io::Result<()> {
    let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe)?;
    let mut buffer = [0; 64];
    while tokio::io::AsyncReadExt::read(&mut pipe, &mut buffer).await? > 0 {}
    Ok(())
}

/// Takes a child's end from the kernel, so that no zombie stays. A shim's container is not concerned.
pub(crate) async fn reap(child: Child) {
    let Child { pid, pidfd } = child;
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for owners that may change their descriptor; OwnedFd does not"
    )]
    let ended = AsyncFd::with_interest(pidfd, Interest::READABLE);
    match ended {
        Ok(ended) => drop(ended.readable().await),
        Err(_) => return,
    }
    // Reaped by somebody else is as good.
    wait::reap(pid).ok();
}
