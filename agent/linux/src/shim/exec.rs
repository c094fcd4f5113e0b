//! One more process in a running container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use barepod_shim::wire::{self, Frames, encode_frame};
use barepod_sys::launch::Launch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::ShimError;

/// How it ended, or why it never ran.
pub type Executed = wire::exec_result::Result;

/// Descriptors of the new process.
#[derive(Debug)]
pub struct Joined {
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Its standard output.
    pub stdout: OwnedFd,
    /// Its standard error.
    pub stderr: OwnedFd,
}

/// Runs a process in a container and waits for its end, and says what was not as asked. Dropped before that, the process
/// is killed.
///
/// # Errors
/// The helper cannot be started, or died.
pub async fn exec(
    program: PathBuf,
    request: wire::Exec,
    stdio: Joined,
) -> Result<(Executed, Vec<wire::Warning>), ShimError> {
    let broken = ShimError::Broken;
    let (ours, theirs) = StdStream::pair().map_err(broken)?;
    ours.set_nonblocking(true).map_err(broken)?;
    let frame = encode_frame(&request)?;
    let start = move || -> Result<_, ShimError> {
        let failed = |source| ShimError::Start { program: program.clone(), source };
        let Joined { stdin, stdout, stderr } = &stdio;
        let descriptors = vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), theirs.as_fd()];
        Launch::new(&program, &["exec".to_owned()], descriptors).map_err(failed)?.start().map_err(failed)
    };
    let started = tokio::task::spawn_blocking(start).await;
    let child = started.map_err(|error| broken(io::Error::other(error)))??;
    // Its end is taken from the kernel whatever becomes of this call; it ends when the connection does.
    tokio::spawn(super::spawn::reap(child));
    let mut connection = UnixStream::from_std(ours).map_err(broken)?;
    connection.write_all(&frame).await.map_err(broken)?;
    answer(&mut connection).await
}

async fn answer(connection: &mut UnixStream) -> Result<(Executed, Vec<wire::Warning>), ShimError> {
    let mut frames = Frames::default();
    let mut buffer = [0; 4096];
    loop {
        if let Some(wire::ExecResult { result: Some(result), warnings }) = frames.take()? {
            return Ok((result, warnings));
        }
        match connection.read(&mut buffer).await.map_err(ShimError::Broken)? {
            0 => return Err(ShimError::Broken(io::ErrorKind::UnexpectedEof.into())),
            length => frames.push(&buffer[..length]),
        }
    }
}
