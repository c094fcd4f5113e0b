//! A process that has all that an attempt's has, and waits before its last steps, so that a start costs one byte and an
//! exec.
//!
//! It is in the attempt's own cgroup from its first instruction on; no attempt's process is in there before it, or besides.
//! It ends with the shim, whose end of the pipe is the only one.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use barepod_sys::clone::{self, Child, SingleThreaded};
use barepod_sys::poll::{Interest, Poll};
use barepod_sys::{pidfd, proc, signal, wait};

use crate::cgroup::Group;
use crate::child::{self, Report};
use crate::failure::{At as _, Failure};
use crate::launch::{self, Ends, Sources};
use crate::ready::Kept;
use crate::standard::Standard;
use crate::wire::start_failed::Stage;
use crate::wire::{Attempt, AttemptRecord, Event, Frames, Start, event};

/// Longest wait for the end of a process that has been killed.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// One that waits.
#[derive(Debug)]
pub struct Standby {
    /// The process.
    pub child: Child,
    /// Field 22 of its `/proc/PID/stat`.
    pub start_ticks: u64,
    /// What it still says; closed by exec.
    pub status: PipeReader,
    /// Not whole yet.
    pub frames: Frames,
    /// What it has said.
    pub said: Vec<Event>,
    /// The attempt's cgroup.
    pub group: Group,
    /// The reading ends of its output.
    pub sources: Sources,
    /// The writing end of its input.
    pub standard: Standard,
    /// What is written down when it is let go.
    pub record: AttemptRecord,
    /// Its attempt.
    pub attempt: u32,
    told: PipeWriter,
}

/// Whether one still waits, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It does.
    Yes,
    /// It could not be made, or has ended.
    No,
}

impl Standby {
    /// Makes one, in the namespaces that are kept for it.
    ///
    /// # Errors
    /// The step that failed; nothing of it is left then but FIFOs, which the next start removes.
    pub fn begin(directory: &Path, start: &Start, kept: &Kept) -> Result<Self, Failure> {
        let cgroup = start.cgroup.clone().unwrap_or_default();
        let group = Group::open(&cgroup).at(Stage::Cgroup, &cgroup.unified)?;
        let Ends { standard, theirs, sources } = launch::ends(directory, start)?;
        let leaf = File::open(&cgroup.unified).at(Stage::Cgroup, &cgroup.unified)?;
        let (status, says) = io::pipe().at(Stage::Prepare, "pipe")?;
        let (hears, told) = io::pipe().at(Stage::Prepare, "pipe")?;
        let report = Report::new(says, start.attempt);
        let namespaces = launch::wanted(start.namespaces.unwrap_or_default()).filter(|one| !kept.has(*one));
        let alone = SingleThreaded::check().at(Stage::Clone, "threads")?;
        let body = || child::stand_by(start, kept, theirs, &hears, report);
        let child = clone::spawn(alone, namespaces, Some(leaf.as_fd()), body).at(Stage::Clone, "clone3")?;
        let start_ticks = proc::stat(Path::new("/proc"), child.pid).map_or(0, |stat| stat.start_ticks);
        let log = start.log.clone();
        let record = AttemptRecord {
            cgroup: Some(cgroup),
            log,
            tty: start.tty,
            stdin: start.stdin,
            stdin_once: start.stdin_once,
            notify: start.notify,
            ..AttemptRecord::default()
        };
        let (frames, said, attempt) = (Frames::default(), Vec::new(), start.attempt);
        Ok(Self { child, start_ticks, status, frames, said, group, sources, standard, record, attempt, told })
    }

    /// Where it speaks, or shows that it is gone.
    #[must_use]
    pub fn says(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    /// Reads what it says.
    pub fn hear(&mut self) -> Waits {
        let mut chunk = [0; 512];
        match self.status.read(&mut chunk) {
            Ok(0) => return Waits::No,
            Ok(count) => self.frames.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Waits::No,
        }
        while let Ok(Some(said)) = self.frames.take::<Event>() {
            if let Some(event::Event::StartFailed(why)) = &said.event {
                eprintln!("barepod-shim: attempt {}: no process stands ready for it: {why:?}", self.attempt);
                return Waits::No;
            }
            self.said.push(said);
        }
        Waits::Yes
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// As write(2): it has ended.
    pub fn tell(&mut self) -> io::Result<()> {
        self.told.write_all(b"!")
    }

    /// What is known of its attempt at the moment at which it is let go.
    #[must_use]
    pub fn seen(&self, boot_id: &str) -> Attempt {
        Attempt {
            attempt: self.attempt,
            pid: self.child.pid,
            start_ticks: self.start_ticks,
            boot_id: boot_id.to_owned(),
            ..Attempt::default()
        }
    }

    /// Ends it. When this returns, its cgroup is empty: it has done nothing yet that could hold it up.
    pub fn end(self, directory: &Path) {
        let pidfd = self.child.pidfd.as_fd();
        // one that has ended already is reaped all the same
        let _ = pidfd::send_signal(pidfd, signal::KILL);
        let mut poll = Poll::<1>::default();
        poll.set(0, Some((pidfd, Interest::Read)));
        if poll.wait(Some(LAST_BREATH)).is_ok() {
            let _ = wait::reap(self.child.pid);
        }
        launch::remove_fifos(directory, self.attempt);
    }
}
