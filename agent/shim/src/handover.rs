//! Becoming another binary in place. Children stay children and open files stay open; what this process knows goes over
//! in a memfd. If the exec fails, nothing has changed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use barepod_logs::cri::Stream;
use barepod_sys::descriptor::{self, OnExec};
use barepod_sys::process::Program;
use barepod_sys::{clock, proc};
use prost::Message;

use crate::attach::Attachments;
use crate::attempt::{Attempt, Main, Phase};
use crate::begin;
use crate::cgroup::Group;
use crate::input::Input;
use crate::journal::Journal;
use crate::layout;
use crate::link::Link;
use crate::notify::Notify;
use crate::output::{Output, Source};
use crate::record::Identity;
use crate::supervisor::{self, End, Supervisor};
use crate::wire::{Frames, Handover};

impl Supervisor {
    /// Becomes the binary at `path`. Comes back only when that failed.
    pub(crate) fn reexec(&mut self, path: &str) {
        let error = match self.become_other(Path::new(path)) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let number = self.attempt.as_ref().map_or(0, Attempt::number);
        self.refuse(number, "Reexec", &format!("{path}: {error}"));
    }

    fn become_other(&mut self, path: &Path) -> io::Result<std::convert::Infallible> {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.standard.terminal.is_some()) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a terminal is on its way"));
        }
        // it would end with the open files that are not handed over, but not before its cgroup may be looked for
        self.throw_away();
        let mut memory = descriptor::memory_file("barepod-shim")?;
        memory.write_all(&self.handover().encode_to_vec())?;
        memory.rewind()?;
        let arguments = ["barepod-shim".to_owned(), "resume".to_owned(), memory.as_raw_fd().to_string()];
        let program = Program::new(&arguments, &[])?;
        self.set_on_exec(OnExec::Keep)?;
        let error = program.execute(path);
        self.set_on_exec(OnExec::Close)?;
        Err(error)
    }

    fn set_on_exec(&self, what: OnExec) -> io::Result<()> {
        self.kept().into_iter().try_for_each(|fd| descriptor::on_exec(fd, what))
    }

    fn kept(&self) -> Vec<BorrowedFd<'_>> {
        let mut kept = vec![self.lock.as_fd(), self.listener.as_fd(), self.attachments.listener().as_fd()];
        kept.extend(self.link.as_ref().map(Link::as_fd));
        if let Some(attempt) = &self.attempt {
            kept.extend(attempt.status());
            kept.extend(attempt.main.pidfd());
            kept.extend(attempt.standard.input.as_ref().map(|input| input.file().as_fd()));
            kept.extend(attempt.notify.as_ref().map(AsFd::as_fd));
            kept.extend(sources(attempt).map(|(_, source)| source.file().as_fd()));
        }
        kept
    }

    fn handover(&self) -> Handover {
        let mut handover = Handover {
            lock_fd: number(Some(&self.lock)),
            listener_fd: number(Some(&self.listener)),
            attach_fd: number(Some(self.attachments.listener())),
            connection_fd: number(self.link.as_ref()),
            protocol: self.link.as_ref().and_then(Link::protocol).unwrap_or(0),
            directory: self.directory.to_string_lossy().into_owned(),
            ..Handover::default()
        };
        if let Some((received, unsent)) = self.link.as_ref().map(Link::buffers) {
            (handover.received, handover.unsent) = (received.to_vec(), unsent.to_vec());
        }
        if let Some(attempt) = &self.attempt {
            attempt.hand_over(&mut handover);
        }
        handover
    }
}

impl Main {
    /// Refers to it.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Child(pidfd) | Self::Stranger(pidfd) => Some(pidfd.as_fd()),
            Self::Gone => None,
        }
    }
}

impl Attempt {
    fn hand_over(&self, handover: &mut Handover) {
        handover.record = Some(self.record.clone());
        handover.pidfd = number(self.main.pidfd());
        handover.status_fd = number(self.status());
        handover.stdin_fd = number(self.standard.input.as_ref().map(Input::file));
        handover.notify_fd = number(self.notify.as_ref());
        let mut current = self.seen.clone();
        match &self.phase {
            Phase::Starting { frames, failure, .. } => {
                handover.status_received = frames.rest().to_vec();
                current.failure.clone_from(failure);
            }
            Phase::Ended { failure, .. } => current.failure.clone_from(failure),
            Phase::Running | Phase::Done => {}
        }
        handover.current = Some(current);
        for (stream, source) in sources(self) {
            let place = match (source, stream) {
                (Source::Terminal(_), _) => &mut handover.terminal_fd,
                (Source::Fifo(_), Stream::Stdout) => &mut handover.stdout_fd,
                (Source::Fifo(_), Stream::Stderr) => &mut handover.stderr_fd,
            };
            *place = number(Some(source.file()));
        }
    }

    /// What [`Attempt::hand_over`] said, taken up again.
    fn take_up(handover: &Handover, directory: &Path) -> io::Result<Option<Self>> {
        let (Some(record), Some(seen)) = (handover.record.clone(), handover.current.clone()) else { return Ok(None) };
        let main = match inherited(handover.pidfd)? {
            Some(pidfd) if seen.adopted => Main::Stranger(pidfd),
            Some(pidfd) => Main::Child(pidfd),
            None => Main::Gone,
        };
        let mut attempt = Self { directory: directory.to_owned(), record, seen, main, ..Self::empty() };
        attempt.phase = attempt.phase_from(handover)?;
        if attempt.is_done() {
            return Ok(Some(attempt));
        }
        attempt.group = attempt.record.cgroup.as_ref().and_then(|cgroup| Group::open(cgroup).ok());
        attempt.output = Some(attempt.output_from(handover)?);
        attempt.standard.input = inherited(handover.stdin_fd)?.map(|file| Input::new(file.into()));
        attempt.standard.closing = attempt.standard.input.is_some() && !attempt.record.stdin;
        if let (Some(wanted), Some(socket)) = (attempt.record.notify, inherited(handover.notify_fd)?) {
            let number = attempt.number();
            attempt.notify = Some(Notify::resume(directory, number, wanted.access(), socket, clock::boot()));
        }
        if matches!(attempt.phase, Phase::Running) {
            attempt.hold_mounts();
        }
        Ok(Some(attempt))
    }

    fn phase_from(&mut self, handover: &Handover) -> io::Result<Phase> {
        let failure = if self.seen.empty { None } else { self.seen.failure.take() };
        if let Some(status) = inherited(handover.status_fd)? {
            let frames = Frames::with(handover.status_received.clone());
            return Ok(Phase::Starting { status: status.into(), frames, failure });
        }
        if self.seen.empty {
            return Ok(Phase::Done);
        }
        match (&self.seen.exit, &failure) {
            (None, None) => Ok(Phase::Running),
            (Some(_), _) | (_, Some(_)) => Ok(Phase::Ended { failure, deadline: None }),
        }
    }

    fn output_from(&self, handover: &Handover) -> io::Result<Output> {
        let settings = self.record.log.clone().unwrap_or_default();
        let journal = Journal::open(&self.directory)?;
        let mut output = Output::resume(journal, &settings, self.number(), clock::boot());
        for (stream, fd) in [(Stream::Stdout, handover.stdout_fd), (Stream::Stderr, handover.stderr_fd)] {
            if let Some(file) = inherited(fd)? {
                output.set_source(stream, Source::fifo(file.into()));
            }
        }
        if let Some(file) = inherited(handover.terminal_fd)? {
            output.set_source(Stream::Stdout, Source::Terminal(file.into()));
        }
        Ok(output)
    }
}

/// Goes on where the binary before this one left off.
///
/// # Errors
/// When what it handed over is not as agreed.
pub fn resume(memory: RawFd) -> io::Result<Supervisor> {
    let memory = descriptor::inherited(memory).ok_or_else(|| missing("the handover"))?;
    let mut bytes = Vec::new();
    File::from(memory).read_to_end(&mut bytes)?;
    let handover = Handover::decode(bytes.as_slice()).map_err(io::Error::other)?;
    let directory = PathBuf::from(&handover.directory);
    let link = link_from(&handover)?;
    let mut supervisor = Supervisor {
        identity: Identity::read(&directory)?,
        boot_id: proc::boot_id(Path::new("/proc"))?,
        lock: inherited(handover.lock_fd)?.ok_or_else(|| missing("the lock"))?.into(),
        listener: inherited(handover.listener_fd)?.ok_or_else(|| missing("the listener"))?.into(),
        attachments: Attachments::new(attach_listener(&handover, &directory)?),
        signals: supervisor::take_signals()?,
        attempt: Attempt::take_up(&handover, &directory)?,
        ready: None,
        lingering: None,
        link,
        end: End::NotAsked,
        directory,
    };
    supervisor.set_on_exec(OnExec::Close)?;
    if handover.protocol > 0 {
        supervisor.tell_welcome(handover.protocol);
    }
    Ok(supervisor)
}

/// That of a shim which had none yet is made.
fn attach_listener(handover: &Handover, directory: &Path) -> io::Result<UnixListener> {
    match inherited(handover.attach_fd)? {
        Some(listener) => Ok(listener.into()),
        None => begin::listen(directory, layout::ATTACH),
    }
}

fn link_from(handover: &Handover) -> io::Result<Option<Link>> {
    let Some(connection) = inherited(handover.connection_fd)? else { return Ok(None) };
    let protocol = Some(handover.protocol).filter(|&protocol| protocol > 0);
    Link::resumed(connection.into(), handover.received.clone(), handover.unsent.clone(), protocol).map(Some)
}

fn sources(attempt: &Attempt) -> impl Iterator<Item = (Stream, &Source)> {
    let output = attempt.output.as_ref();
    crate::output::STREAMS.into_iter().filter_map(move |stream| Some((stream, output?.source(stream)?)))
}

fn number(fd: Option<impl AsFd>) -> u32 {
    // a descriptor is never negative
    fd.map_or(0, |fd| fd.as_fd().as_raw_fd().unsigned_abs())
}

fn inherited(number: u32) -> io::Result<Option<OwnedFd>> {
    if number == 0 {
        return Ok(None);
    }
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    descriptor::inherited(number).map(Some).ok_or_else(|| missing("an open file"))
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{what} was not handed over"))
}
