//! One attempt, from its start until nothing of it is left.
//!
//! ```text
//! Starting ──exec──► Running ──main process ended──► Ended ──group empty, output at its end──► Done
//!     └──────────────the child failed────────────────►┘
//! ```
//!
//! The main process is the one the shim made. When it ends, what it leaves in the cgroup is killed: a service that puts
//! itself into the background has to be told to stay in the foreground.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_sys::wait::Exit;
use barepod_sys::{clock, pidfd, proc, signal};

use crate::cgroup::Group;
use crate::failure::{At as _, Failure};
use crate::journal::Journal;
use crate::launch::{self, Ours};
use crate::layout;
use crate::notify::{Notify, Speakers};
use crate::output::Output;
use crate::ready::Kept;
use crate::record;
use crate::standard::Standard;
use crate::standby::Standby;
use crate::wire;
use crate::wire::exit::How;
use crate::wire::start_failed::Stage;
use crate::wire::{AttemptRecord, Emptied, Event, Exited, Frames, Start, StartFailed, Started, event};

/// Output that still comes when the group is empty is from somebody who was given the FIFO. So long it is waited for.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Where it stands.
#[derive(Debug)]
pub enum Phase {
    /// The child is on its way to exec.
    Starting {
        /// What it says; closed by exec.
        status: PipeReader,
        /// Not whole yet.
        frames: Frames,
        /// Why it will never run.
        failure: Option<StartFailed>,
    },
    /// The program runs.
    Running,
    /// The main process is gone.
    Ended {
        /// Why it never ran.
        failure: Option<StartFailed>,
        /// Boot time until which output is waited for, once the group is empty.
        deadline: Option<Duration>,
    },
    /// Nothing is left.
    Done,
}

/// Who tells of the main process's end.
#[derive(Debug)]
pub enum Main {
    /// It is this process's child.
    Child(OwnedFd),
    /// It is not: a shim before this one made it.
    Stranger(OwnedFd),
    /// There is none.
    Gone,
}

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) directory: PathBuf,
    pub(crate) record: AttemptRecord,
    /// What the daemon is told.
    pub(crate) seen: wire::Attempt,
    pub(crate) phase: Phase,
    pub(crate) main: Main,
    pub(crate) group: Option<Group>,
    pub(crate) output: Option<Output>,
    pub(crate) standard: Standard,
    /// Where its service says how it is.
    pub(crate) notify: Option<Notify>,
    /// The daemon has asked for its end: that is not held up by a disk, whatever the policy.
    pub(crate) killed: bool,
    /// The mounts of its main process.
    pub(crate) mounts: Option<Kept>,
    /// Nothing is left of it, and that is still to be written down.
    pub(crate) is_untidy: bool,
}

impl Attempt {
    /// Starts one, with the journal of the one before, if there is one, and in what stands ready for it.
    #[must_use]
    pub fn start(
        directory: &Path,
        start: &Start,
        boot_id: &str,
        journal: Option<Journal>,
        kept: Option<&Kept>,
        events: &mut Vec<Event>,
    ) -> Self {
        let seen = wire::Attempt { attempt: start.attempt, boot_id: boot_id.to_owned(), ..wire::Attempt::default() };
        let record = AttemptRecord {
            attempt: Some(seen.clone()),
            cgroup: start.cgroup.clone(),
            log: start.log.clone(),
            tty: start.tty,
            stdin: start.stdin,
            stdin_once: start.stdin_once,
            keeper: None,
            notify: start.notify,
        };
        let mut attempt = Self { directory: directory.to_owned(), record, seen, ..Self::empty() };
        if let Err(failure) = attempt.launch(start, journal, kept) {
            attempt.phase = Phase::Ended { failure: Some(failure.of_attempt(start.attempt)), deadline: None };
            attempt.progress(clock::boot(), events);
        }
        attempt
    }

    /// One of which nothing is known.
    pub(crate) fn empty() -> Self {
        Self {
            directory: PathBuf::new(),
            record: AttemptRecord::default(),
            seen: wire::Attempt::default(),
            phase: Phase::Ended { failure: None, deadline: None },
            main: Main::Gone,
            group: None,
            output: None,
            standard: Standard::default(),
            notify: None,
            killed: false,
            mounts: None,
            is_untidy: false,
        }
    }

    /// Starts one whose process stands by, with the journal of the one before.
    #[must_use]
    pub fn go(
        directory: &Path,
        mut standby: Standby,
        boot_id: &str,
        journal: Option<Journal>,
        events: &mut Vec<Event>,
    ) -> Self {
        let record = std::mem::take(&mut standby.record);
        let seen = standby.seen(boot_id);
        let mut attempt = Self { directory: directory.to_owned(), record, seen, ..Self::empty() };
        if let Err(failure) = attempt.let_go(standby, journal, events) {
            attempt.phase = Phase::Ended { failure: Some(failure.of_attempt(attempt.number())), deadline: None };
            attempt.progress(clock::boot(), events);
        }
        attempt
    }

    /// The record is written before the process is told. It has no time of start as long as nobody knows that the program
    /// was executed.
    fn let_go(
        &mut self,
        mut standby: Standby,
        journal: Option<Journal>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        self.record.attempt = Some(self.seen.clone());
        let log = self.record.log.clone().unwrap_or_default();
        let ready = journal.map_or_else(|| Journal::open(&self.directory), Ok).at(Stage::Prepare, layout::JOURNAL);
        let ready = ready.and_then(|journal| {
            record::write_attempt(&self.directory, &self.record).at(Stage::Prepare, "attempt record")?;
            let output = Output::begin(journal, &log, self.number()).at(Stage::Prepare, &log.directory)?;
            Ok((output, self.listen()?))
        });
        let mut output = match ready {
            Ok((output, notify)) => {
                self.notify = notify;
                output
            }
            Err(failure) => {
                standby.end(&self.directory);
                return Err(failure);
            }
        };
        // One that has ended in this moment ends like every other.
        let _ = standby.tell();
        events.append(&mut standby.said);
        standby.sources.into_iter().for_each(|(stream, source)| output.set_source(stream, source));
        self.standard = standby.standard;
        self.group = Some(standby.group);
        self.main = Main::Child(standby.child.pidfd);
        self.phase = Phase::Starting { status: standby.status, frames: standby.frames, failure: None };
        self.seen.started = Some(now());
        output.open(clock::boot());
        self.output = Some(output);
        Ok(())
    }

    /// The record is written before the clone: whatever is in the cgroup afterwards belongs to this attempt.
    fn launch(&mut self, start: &Start, journal: Option<Journal>, kept: Option<&Kept>) -> Result<(), Failure> {
        let prepared = launch::prepare(&self.directory, start, journal)?;
        record::write_attempt(&self.directory, &self.record).at(Stage::Prepare, "attempt record")?;
        self.notify = self.listen()?;
        let (child, status, prepared) = launch::clone(start, prepared, kept)?;
        let Ours { group, mut output, standard } = prepared;
        self.group = Some(group);
        self.standard = standard;
        self.main = Main::Child(child.pidfd);
        self.phase = Phase::Starting { status, frames: Frames::default(), failure: None };
        self.seen.pid = child.pid;
        // the child is not reaped before this returns, so it has an entry
        self.seen.start_ticks = proc::stat(Path::new("/proc"), child.pid).map_or(0, |stat| stat.start_ticks);
        self.seen.started = Some(now());
        self.write_record();
        output.open(clock::boot());
        self.output = Some(output);
        self.keep();
        Ok(())
    }

    /// Where its service will say how it is, if it is asked to.
    fn listen(&self) -> Result<Option<Notify>, Failure> {
        let Some(wanted) = &self.record.notify else { return Ok(None) };
        let notify = Notify::begin(&self.directory, self.number(), wanted.access(), clock::boot());
        notify.map(Some).at(Stage::Prepare, layout::NOTIFY)
    }

    /// What the next attempt goes on with.
    #[must_use]
    pub fn into_journal(self) -> Option<Journal> {
        self.output.map(Output::into_journal)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.seen.attempt
    }

    /// What the daemon is told of it.
    #[must_use]
    pub fn told(&self) -> wire::Attempt {
        let heard = self.notify.as_ref().map(|notify| notify.heard().clone());
        wire::Attempt { heard, ..self.seen.clone() }
    }

    /// Nothing is left of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The main process, if it is this child.
    #[must_use]
    pub fn is_main(&self, pid: u32) -> bool {
        matches!(self.main, Main::Child(_)) && self.seen.pid == pid
    }

    /// Where the child tells of its way to exec.
    #[must_use]
    pub fn status(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Starting { status, .. } => Some(status.as_fd()),
            Phase::Running | Phase::Ended { .. } | Phase::Done => None,
        }
    }

    /// The main process, if it is no child of this process.
    #[must_use]
    pub fn stranger(&self) -> Option<BorrowedFd<'_>> {
        match &self.main {
            Main::Stranger(pidfd) => Some(pidfd.as_fd()),
            Main::Child(_) | Main::Gone => None,
        }
    }

    /// Tells of the group's emptiness, while that is waited for.
    #[must_use]
    pub fn group_events(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Ended { deadline: None, .. } => self.group.as_ref().map(Group::events),
            Phase::Ended { deadline: Some(_), .. } | Phase::Starting { .. } | Phase::Running | Phase::Done => None,
        }
    }

    /// When it wants to be called even if nothing happens.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let own = match &self.phase {
            Phase::Ended { deadline, .. } => *deadline,
            Phase::Starting { .. } | Phase::Running | Phase::Done => None,
        };
        let output = self.output.as_ref().filter(|_| !self.is_done()).and_then(|output| output.deadline(now));
        let notify = self.notify.as_ref().filter(|_| self.has_main()).and_then(|notify| notify.deadline(now));
        [own, output, notify].into_iter().flatten().min()
    }

    fn has_main(&self) -> bool {
        match &self.phase {
            Phase::Starting { .. } | Phase::Running => true,
            Phase::Ended { .. } | Phase::Done => false,
        }
    }

    /// Where its service says how it is, while it lives. Not before it has been told that its program began: what is said
    /// of an attempt that nobody knows to run is lost.
    #[must_use]
    pub fn says(&self, now: Duration) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().filter(|_| matches!(self.phase, Phase::Running))?.listens(now)
    }

    /// Hears what its service says.
    pub fn hear_words(&mut self, events: &mut Vec<Event>) {
        let Some(notify) = &mut self.notify else { return };
        let speakers = Speakers { main: self.seen.pid, group: self.group.as_ref() };
        if notify.take(speakers, clock::boot()) {
            events.push(event::Event::Heard(notify.heard().clone()).into());
        }
    }

    /// Reads what the child says.
    pub fn hear_status(&mut self, events: &mut Vec<Event>) {
        let Phase::Starting { status, frames, failure } = &mut self.phase else { return };
        let mut chunk = [0; 1024];
        match status.read(&mut chunk) {
            Ok(0) => {}
            Ok(count) => {
                frames.push(&chunk[..count]);
                while let Ok(Some(said)) = frames.take::<Event>() {
                    match said.event {
                        Some(event::Event::StartFailed(why)) => *failure = Some(why),
                        Some(_) | None => events.push(said),
                    }
                }
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => {}
        }
        self.status_ended(events);
    }

    fn status_ended(&mut self, events: &mut Vec<Event>) {
        match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Starting { failure: None, .. } => {
                self.take_terminal();
                self.seen.started = Some(now());
                events.push(event::Event::Started(self.started()).into());
                self.hold_mounts();
                // one that was made for it keeps the time of its clone in its record
                if !self.is_recorded_as_started() {
                    self.write_record();
                }
            }
            // the child ends by itself
            Phase::Starting { failure, .. } => self.phase = Phase::Ended { failure, deadline: None },
            other @ (Phase::Running | Phase::Ended { .. } | Phase::Done) => self.phase = other,
        }
    }

    /// Keeps the mounts of the main process, so that its end does not wait until they are taken down.
    pub(crate) fn hold_mounts(&mut self) {
        // without them the next attempt comes a little later
        self.mounts = Kept::mounts_of(self.seen.pid).ok();
    }

    /// Whether it is written down that the program was executed.
    #[must_use]
    pub fn is_recorded_as_started(&self) -> bool {
        self.record.attempt.as_ref().is_some_and(|attempt| attempt.started.is_some())
    }

    /// The mounts of one of which nothing is left.
    pub fn take_mounts(&mut self) -> Option<Kept> {
        if self.is_done() { self.mounts.take() } else { None }
    }

    /// The main process has ended. Its exit is written down before anybody is told, and before it is reaped.
    pub fn ended(&mut self, exit: Option<Exit>, events: &mut Vec<Event>) {
        while matches!(self.phase, Phase::Starting { .. }) {
            self.hear_status(events);
        }
        // its last words, while its number is its own
        self.hear_words(events);
        self.main = Main::Gone;
        let failure = match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Ended { failure, .. } => failure,
            Phase::Starting { .. } | Phase::Running | Phase::Done => None,
        };
        let failed = failure.is_some();
        self.phase = Phase::Ended { failure, deadline: None };
        if !failed {
            let oom = self.group.as_ref().is_some_and(Group::ran_out_of_memory);
            self.seen.exit = Some(exit_of(exit, oom));
            self.write_exit();
            let exited = Exited { attempt: self.number(), exit: self.seen.exit };
            events.push(event::Event::Exited(exited).into());
        }
        self.kill_rest();
    }

    pub(crate) fn kill_rest(&self) {
        if let Some(group) = self.group.as_ref().filter(|group| group.populated()) {
            // without cgroup.kill (before Linux 5.14) the daemon's Kill is no better off: emptiness is waited for
            let _ = group.kill();
        }
    }

    /// Goes on as far as it can: waits for the empty group, then for the end of the output.
    pub fn progress(&mut self, now: Duration, events: &mut Vec<Event>) {
        let Phase::Ended { deadline, failure } = &mut self.phase else { return };
        if !matches!(self.main, Main::Gone) || self.group.as_ref().is_some_and(Group::populated) {
            return;
        }
        let end = *deadline.get_or_insert(now + LAST_OUTPUT);
        if let Some(output) = &mut self.output {
            output.drain(now);
            if output.blocked() && !self.killed {
                *deadline = Some(now + LAST_OUTPUT);
                return;
            }
            if !output.finished() && now < end {
                return;
            }
            output.close(now);
        }
        let failure = failure.take();
        self.finish(failure, events);
    }

    fn finish(&mut self, failure: Option<StartFailed>, events: &mut Vec<Event>) {
        let oom = self.group.as_ref().is_some_and(Group::ran_out_of_memory);
        self.phase = Phase::Done;
        self.group = None;
        self.standard = Standard::default();
        self.release();
        self.notify = None;
        self.seen.empty = true;
        if let Some(exit) = &mut self.seen.exit {
            exit.oom |= oom;
        }
        let event = match failure {
            Some(failure) => {
                (self.seen.pid, self.seen.start_ticks, self.seen.started) = (0, 0, None);
                self.seen.failure = Some(failure.clone());
                // it may have failed before there was a record
                self.write_record();
                event::Event::StartFailed(failure)
            }
            None => event::Event::Emptied(Emptied { attempt: self.number(), oom }),
        };
        events.push(event.into());
        self.is_untidy = true;
    }

    /// Writes down that nothing is left, and removes what nobody needs any more. Should this shim die before, the next one
    /// finds that out anew; so it is done when the daemon, which waits to start the next attempt, has been told.
    pub fn tidy_up(&mut self) {
        if std::mem::take(&mut self.is_untidy) {
            self.write_exit();
            launch::remove_fifos(&self.directory, self.number());
        }
    }

    /// Sends a signal to the main process, or to the one it has named as such; one that has ended is none.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let named = self.notify.as_ref().and_then(Notify::main).filter(|_| !matches!(self.main, Main::Gone));
        if let Some(named) = named
            && pidfd::send_signal(named, number).is_ok()
        {
            return Ok(());
        }
        match &self.main {
            Main::Child(pidfd) | Main::Stranger(pidfd) => pidfd::send_signal(pidfd.as_fd(), number),
            Main::Gone => Ok(()),
        }
    }

    /// Kills all of it.
    ///
    /// # Errors
    /// As write(2) to `cgroup.kill`; the main process has then been killed alone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.killed = true;
        let Some(group) = &self.group else { return Ok(()) };
        group.kill().or_else(|error| self.signal(signal::KILL).and(Err(error)))
    }

    pub(crate) fn started(&self) -> Started {
        Started {
            attempt: self.number(),
            pid: self.seen.pid,
            start_ticks: self.seen.start_ticks,
            time: self.seen.started,
        }
    }

    /// A record that cannot be written costs a later shim its knowledge; the service does not notice.
    pub(crate) fn write_record(&mut self) {
        self.record.attempt = Some(wire::Attempt { exit: None, ..self.seen.clone() });
        if let Err(error) = record::write_attempt(&self.directory, &self.record) {
            eprintln!("barepod-shim: attempt {}: its record was not written: {error}", self.number());
        }
    }

    fn write_exit(&self) {
        if let Err(error) = record::write_exit(&self.directory, &self.seen) {
            eprintln!("barepod-shim: attempt {}: its exit was not recorded: {error}", self.number());
        }
    }
}

/// This moment on both clocks.
#[must_use]
pub fn now() -> wire::Time {
    let boot_ns = u64::try_from(clock::boot().as_nanos()).unwrap_or(u64::MAX);
    wire::Time { boot_ns, wall_ns: clock::wall_ns() }
}

/// An end, now, in the wire's words; `None` is one that nobody saw.
#[must_use]
pub fn exit_of(exit: Option<Exit>, oom: bool) -> wire::Exit {
    let (how, core_dumped) = match exit {
        Some(Exit::Code(code)) => (How::Code(code), false),
        Some(Exit::Signal { number, core_dumped }) => (How::Signal(number), core_dumped),
        None => (How::Unknown(true), false),
    };
    wire::Exit { how: Some(how), time: Some(now()), oom, core_dumped }
}
