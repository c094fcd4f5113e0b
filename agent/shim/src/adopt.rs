//! What a new shim finds of an attempt that an earlier one began.
//!
//! | exit record | this boot | main process | then |
//! |---|---|---|---|
//! | says empty | any | - | `Done` |
//! | there | same | - | `Ended`: the rest is killed and waited for |
//! | none | same | lives, same start time | `Running`, adopted |
//! | none | same | not recorded, one in the cgroup | `Running`, adopted: the shim died around its clone |
//! | none | same | gone | `Ended`, exit unknown |
//! | none | same | lives, and was made beforehand and not told to go on | `Running`; its end is then known not to be a program's |
//! | not empty | another | - | `Done`, exit unknown if not recorded: nothing survives a boot |

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use barepod_logs::cri::Stream;
use barepod_sys::{clock, pidfd, proc};

use crate::attempt::{self, Attempt, Main, Phase};
use crate::cgroup::Group;
use crate::journal::Journal;
use crate::keeper;
use crate::launch;
use crate::layout;
use crate::notify::Notify;
use crate::output::Output;
use crate::record;
use crate::wire;
use crate::wire::AttemptRecord;
use crate::wire::exit::How;

const PROC: &str = "/proc";

/// Takes over the newest attempt of a directory, if there was one.
///
/// # Errors
/// When a record or the journal cannot be read.
pub fn adopt(directory: &Path, boot_id: &str) -> io::Result<Option<Attempt>> {
    let Some(record) = record::read_attempt(directory)? else { return Ok(None) };
    let begun = record.attempt.clone().unwrap_or_default();
    let seen = record::read_exit(directory, begun.attempt)?.unwrap_or(begun);
    let seen = wire::Attempt { adopted: true, ..seen };
    let mut attempt = Attempt { directory: directory.to_owned(), record, seen, ..Attempt::empty() };
    if attempt.seen.empty {
        attempt.phase = Phase::Done;
        return Ok(Some(attempt));
    }
    let same_boot = attempt.seen.boot_id == boot_id;
    if same_boot {
        attempt.group = find_group(&attempt.record);
    }
    attempt.output = Some(find_output(directory, &attempt, same_boot)?);
    attempt.take_over(same_boot);
    attempt.take_streams(same_boot);
    attempt.listen_again();
    Ok(Some(attempt))
}

impl Attempt {
    fn take_over(&mut self, same_boot: bool) {
        let failure = self.seen.failure.clone();
        if same_boot && self.seen.exit.is_none() && failure.is_none() && self.find_main() {
            self.phase = Phase::Running;
            self.hold_mounts();
            self.write_record();
            return;
        }
        // `ended` writes down what is known and kills what is left
        self.phase = Phase::Ended { failure: failure.clone(), deadline: None };
        if self.seen.exit.is_none() && failure.is_none() {
            self.ended(None, &mut Vec::new());
        } else {
            self.kill_rest();
        }
        let unseen = matches!(self.seen.exit, Some(wire::Exit { how: Some(How::Unknown(true)), .. }));
        if let Some(output) = self.output.as_mut().filter(|_| unseen) {
            output.ended_unseen();
        }
    }

    /// Terminal and input, from the one who kept them. What nobody kept has ended with the shim before.
    fn take_streams(&mut self, same_boot: bool) {
        if !same_boot {
            self.record.keeper = None;
            return;
        }
        if self.record.tty {
            match self.record.keeper.as_ref().map(keeper::take) {
                Some(Ok(controller)) => self.set_terminal(controller.into()),
                Some(Err(error)) => eprintln!("barepod-shim: attempt {}: its terminal is lost: {error}", self.number()),
                None => {}
            }
        } else if self.record.stdin {
            self.standard.input = launch::reopen_stdin(&layout::stdin(&self.directory, self.number())).ok();
            self.keep();
        } else {
            self.release();
        }
    }

    /// A service that nobody can hear runs on; what it says is then lost, as it is while there is no shim.
    fn listen_again(&mut self) {
        let Some(wanted) = self.record.notify.filter(|_| matches!(self.phase, Phase::Running)) else { return };
        match Notify::adopt(&self.directory, self.number(), wanted.access(), clock::boot()) {
            Ok(notify) => self.notify = Some(notify),
            Err(error) => eprintln!("barepod-shim: attempt {}: its socket: {error}", self.number()),
        }
    }

    fn find_main(&mut self) -> bool {
        let Some(pidfd) = self.recorded_main().or_else(|| self.unrecorded_main()) else { return false };
        self.main = Main::Stranger(pidfd);
        true
    }

    /// The number may be another process's by now: its start time is compared after it is held.
    fn recorded_main(&self) -> Option<OwnedFd> {
        let pid = Some(self.seen.pid).filter(|&pid| pid != 0)?;
        let pidfd = pidfd::open(pid).ok()?;
        let stat = proc::stat(Path::new(PROC), pid).ok()?;
        (stat.start_ticks == self.seen.start_ticks).then_some(pidfd)
    }

    /// The former shim died between its two records. What is in the cgroup can only be what it cloned.
    fn unrecorded_main(&mut self) -> Option<OwnedFd> {
        if self.seen.pid != 0 {
            return None;
        }
        let pid = self.group.as_ref()?.main_process(Path::new(PROC))?;
        let pidfd = pidfd::open(pid).ok()?;
        self.seen.pid = pid;
        self.seen.start_ticks = proc::stat(Path::new(PROC), pid).ok()?.start_ticks;
        self.seen.started = Some(attempt::now());
        Some(pidfd)
    }
}

fn find_group(record: &AttemptRecord) -> Option<Group> {
    // one that was removed was empty
    Group::open(record.cgroup.as_ref()?).ok()
}

fn find_output(directory: &Path, attempt: &Attempt, same_boot: bool) -> io::Result<Output> {
    let settings = attempt.record.log.clone().unwrap_or_default();
    let journal = Journal::open(directory)?;
    let number = attempt.number();
    let mut output = Output::resume(journal, &settings, number, clock::boot());
    if same_boot && !attempt.record.tty {
        // a FIFO that is not there has ended; a terminal is asked for where it is kept
        for (stream, path) in
            [(Stream::Stdout, layout::stdout(directory, number)), (Stream::Stderr, layout::stderr(directory, number))]
        {
            if let Ok(source) = launch::reopen_fifo(&path) {
                output.set_source(stream, source);
            }
        }
    }
    Ok(output)
}
