//! The shim's loop: wait until one of few things happens, deal with it, tell the daemon if there is one.
//!
//! A shim ends when it is told to Quit and has nothing left, so that no host script or service manager that signals
//! "everything" takes a database's supervisor away: SIGHUP and SIGINT are ignored, and SIGTERM ends it only once nothing is
//! left. When the host goes down, that is at the end of its service, and nobody waits for it in vain.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_logs::cri::Stream;
use barepod_sys::poll::{Interest, Poll};
use barepod_sys::signal::{self, Signals};
use barepod_sys::{clock, wait};

use crate::attach::{self, Attachments};
use crate::attempt::Attempt;
use crate::input::Input;
use crate::journal::Journal;
use crate::link::{Link, LinkError};
use crate::ready::{Kept, Ready};
use crate::record::{self, Identity};
use crate::stranger;
use crate::wire::{self, Dismissed, Event, GetReady, Go, PROTOCOL, Refused, Request, Start, Welcome, event, request};

/// Places in the poll.
mod place {
    pub(super) const SIGNALS: usize = 0;
    pub(super) const LISTENER: usize = 1;
    pub(super) const LINK: usize = 2;
    pub(super) const STATUS: usize = 3;
    pub(super) const GROUP: usize = 4;
    pub(super) const STRANGER: usize = 5;
    pub(super) const STDOUT: usize = 6;
    pub(super) const STDERR: usize = 7;
    pub(super) const READY: usize = 8;
    pub(super) const ATTACH: usize = 9;
    pub(super) const STDIN: usize = 10;
    pub(super) const NOTIFY: usize = 11;
    /// The first of those who are attached.
    pub(super) const ATTACHED: usize = 12;
    pub(super) const COUNT: usize = ATTACHED + crate::attach::MOST;
}

/// Ends that are kept for a daemon that does not say that it knows them.
const MOST_ENDS: u32 = 64;

/// How long after an attempt its mounts are kept: a restart at once takes milliseconds.
const LINGER: Duration = Duration::from_millis(100);

const OUTPUTS: [(usize, Stream); 2] = [(place::STDOUT, Stream::Stdout), (place::STDERR, Stream::Stderr)];

/// Everything a shim has.
#[derive(Debug)]
pub struct Supervisor {
    pub(crate) directory: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) boot_id: String,
    /// Held as long as this process lives.
    pub(crate) lock: File,
    pub(crate) listener: UnixListener,
    pub(crate) attachments: Attachments,
    pub(crate) signals: Signals,
    pub(crate) link: Option<Link>,
    pub(crate) attempt: Option<Attempt>,
    /// What stands ready for the attempt after that.
    pub(crate) ready: Option<Ready>,
    /// The mounts of an attempt of which nothing is left, until that boot time: to take them down would hold the next one up.
    pub(crate) lingering: Option<(Duration, Kept)>,
    pub(crate) end: End,
}

/// Whether a shim is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nobody has asked.
    NotAsked,
    /// By SIGTERM: as soon as nothing of an attempt is left.
    WhenNothingIsLeft,
    /// By Quit.
    Now,
}

impl Supervisor {
    /// Runs until Quit.
    ///
    /// # Errors
    /// As poll(2): nothing else ends it.
    pub fn run(&mut self) -> io::Result<()> {
        // what happened, and was asked, before the first wait
        self.reap();
        self.progress(clock::boot());
        self.hear();
        while !self.is_over() {
            // By one clock reading for both: what is held back until a moment between two would be neither waited for nor
            // woken up for, and a service whose output nobody reads stands still.
            let now = clock::boot();
            let mut poll = self.interests(now);
            poll.wait(self.timeout(now))?;
            self.turn(&poll);
        }
        self.throw_away();
        Ok(())
    }

    fn is_over(&self) -> bool {
        match self.end {
            End::NotAsked => false,
            End::WhenNothingIsLeft => self.attempt.as_ref().is_none_or(Attempt::is_done),
            End::Now => true,
        }
    }

    fn interests(&self, now: Duration) -> Poll<{ place::COUNT }> {
        let mut poll = Poll::default();
        poll.set(place::SIGNALS, Some((self.signals.as_fd(), Interest::Read)));
        poll.set(place::LISTENER, Some((self.listener.as_fd(), Interest::Read)));
        if let Some(link) = &self.link {
            let interest = if link.has_unsent() { Interest::ReadWrite } else { Interest::Read };
            poll.set(place::LINK, Some((link.as_fd(), interest)));
        }
        poll.set(place::READY, self.ready.as_ref().and_then(Ready::says).map(|fd| (fd, Interest::Read)));
        poll.set(place::ATTACH, Some((self.attachments.listener().as_fd(), Interest::Read)));
        let input = self.attempt.as_ref().and_then(|attempt| attempt.standard.input.as_ref());
        poll.set(place::STDIN, input.and_then(Input::wants).map(|fd| (fd, Interest::Write)));
        let room = input.is_none_or(Input::has_room);
        for place in 0..attach::MOST {
            poll.set(place::ATTACHED + place, self.attachments.wanted(place, room));
        }
        let Some(attempt) = &self.attempt else { return poll };
        poll.set(place::STATUS, attempt.status().map(|fd| (fd, Interest::Read)));
        poll.set(place::GROUP, attempt.group_events().map(|fd| (fd, Interest::Change)));
        poll.set(place::STRANGER, attempt.stranger().map(|fd| (fd, Interest::Read)));
        poll.set(place::NOTIFY, attempt.says(now).map(|fd| (fd, Interest::Read)));
        for (place, stream) in OUTPUTS {
            let wanted = attempt.output.as_ref().and_then(|output| output.wanted(stream, now));
            poll.set(place, wanted.map(|fd| (fd, Interest::Read)));
        }
        poll
    }

    fn timeout(&self, now: Duration) -> Option<Duration> {
        let attempt = self.attempt.as_ref().and_then(|attempt| attempt.deadline(now));
        let lingering = self.lingering.as_ref().map(|(until, _)| *until);
        let deadline = [attempt, lingering].into_iter().flatten().min()?;
        Some(deadline.saturating_sub(now))
    }

    /// The end of the main process before anything else: the daemon waits for it.
    fn turn(&mut self, poll: &Poll<{ place::COUNT }>) {
        if poll.ready(place::STATUS).any() {
            self.with_attempt(Attempt::hear_status);
        }
        if poll.ready(place::NOTIFY).any() {
            self.with_attempt(Attempt::hear_words);
        }
        if poll.ready(place::SIGNALS).any() {
            self.take_signal_events();
            self.reap();
        }
        if poll.ready(place::STRANGER).any() {
            self.with_attempt(stranger::look);
        }
        let now = clock::boot();
        if let Some(output) = self.attempt.as_mut().and_then(|attempt| attempt.output.as_mut()) {
            for (_, stream) in OUTPUTS.into_iter().filter(|&(place, _)| poll.ready(place).any()) {
                output.take(stream, now);
            }
            output.tick(now);
        }
        self.progress(now);
        self.attend(poll);
        if poll.ready(place::READY).any() {
            self.ready = self.ready.take().and_then(|ready| ready.hear(&self.directory));
        }
        if poll.ready(place::LISTENER).any() {
            self.accept();
        }
        if poll.ready(place::LINK).any() {
            self.hear();
        }
    }

    /// Those who are attached see what was written, before what they ask is done.
    fn attend(&mut self, poll: &Poll<{ place::COUNT }>) {
        let wanted = self.attachments.any();
        if let Some(attempt) = &mut self.attempt {
            let done = attempt.is_done();
            for (stream, data) in attempt.output.iter_mut().flat_map(|output| output.tapped(wanted && !done)) {
                self.attachments.show(stream, &data);
            }
            if done && wanted {
                self.attachments.end_all();
            }
        }
        if poll.ready(place::STDIN).any()
            && let Some(attempt) = &mut self.attempt
        {
            attempt.flush_stdin();
        }
        for place in 0..attach::MOST {
            let ready = poll.ready(place::ATTACHED + place);
            if ready.any() {
                self.attachments.serve(place, ready, self.attempt.as_mut());
            }
        }
        if poll.ready(place::ATTACH).any() {
            self.attachments.accept();
        }
        if let Some(output) = self.attempt.as_mut().and_then(|attempt| attempt.output.as_mut())
            && !wanted
            && self.attachments.any()
        {
            output.tapped(true);
        }
    }

    fn progress(&mut self, now: Duration) {
        self.with_attempt(|attempt, events| attempt.progress(now, events));
        self.attempt.iter_mut().for_each(Attempt::tidy_up);
        if let Some(mounts) = self.attempt.as_mut().and_then(Attempt::take_mounts) {
            self.lingering = Some((now + LINGER, mounts));
        }
        if self.lingering.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.lingering = None;
        }
    }

    fn with_attempt(&mut self, action: impl FnOnce(&mut Attempt, &mut Vec<Event>)) {
        let Some(attempt) = &mut self.attempt else { return };
        let mut events = Vec::new();
        action(attempt, &mut events);
        events.into_iter().for_each(|event| self.tell(event));
    }

    fn take_signal_events(&mut self) {
        while let Ok(Some(number)) = self.signals.take() {
            if number == signal::TERMINATE && self.end == End::NotAsked {
                self.end = End::WhenNothingIsLeft;
            }
        }
    }

    /// Takes every child that has ended: the main process, and orphans of its making.
    fn reap(&mut self) {
        while let Ok(Some(ended)) = wait::peek() {
            if self.standby_ended(ended.pid) {
                continue;
            }
            self.with_attempt(|attempt, events| {
                if attempt.is_main(ended.pid) {
                    attempt.ended(Some(ended.exit), events);
                } else if attempt.is_keeper(ended.pid) && attempt.runs() {
                    attempt.keep();
                }
            });
            if wait::reap(ended.pid).is_err() {
                return;
            }
        }
    }

    /// Whether it was the process that stood by, which is gone and reaped then.
    fn standby_ended(&mut self, pid: u32) -> bool {
        let Some(ready) = self.ready.take() else { return false };
        self.ready = ready.ended(pid, &self.directory);
        self.ready.is_none()
    }

    /// A new connection takes the place of the old. What was asked on the old one before counts.
    fn accept(&mut self) {
        self.hear();
        if let Ok((stream, _)) = self.listener.accept() {
            self.link = Link::new(stream).ok();
        }
    }

    /// Requests that came before the end of a connection count.
    fn hear(&mut self) {
        let Some(link) = &mut self.link else { return };
        let state = link.flush().and_then(|()| link.receive());
        let requests = self.answer_all();
        if state.and(requests).is_err() {
            self.link = None;
        }
    }

    fn answer_all(&mut self) -> Result<(), LinkError> {
        while let Some(link) = &mut self.link
            && let Some(request) = link.request()?
        {
            self.answer(request);
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) {
        let agreed = self.link.as_ref().is_some_and(|link| link.protocol().is_some());
        match request.request {
            Some(request::Request::Hello(hello)) => self.welcome(hello.protocol),
            Some(_) if !agreed => self.refuse(0, "request", "the first request must be Hello"),
            Some(request::Request::Start(start)) => self.start(&start),
            Some(request::Request::Signal(signal)) => self.signal(signal),
            Some(request::Request::Kill(kill)) => self.kill(kill.attempt),
            Some(request::Request::Reexec(reexec)) => self.reexec(&reexec.path),
            Some(request::Request::Quit(_)) => self.quit(),
            Some(request::Request::Stats(_)) => self.stats(),
            Some(request::Request::GetReady(asked)) => self.get_ready(asked),
            Some(request::Request::Go(go)) => self.go(&go),
            Some(request::Request::Dismiss(_)) => self.dismiss(),
            Some(request::Request::Known(known)) => self.known(known.attempt),
            None => self.refuse(0, "unknown", "this shim does not know the request"),
        }
    }

    fn welcome(&mut self, protocol: u32) {
        let protocol = protocol.min(PROTOCOL);
        if let Some(link) = &mut self.link {
            link.agree(protocol);
        }
        self.tell_welcome(protocol);
    }

    /// Tells all there is.
    pub(crate) fn tell_welcome(&mut self, protocol: u32) {
        let welcome = Welcome {
            protocol,
            shim_version: env!("CARGO_PKG_VERSION").to_owned(),
            shim_pid: std::process::id(),
            pod_uid: self.identity.pod_uid.clone(),
            container: self.identity.container.clone(),
            current: self.attempt.as_ref().map(Attempt::told),
            ended: self.ends(),
        };
        self.tell(event::Event::Welcome(welcome).into());
    }

    /// How attempts before the newest ended, as far as the daemon has not said that it knows.
    fn ends(&self) -> Vec<wire::Attempt> {
        let newest = self.attempt.as_ref().map_or(0, Attempt::number);
        let numbers = record::ended(&self.directory).unwrap_or_default();
        let before = numbers.into_iter().filter(|number| *number < newest);
        // what cannot be read any more is as good as not there
        before.filter_map(|number| record::read_exit(&self.directory, number).ok().flatten()).collect()
    }

    /// The newest attempt's record stays: it is that of this shim's own state.
    fn known(&self, known: u32) {
        let newest = self.attempt.as_ref().map_or(0, Attempt::number);
        let numbers = record::ended(&self.directory).unwrap_or_default().into_iter();
        numbers
            .filter(|number| *number <= known && *number < newest)
            .for_each(|number| record::forget_exit(&self.directory, number));
    }

    fn start(&mut self, start: &Start) {
        match self.before(start.attempt) {
            Ok(before) => self.start_now(start, before),
            Err(why) => self.refuse(start.attempt, "Start", &why),
        }
    }

    /// The attempt before this one, if there was one; why this one cannot be started if it cannot.
    fn before(&self, number: u32) -> Result<Option<u32>, String> {
        match self.attempt.as_ref().map(|attempt| (attempt.number(), attempt.is_done())) {
            Some((before, false)) => Err(format!("something of attempt {before} is left")),
            Some((before, true)) if number <= before => {
                Err(format!("there was an attempt {before}: a number must be higher"))
            }
            Some((before, true)) => Ok(Some(before)),
            None => Ok(None),
        }
    }

    fn start_now(&mut self, start: &Start, before: Option<u32>) {
        let kept = self.ready.take().and_then(|ready| ready.take(start, &self.directory));
        let journal = self.attempt.take().and_then(Attempt::into_journal);
        let mut events = Vec::new();
        let attempt = Attempt::start(&self.directory, start, &self.boot_id, journal, kept.as_ref(), &mut events);
        self.began(attempt, before, events);
    }

    fn go(&mut self, go: &Go) {
        // one that has just ended does not stand by
        self.reap();
        let before = match self.before(go.attempt) {
            Ok(before) => before,
            Err(why) => return self.refuse(go.attempt, "Go", &why),
        };
        let Some(standby) = self.ready.take().and_then(|ready| ready.into_standby(go, &self.directory)) else {
            return self.refuse(go.attempt, "Go", "nothing stands ready under this name");
        };
        let journal = self.attempt.take().and_then(Attempt::into_journal);
        let mut events = Vec::new();
        let attempt = Attempt::go(&self.directory, standby, &self.boot_id, journal, &mut events);
        self.began(attempt, before, events);
    }

    fn began(&mut self, attempt: Attempt, before: Option<u32>, events: Vec<Event>) {
        self.attempt = Some(attempt);
        if let Some(before) = before {
            let tells = self.link.as_ref().and_then(Link::protocol).is_none_or(|protocol| protocol >= wire::GO);
            let known = if tells { before.checked_sub(MOST_ENDS) } else { Some(before) };
            known.into_iter().for_each(|known| record::forget_exit(&self.directory, known));
        }
        events.into_iter().for_each(|event| self.tell(event));
        self.attempt.iter_mut().for_each(Attempt::tidy_up);
    }

    fn get_ready(&mut self, asked: GetReady) {
        self.throw_away();
        match Ready::begin(asked) {
            Ok(ready) => self.ready = Some(ready),
            Err(error) => self.refuse(0, "GetReady", &error.to_string()),
        }
    }

    fn dismiss(&mut self) {
        self.throw_away();
        self.tell(event::Event::Dismissed(Dismissed {}).into());
    }

    /// What stands ready is not needed. When this returns, nothing of it is in the next attempt's cgroup.
    pub(crate) fn throw_away(&mut self) {
        if let Some(ready) = self.ready.take() {
            ready.dismiss(&self.directory);
        }
    }

    fn signal(&mut self, signal: wire::Signal) {
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.number() == signal.attempt) else { return };
        if let Err(error) = attempt.signal(signal.signal) {
            self.refuse(signal.attempt, "Signal", &error.to_string());
        }
    }

    fn kill(&mut self, number: u32) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.number() == number) else { return };
        if let Err(error) = attempt.kill() {
            self.refuse(number, "Kill", &error.to_string());
        }
    }

    fn quit(&mut self) {
        match self.attempt.as_ref().filter(|attempt| !attempt.is_done()).map(Attempt::number) {
            Some(number) => self.refuse(number, "Quit", "something of an attempt is left"),
            None => self.end = End::Now,
        }
    }

    fn stats(&mut self) {
        let output = self.attempt.as_ref().and_then(|attempt| attempt.output.as_ref());
        let stats = output.map(crate::output::Output::stats).unwrap_or_default();
        self.tell(event::Event::LogStats(stats).into());
    }

    pub(crate) fn refuse(&mut self, attempt: u32, request: &str, message: &str) {
        let refused = Refused { attempt, request: request.to_owned(), message: message.to_owned() };
        self.tell(event::Event::Refused(refused).into());
    }

    /// Before Hello a connection is told nothing but refusals; one that does not take what it is told is dropped.
    fn tell(&mut self, event: Event) {
        let refusal = matches!(event.event, Some(event::Event::Refused(_)));
        let Some(link) = self.link.as_mut().filter(|link| refusal || link.protocol().is_some()) else { return };
        if link.send(&event).is_err() {
            self.link = None;
        }
    }
}

/// Signals that a shim takes as events or not at all.
///
/// # Errors
/// As signalfd(2).
pub fn take_signals() -> io::Result<Signals> {
    for number in [signal::HANGUP, signal::INTERRUPT, signal::PIPE] {
        signal::ignore(number)?;
    }
    Signals::block(&[signal::CHILD, signal::TERMINATE])
}

/// Makes sure that the journal can be had before anybody counts on this shim.
///
/// # Errors
/// As opening it.
pub fn check_journal(directory: &Path) -> io::Result<()> {
    Journal::open(directory).map(|_| ())
}
