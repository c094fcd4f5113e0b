//! One server of the control plane: how it is started, its process while it runs, and its log.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ClusterError;
use crate::host::signal;
use crate::process::{Owned, tail};
use crate::wait::wait_for;

/// Lines of a log that an error shows.
const SHOWN: usize = 12;
/// How long a signal may take to stop every thread.
const STOP: Duration = Duration::from_secs(10);
/// How much more memory than lives a server may take before Go collects, in percent (`GOGC`, 100 of itself). It is all in the
/// start here: a tenth of a test's processor time.
const GARBAGE: &str = "400";

/// A server, running or not.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    process: Mutex<Option<Owned>>,
}

impl Server {
    /// One that does not run yet.
    pub(super) fn new(name: &'static str, program: PathBuf, arguments: Vec<String>, log: PathBuf) -> Self {
        Self { name, program, arguments, log, process: Mutex::new(None) }
    }

    /// Starts it and waits for nothing.
    pub(super) fn start(&self) -> Result<(), ClusterError> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("GOGC", GARBAGE).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        *self.process() = Some(Owned::spawn(&mut command)?);
        Ok(())
    }

    /// SIGKILL. Nothing where it does not run.
    pub(super) fn kill(&self) -> Result<(), ClusterError> {
        match self.process().take() {
            Some(mut process) => Ok(process.kill()?),
            None => Ok(()),
        }
    }

    /// SIGSTOP, and every thread of it has stopped.
    pub(super) fn freeze(&self) -> Result<(), ClusterError> {
        let pid = self.running()?;
        signal(pid, "STOP")?;
        let what = format!("{} to be stopped", self.name);
        let stopped = || all_stopped(pid).map(|all| all.then_some(())).transpose();
        wait_for(what, STOP, stopped).map_err(|vain| ClusterError::Vain(vain, self.last_words()))??;
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) -> Result<(), ClusterError> {
        Ok(signal(self.running()?, "CONT")?)
    }

    /// Its pid.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Owned::id)
    }

    /// An error where it was started and has ended by itself.
    pub(super) fn check(&self) -> Result<(), ClusterError> {
        let ended = self.process().as_mut().map(Owned::ended).transpose()?.flatten();
        match ended {
            Some(status) => Err(ClusterError::Ended { server: self.name, status, words: self.last_words() }),
            None => Ok(()),
        }
    }

    /// The end of its log, under its name.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        format!("--- {}:\n{}", self.name, tail(&String::from_utf8_lossy(&log), SHOWN))
    }

    fn process(&self) -> MutexGuard<'_, Option<Owned>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<u32, ClusterError> {
        self.pid().ok_or(ClusterError::NotRunning(self.name))
    }
}

/// Whether every thread of a process is stopped by a signal: what one is still in the middle of, it ends first.
fn all_stopped(pid: u32) -> io::Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has ended meanwhile does nothing either.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    fn server(scratch: &Scratch, script: &str) -> Server {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Server::new("it", PathBuf::from("/bin/sh"), arguments, scratch.join("log"))
    }

    #[test]
    fn a_server_that_ends_by_itself_says_how_and_its_last_words() {
        let scratch = Scratch::new().unwrap();
        let server = server(&scratch, "echo no port >&2; exit 3");
        server.start().unwrap();

        let error = wait_for("its end", STOP, || server.check().err()).unwrap();

        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(error.to_string().ends_with("no port"), "{error}");
    }

    #[test]
    fn a_frozen_server_does_nothing_until_it_is_thawed() {
        let scratch = Scratch::new().unwrap();
        let lines = || std::fs::read_to_string(scratch.join("log")).unwrap_or_default().len();
        let server = server(&scratch, "while :; do echo line; done");
        server.start().unwrap();
        wait_for("a line", STOP, || (lines() > 0).then_some(())).unwrap();

        server.freeze().unwrap();
        let frozen = (lines(), lines());
        server.thaw().unwrap();

        assert_eq!(frozen.0, frozen.1);
        wait_for("more lines", STOP, || (lines() > frozen.0).then_some(())).unwrap();
        server.kill().unwrap();
        assert!(matches!(server.freeze(), Err(ClusterError::NotRunning("it"))));
    }
}
