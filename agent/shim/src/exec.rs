//! `barepod-shim exec`: one more process in a running container. What to run comes on descriptor 3, what became of it
//! goes back there. When the other side of 3 is closed, the process is killed: nobody waits for it any more.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barepod_sys::clone::{self, Child, Namespace, SingleThreaded};
use barepod_sys::poll::{Interest, Poll};
use barepod_sys::signal::{self, Signals};
use barepod_sys::wait::Exit;
use barepod_sys::{descriptor, pidfd, proc, process, wait};

use crate::attempt::exit_of;
use crate::child::{self, Report};
use crate::failure::{At as _, Failure, errno};
use crate::wire::exec_result::Result as Outcome;
use crate::wire::start_failed::Stage;
use crate::wire::{Event, Exec, ExecResult, StartFailed, Warning, event, read_frame, write_frame};

const CHANNEL: i32 = 3;
const NO_SUCH_PROCESS: i32 = 3;
const PROC: &str = "/proc";

/// Reads, runs, waits, answers.
///
/// # Errors
/// When descriptor 3 is not as agreed; what goes wrong with the process itself is its answer.
pub fn run() -> io::Result<()> {
    let channel = descriptor::inherited(CHANNEL)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "descriptor 3, on which Exec comes, is not open"))?;
    descriptor::on_exec(&channel, descriptor::OnExec::Close)?;
    let mut channel = File::from(channel);
    let Some(exec) = read_frame::<Exec>(&mut channel)? else { return Ok(()) };
    let result = match start(&exec) {
        Ok(running) => running.wait(channel.as_fd())?,
        Err(failure) => ExecResult { result: Some(Outcome::Failure(failure.of_attempt(0))), warnings: Vec::new() },
    };
    write_frame(&mut channel, &result)
}

/// A process of which nobody knows yet whether it becomes its program.
struct Running {
    child: Child,
    status: PipeReader,
    signals: Signals,
    warnings: Vec<Warning>,
}

fn start(exec: &Exec) -> Result<Running, Failure> {
    for number in [signal::HANGUP, signal::INTERRUPT, signal::TERMINATE, signal::PIPE] {
        signal::ignore(number).at(Stage::Prepare, "signals")?;
    }
    let signals = Signals::block(&[signal::CHILD]).at(Stage::Prepare, "signals")?;
    let cgroup = exec.cgroup.clone().unwrap_or_default();
    let leaf = File::open(&cgroup.unified).at(Stage::Cgroup, &cgroup.unified)?;
    let legacy = child::open_legacy(&cgroup.legacy)?;
    let (status, write_end) = io::pipe().at(Stage::Prepare, "pipe")?;
    // what runs in the container sees the child before it is the program: it must not reach the host through its open files,
    // its memory or its binary
    process::close_to_others().at(Stage::Prepare, "dumpable")?;
    // from here on `/proc` may be another's or missing
    let alone = SingleThreaded::check().at(Stage::Clone, "threads")?;
    let warnings = Vec::from_iter(set_oom_score(exec.oom_score_adj));
    let last = join_target(exec)?;
    let report = Report::new(write_end, 0);
    let standard = standard().at(Stage::Prepare, "standard streams")?;
    let body = || child::begin_exec(exec, || last.join(), legacy, standard, report);
    let child = clone::spawn(alone, [], Some(leaf.as_fd()), body).at(Stage::Clone, "clone3")?;
    Ok(Running { child, status, signals, warnings })
}

/// The child inherits it.
fn set_oom_score(score: i32) -> Option<Warning> {
    let error = fs::write("/proc/self/oom_score_adj", score.to_string()).err()?;
    let what = format!("oom_score_adj {score}");
    Some(Warning { attempt: 0, what, errno: errno(&error), detail: error.to_string() })
}

/// Copies of this process's own, which the new one gets.
fn standard() -> io::Result<[OwnedFd; 3]> {
    Ok([
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
        io::stderr().as_fd().try_clone_to_owned()?,
    ])
}

/// The namespace that only the new process joins, once it is in its group: systemd mounts cgroup2 with `nsdelegate`, and
/// then nobody inside a cgroup namespace may bring a process in from outside of it, a clone included (`ENOENT`).
struct Last {
    target: OwnedFd,
    cgroup: Option<Namespace>,
}

impl Last {
    fn join(&self) -> Result<(), Failure> {
        pidfd::join(self.target.as_fd(), self.cgroup).at(Stage::View, "cgroup namespace")
    }
}

/// Joins the namespaces of the target that are not those of this process, but one.
fn join_target(exec: &Exec) -> Result<Last, Failure> {
    let pid = exec.target_pid;
    let name = format!("process {pid}");
    let target = pidfd::open(pid).at(Stage::View, &name)?;
    let stat = proc::stat(Path::new(PROC), pid).at(Stage::View, &name)?;
    if stat.start_ticks != exec.target_start_ticks {
        return Err(io::Error::from_raw_os_error(NO_SUCH_PROCESS)).at(Stage::View, &name);
    }
    let different = Namespace::ALL.into_iter().filter(|&namespace| differs(pid, namespace));
    let (last, now): (Vec<_>, Vec<_>) = different.partition(|&namespace| namespace == Namespace::Cgroup);
    pidfd::join(target.as_fd(), now).at(Stage::View, &name)?;
    Ok(Last { target, cgroup: last.first().copied() })
}

fn differs(pid: u32, namespace: Namespace) -> bool {
    let number = |process: &str| {
        let path = Path::new(PROC).join(process).join("ns").join(namespace.file_name());
        fs::metadata(path).map(|metadata| metadata.ino()).ok()
    };
    number(&pid.to_string()) != number("self")
}

impl Running {
    fn wait(mut self, channel: BorrowedFd<'_>) -> io::Result<ExecResult> {
        let mut asker = Some(channel);
        loop {
            let mut poll = Poll::<2>::default();
            poll.set(0, Some((self.signals.as_fd(), Interest::Read)));
            poll.set(1, asker.map(|fd| (fd, Interest::End)));
            poll.wait(None)?;
            if poll.ready(1).hung_up() {
                asker = None;
                // it may have ended by itself just now
                let _ = pidfd::send_signal(self.child.pidfd.as_fd(), signal::KILL);
            }
            if let Some(exit) = self.reap()? {
                return Ok(self.result(exit));
            }
        }
    }

    fn reap(&self) -> io::Result<Option<Exit>> {
        while self.signals.take()?.is_some() {}
        match wait::peek()? {
            Some(ended) if ended.pid == self.child.pid => {
                wait::reap(ended.pid)?;
                Ok(Some(ended.exit))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Its pipe is closed by now, by exec or by its end.
    fn result(&mut self, exit: Exit) -> ExecResult {
        let outcome = match self.failure() {
            Some(failure) => Outcome::Failure(failure),
            None => Outcome::Exit(exit_of(Some(exit), false)),
        };
        ExecResult { result: Some(outcome), warnings: std::mem::take(&mut self.warnings) }
    }

    fn failure(&mut self) -> Option<StartFailed> {
        let mut bytes = Vec::new();
        // what could not be read was not said
        let _ = self.status.read_to_end(&mut bytes);
        let mut said = bytes.as_slice();
        while let Ok(Some(event)) = read_frame::<Event>(&mut said) {
            match event.event {
                Some(event::Event::StartFailed(failure)) => return Some(failure),
                Some(event::Event::Warning(warning)) => self.warnings.push(warning),
                Some(_) | None => {}
            }
        }
        None
    }
}
