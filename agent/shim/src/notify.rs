//! The socket to which a service tells how it is (sd_notify(3)), and all that it has said.
//!
//! The shim holds the socket and not the daemon, since words such as `READY=1` are said once: what comes while no daemon
//! lives is kept here and told by the next Welcome. It is written down before it is told, and before a file that came with
//! `BARRIER=1` is closed, so that a shim that takes over knows it too. What was said between the death of a shim and
//! the beginning of the next one is lost; that there was such a time is told (`deaf`), so that nobody takes silence for
//! evidence.
//!
//! Who may speak: the main process, or whoever is in the attempt's cgroup. Words are read at a bounded rate: nothing is
//! thrown away, a service that says too much waits at its own socket.

pub mod parse;

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_sys::datagram::{Receiver, Sender};
use barepod_sys::{descriptor, path, pidfd, proc};

use crate::attempt;
use crate::cgroup::Group;
use crate::layout;
use crate::record;
use crate::wire::Heard;
use crate::wire::notify::Access;
use parse::{Watchdog, Words, parse};

const PROC: &str = "/proc";
/// Whoever sees the directory may speak; who counts is decided word by word.
const SOCKET_MODE: u32 = 0o666;
const DIRECTORY_MODE: u32 = 0o755;
/// Datagrams that are read at once, and how soon one more may be.
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_millis(20);

/// One attempt's socket, and what came over it.
#[derive(Debug)]
pub struct Notify {
    directory: PathBuf,
    receiver: Receiver,
    access: Access,
    heard: Heard,
    /// The process that signals go to, where it is not the one that was started.
    main: Option<OwnedFd>,
    budget: Budget,
}

/// Whose words are heard.
#[derive(Debug, Clone, Copy)]
pub struct Speakers<'a> {
    /// Host pid of the process that was started.
    pub main: u32,
    /// The attempt's cgroup.
    pub group: Option<&'a Group>,
}

impl Notify {
    /// Binds a new attempt's socket.
    ///
    /// # Errors
    /// As mkdir(2), unlink(2), bind(2), chmod(2).
    pub fn begin(directory: &Path, attempt: u32, access: Access, now: Duration) -> io::Result<Self> {
        let heard = Heard { attempt, serial: nanos(now), ..Heard::default() };
        let notify = Self::with(directory, bind(directory)?, access, heard, now);
        notify.write_down();
        Ok(notify)
    }

    /// Binds it anew for an attempt that a former shim began. What was said meanwhile, nobody has heard.
    ///
    /// # Errors
    /// As [`Notify::begin`].
    pub fn adopt(directory: &Path, attempt: u32, access: Access, now: Duration) -> io::Result<Self> {
        let known = record::read_heard(directory, attempt).ok().flatten();
        let mut heard = known.unwrap_or_else(|| Heard { attempt, ..Heard::default() });
        heard.deaf_ns = nanos(now);
        heard.serial = nanos(now).max(heard.serial + 1);
        let mut notify = Self::with(directory, bind(directory)?, access, heard, now);
        notify.find_main_again();
        notify.write_down();
        Ok(notify)
    }

    /// The same one, in another binary.
    #[must_use]
    pub fn resume(directory: &Path, attempt: u32, access: Access, socket: OwnedFd, now: Duration) -> Self {
        let known = record::read_heard(directory, attempt).ok().flatten();
        let heard = known.unwrap_or_else(|| Heard { attempt, serial: nanos(now), ..Heard::default() });
        let mut notify = Self::with(directory, Receiver::resumed(socket), access, heard, now);
        notify.find_main_again();
        notify
    }

    fn with(directory: &Path, receiver: Receiver, access: Access, heard: Heard, now: Duration) -> Self {
        Self { directory: directory.to_owned(), receiver, access, heard, main: None, budget: Budget::full(now) }
    }

    /// What the daemon is told.
    #[must_use]
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Where words come, unless too many have come.
    #[must_use]
    pub fn listens(&self, now: Duration) -> Option<BorrowedFd<'_>> {
        (self.budget.at(now) > 0).then(|| self.receiver.as_fd())
    }

    /// When it listens again, if it does not.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        (self.budget.at(now) == 0).then(|| self.budget.since + EVERY)
    }

    /// The process that it has named as its main one.
    #[must_use]
    pub fn main(&self) -> Option<BorrowedFd<'_>> {
        self.main.as_ref().map(AsFd::as_fd)
    }

    /// Takes what has come, and says whether anything of it is to be told.
    pub fn take(&mut self, speakers: Speakers<'_>, now: Duration) -> bool {
        let mut buffer = [0; parse::LONGEST + 1];
        let before = self.heard.serial;
        while self.budget.spend(now) {
            match self.receiver.receive(&mut buffer) {
                Ok(Some(received)) => {
                    let bytes = &buffer[..received.length.min(buffer.len())];
                    let lasting = self.hear(bytes, received.sender, received.files.len(), speakers, now);
                    if lasting {
                        self.write_down();
                    }
                    // here its files are closed: who waits for that knows that it counts
                    drop(received.files);
                }
                Ok(None) => {
                    self.budget.give_back();
                    break;
                }
                Err(error) => {
                    eprintln!("barepod-shim: attempt {}: its socket: {error}", self.heard.attempt);
                    break;
                }
            }
        }
        self.heard.serial != before
    }

    /// Takes one datagram, and says whether it changes what a later shim must know.
    fn hear(
        &mut self,
        bytes: &[u8],
        sender: Option<Sender>,
        files: usize,
        speakers: Speakers<'_>,
        now: Duration,
    ) -> bool {
        let words = match self.admit(sender, speakers).and_then(|()| parse(bytes).map_err(|no| no.to_string())) {
            Ok(words) => words,
            Err(why) => {
                self.refuse(why, now);
                return true;
            }
        };
        if words.barrier && files == 1 && words.fault.is_none() {
            return false;
        }
        let lasting = words != ping(&words);
        self.apply(&words, now);
        if let Some(pid) = words.main_pid {
            self.take_main(pid, sender, speakers, now);
        }
        let kept_files = files > 0 || words.store;
        match (words.fault, kept_files) {
            (Some(name), _) => self.refuse(format!("the value of {name} makes no sense"), now),
            (None, true) => self.refuse("open files are not kept for a service (FDSTORE)".to_owned(), now),
            (None, false) => return lasting,
        }
        true
    }

    fn admit(&self, sender: Option<Sender>, speakers: Speakers<'_>) -> Result<(), String> {
        let Some(Sender { pid, uid, .. }) = sender.filter(|sender| sender.pid != 0) else {
            return Err("nobody knows who sent it".to_owned());
        };
        if pid == speakers.main || (self.heard.main_pid == pid && self.main.is_some()) {
            return Ok(());
        }
        let inside = speakers.group.is_some_and(|group| group.processes().is_ok_and(|all| all.contains(&pid)));
        match (self.access, inside) {
            (Access::All, true) => Ok(()),
            (Access::Main, true) => Err(format!("pid {pid} is not the main process, which alone may speak here")),
            (Access::Main | Access::All, false) => Err(format!("pid {pid} of user {uid} is not of this container")),
        }
    }

    fn apply(&mut self, words: &Words, now: Duration) {
        let heard = &mut self.heard;
        heard.serial = nanos(now).max(heard.serial + 1);
        let moment = attempt::now();
        if words.ready {
            heard.ready.get_or_insert(moment);
            heard.reloading = None;
        }
        if words.reloading {
            heard.reloading.get_or_insert(moment);
        }
        if words.stopping {
            heard.stopping.get_or_insert(moment);
        }
        heard.errno = words.errno.unwrap_or(heard.errno);
        let texts = [
            (&mut heard.status, &words.status),
            (&mut heard.bus_error, &words.bus_error),
            (&mut heard.varlink_error, &words.varlink_error),
        ];
        for (text, said) in texts {
            said.iter().for_each(|said| text.clone_from(said));
        }
        match words.watchdog {
            Some(Watchdog::Alive) => heard.watchdog_ns = nanos(now),
            Some(Watchdog::Trigger) => heard.watchdog_triggered = true,
            None => {}
        }
        heard.watchdog_timeout_ns = words.watchdog_timeout.map(nanos).or(heard.watchdog_timeout_ns);
        if let Some(time) = words.extend {
            (heard.extended_asked_ns, heard.extended_ns) = (nanos(now), nanos(now + time));
        }
    }

    /// Believes that another process of the container is its main one. The number is one of the sender's namespace.
    fn take_main(&mut self, number: u32, sender: Option<Sender>, speakers: Speakers<'_>, now: Duration) {
        let Some(pid) = find(number, sender, speakers) else {
            return self.refuse(format!("MAINPID={number} is no process of this container"), now);
        };
        if pid == speakers.main {
            (self.heard.main_pid, self.heard.main_start_ticks, self.main) = (0, 0, None);
            return;
        }
        let Ok(held) = pidfd::open(pid) else { return };
        // Held, the number is still the one that was found only if it is still in the group.
        let inside = speakers.group.is_some_and(|group| group.processes().is_ok_and(|all| all.contains(&pid)));
        let ticks = proc::stat(Path::new(PROC), pid).map(|stat| stat.start_ticks);
        if let (true, Ok(ticks)) = (inside, ticks) {
            (self.heard.main_pid, self.heard.main_start_ticks, self.main) = (pid, ticks, Some(held));
        }
    }

    /// As a former shim knew it. One that has ended is none.
    fn find_main_again(&mut self) {
        let Heard { main_pid, main_start_ticks, .. } = self.heard;
        let held = (main_pid != 0).then(|| pidfd::open(main_pid).ok()).flatten();
        let same = proc::stat(Path::new(PROC), main_pid).is_ok_and(|stat| stat.start_ticks == main_start_ticks);
        self.main = held.filter(|_| same);
        if self.main.is_none() {
            (self.heard.main_pid, self.heard.main_start_ticks) = (0, 0);
        }
    }

    fn refuse(&mut self, why: String, now: Duration) {
        self.heard.serial = nanos(now).max(self.heard.serial + 1);
        self.heard.refused = self.heard.refused.saturating_add(1);
        self.heard.refusal = why;
    }

    fn write_down(&self) {
        if let Err(error) = record::write_heard(&self.directory, &self.heard) {
            eprintln!("barepod-shim: attempt {}: what it said was not recorded: {error}", self.heard.attempt);
        }
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        // it goes with the directory in any case
        let _ = fs::remove_file(self.directory.join(layout::NOTIFY).join(layout::NOTIFY_SOCKET));
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// The same words with nothing but its sign of life: that need not outlive the shim.
fn ping(words: &Words) -> Words {
    Words { watchdog: words.watchdog.filter(|&said| said == Watchdog::Alive), ..Words::default() }
}

/// By way of the open directory, since the path of a socket is at most 107 bytes long.
fn bind(directory: &Path) -> io::Result<Receiver> {
    let place = directory.join(layout::NOTIFY);
    match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(&place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match fs::remove_file(place.join(layout::NOTIFY_SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let open = path::refer(&place)?;
    let receiver = Receiver::bind(&Path::new(&descriptor::path_of(open.as_fd())).join(layout::NOTIFY_SOCKET))?;
    fs::set_permissions(place.join(layout::NOTIFY_SOCKET), Permissions::from_mode(SOCKET_MODE))?;
    Ok(receiver)
}

/// The process of the group that the sender, or else the main process, would call by this number.
fn find(number: u32, sender: Option<Sender>, speakers: Speakers<'_>) -> Option<u32> {
    let numbers = |pid| proc::namespace_pids(Path::new(PROC), pid).ok();
    let depth = sender.and_then(|sender| numbers(sender.pid)).or_else(|| numbers(speakers.main))?.len();
    let mut inside = speakers.group?.processes().ok()?.into_iter();
    inside.find(|&pid| numbers(pid).is_some_and(|all| all.get(depth - 1) == Some(&number)))
}

/// How much may still be read.
#[derive(Debug)]
struct Budget {
    left: u32,
    /// Boot time up to which it has been filled.
    since: Duration,
}

impl Budget {
    fn full(now: Duration) -> Self {
        Self { left: BURST, since: now }
    }

    fn at(&self, now: Duration) -> u32 {
        let gained = now.saturating_sub(self.since).as_nanos() / EVERY.as_nanos();
        u32::try_from(gained).unwrap_or(u32::MAX).saturating_add(self.left).min(BURST)
    }

    fn spend(&mut self, now: Duration) -> bool {
        let left = self.at(now);
        if left > self.left {
            *self = Self { left, since: now };
        }
        self.left = left.saturating_sub(1);
        left > 0
    }

    fn give_back(&mut self) {
        self.left += 1;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use barepod_sys::datagram::send;

    const NOW: Duration = Duration::from_secs(100);

    fn own() -> Speakers<'static> {
        Speakers { main: std::process::id(), group: None }
    }

    fn say(scratch: &Scratch, text: &str) {
        send(&scratch.path().join("notify/socket"), text.as_bytes(), &[]).unwrap();
    }

    #[test]
    fn what_is_said_is_kept_and_written_down_for_the_next_shim() {
        let scratch = Scratch::new();
        let mut notify = Notify::begin(scratch.path(), 3, Access::Main, NOW).unwrap();
        say(&scratch, "READY=1\nSTATUS=fine");

        assert!(notify.take(own(), NOW));
        let written = record::read_heard(scratch.path(), 3).unwrap().unwrap();

        assert_eq!(&written, notify.heard());
        assert!(written.ready.is_some() && written.status == "fine");
        assert_eq!(record::read_heard(scratch.path(), 4).unwrap(), None, "of another attempt nothing is known");
        drop(notify);
        let adopted = Notify::adopt(scratch.path(), 3, Access::Main, NOW * 2).unwrap();
        assert!(adopted.heard().ready.is_some() && adopted.heard().serial > written.serial);
        assert_eq!(adopted.heard().deaf_ns, nanos(NOW * 2), "what was said meanwhile was lost");
    }

    #[test]
    fn a_stranger_is_not_heard_and_that_is_told() {
        let scratch = Scratch::new();
        let mut notify = Notify::begin(scratch.path(), 0, Access::All, NOW).unwrap();
        say(&scratch, "READY=1");

        assert!(notify.take(Speakers { main: 1, group: None }, NOW));

        assert_eq!(notify.heard().ready, None);
        assert_eq!(notify.heard().refused, 1);
        assert!(notify.heard().refusal.contains("is not of this container"), "{}", notify.heard().refusal);
    }

    #[test]
    fn ready_ends_a_reload_and_counts_from_the_first_time() {
        let scratch = Scratch::new();
        let mut notify = Notify::begin(scratch.path(), 0, Access::Main, NOW).unwrap();
        say(&scratch, "READY=1");
        notify.take(own(), NOW);
        let first = notify.heard().ready;
        say(&scratch, "RELOADING=1\nSTATUS=");
        notify.take(own(), NOW);
        assert!(notify.heard().reloading.is_some() && notify.heard().ready == first);
        say(&scratch, "READY=1");
        notify.take(own(), NOW);

        assert_eq!((notify.heard().reloading, notify.heard().ready), (None, first));
    }

    #[test]
    fn open_files_are_refused_and_a_barrier_says_nothing_else() {
        let scratch = Scratch::new();
        let mut notify = Notify::begin(scratch.path(), 0, Access::Main, NOW).unwrap();
        let socket = scratch.path().join("notify/socket");
        let (_reader, writer) = io::pipe().unwrap();
        send(&socket, b"BARRIER=1", &[writer.as_fd()]).unwrap();
        assert!(!notify.take(own(), NOW), "there is nothing to tell");
        send(&socket, b"FDSTORE=1\nFDNAME=x", &[writer.as_fd()]).unwrap();
        assert!(notify.take(own(), NOW));

        assert!(notify.heard().refusal.contains("FDSTORE"));
    }

    #[test]
    fn who_says_too_much_is_read_more_slowly_and_nothing_is_lost() {
        let mut budget = Budget::full(NOW);
        assert_eq!((0..).take_while(|_| budget.spend(NOW)).count(), BURST as usize);
        assert!(!budget.spend(NOW + EVERY / 2));
        assert!(budget.spend(NOW + EVERY * 2) && budget.spend(NOW + EVERY * 2) && !budget.spend(NOW + EVERY * 2));
        assert_eq!(budget.at(NOW * 2), BURST);
    }

    #[test]
    fn a_wrong_main_pid_is_refused_and_the_words_beside_it_count() {
        let scratch = Scratch::new();
        let mut notify = Notify::begin(scratch.path(), 0, Access::Main, NOW).unwrap();
        say(&scratch, "MAINPID=1\nREADY=1");
        notify.take(own(), NOW);

        assert!(notify.heard().ready.is_some() && notify.heard().main_pid == 0);
        assert!(notify.heard().refusal.contains("MAINPID=1"));
    }
}
