//! Ending and awaiting child processes, within limits and by their own pid.

use std::io;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use crate::wait::{WaitedInVain, patience, wait_for};

/// A child process that does not outlive its owner: killed and reaped on drop.
#[derive(Debug)]
pub struct Owned(Child);

/// A program that did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {program}{hint}")]
    Start {
        /// The program.
        program: String,
        /// Where it comes from, where that is known.
        hint: String,
        /// Why.
        source: io::Error,
    },
    /// It could not be awaited.
    #[error("cannot await {program}")]
    Await {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("{program} ended with {status}: {output}")]
    Failed {
        /// The program.
        program: String,
        /// How.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// It was still there at the limit.
    #[error(transparent)]
    Late(#[from] WaitedInVain),
}

impl From<Child> for Owned {
    fn from(child: Child) -> Self {
        Self(child)
    }
}

impl Owned {
    /// Starts a program.
    pub fn spawn(command: &mut Command) -> Result<Self, ProcessError> {
        command.spawn().map(Self).map_err(|source| start_error(command, source))
    }

    /// What it writes, if that is piped and nobody has taken it yet.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Its pid.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self, what: &str, limit: Duration) -> Result<ExitStatus, ProcessError> {
        wait_for(format!("the end of {what}"), limit, || self.0.try_wait().transpose())?
            .map_err(|source| ProcessError::Await { program: what.to_owned(), source })
    }

    /// SIGKILL, and the end is reaped. Nothing where it has ended already.
    pub fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed, and a drop must not panic.
        let _ = self.kill();
    }
}

/// Runs a program without standard input and wants it to succeed.
pub fn run(command: &mut Command) -> Result<Output, ProcessError> {
    let program = name(command);
    let output = command.stdin(Stdio::null()).output().map_err(|source| start_error(command, source))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(ProcessError::Failed { program, status: output.status, output: tail(&String::from_utf8_lossy(said), 10) })
}

/// Runs a program to its end, whatever that is; one that is not done at the limit is killed.
pub fn output(command: &mut Command, what: &str, limit: Duration) -> Result<Output, ProcessError> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|source| start_error(command, source))?;
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || done.send(child.wait_with_output()));
    let limit = limit * patience();
    let Ok(output) = ended.recv_timeout(limit) else {
        // Nobody has reaped it: the pid is still its own.
        run(Command::new("kill").args(["-s", "KILL", &pid.to_string()]))?;
        let _ = waiting.join();
        return Err(WaitedInVain { what: format!("the end of {what}"), limit }.into());
    };
    output.map_err(|source| ProcessError::Await { program: what.to_owned(), source })
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn start_error(command: &Command, source: io::Error) -> ProcessError {
    let missing = source.kind() == io::ErrorKind::NotFound;
    let hint = if missing { " (`cargo xtask setup` installs what the tests need)" } else { "" };
    ProcessError::Start { program: name(command), hint: hint.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone_and_reaped() {
        let process = Owned::spawn(Command::new("sleep").arg("1000")).unwrap();
        let place = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&place).exists());

        drop(process);

        assert!(!std::path::Path::new(&place).exists());
    }

    #[test]
    fn a_failure_carries_the_last_words() {
        let error = run(Command::new("sh").args(["-c", "echo first; echo why >&2; exit 3"])).unwrap_err();

        assert_eq!(error.to_string(), "sh ended with exit status: 3: why");
    }

    #[test]
    fn a_program_is_run_to_its_end_and_no_longer_than_to_the_limit() {
        let sleep = |seconds: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo out; echo err >&2; exec sleep {seconds}")]);
            output(&mut command, "it", Duration::from_millis(500))
        };

        let ended = sleep("0").unwrap();
        let error = sleep("1000").unwrap_err();

        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
        assert_eq!(error.to_string(), "waited 500ms in vain for the end of it");
    }

    #[test]
    fn a_missing_program_names_the_command_that_installs_it() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();

        assert!(error.to_string().contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn a_process_that_does_not_end_is_waited_for_in_vain() {
        let mut process = Owned::spawn(Command::new("sleep").arg("1000")).unwrap();

        let error = process.wait("sleep", Duration::from_millis(5)).unwrap_err();

        assert_eq!(error.to_string(), "waited 5ms in vain for the end of sleep");
    }
}
