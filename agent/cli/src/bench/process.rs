//! A task as a bare process: nothing is around it.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::ground::Ground;
use super::task::Task;
use super::tools::PATH;

/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// A database that is told to end.
const GRACE: Duration = Duration::from_secs(20);

/// A process group that does not outlive its owner.
pub(super) struct Group(Child);

impl Group {
    /// Starts the leader of one.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.process_group(0).spawn();
        Ok(Self(child.with_context(|| format!("{} does not start", program.display()))?))
    }

    /// Waits for the leader's end. May be dropped before.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // It may have gone meanwhile; its pid is still its own, for nobody has reaped it.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(PAUSE);
        }
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

/// Runs a task to its end.
pub(super) async fn run(ground: &Ground, task: &Task) -> Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &task.0]).current_dir("/").env_clear().env("PATH", PATH).env("PLACE", ground.path());
    shell.uid(ground.user().uid.as_raw()).gid(ground.user().gid.as_raw());
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = Group::start(&mut shell)?.ended().await?;
    if !status.success() {
        bail!("the task ended with {status}");
    }
    Ok(())
}
