//! What a running attempt's service has said of itself (sd_notify(3)), and what follows from it.
//!
//! ```text
//!   starting ──READY=1──▶ ready ──RELOADING=1──▶ reloading (ready all the same) ──READY=1──▶ ready
//!      │                    │ ╲──STOPPING=1──▶ stopping: not ready, and its watchdog is not watched
//!      │ no READY=1         │ no WATCHDOG=1
//!      ▼ in time            ▼ in time
//!   restart              restart
//! ```
//!
//! Silence is evidence only while somebody listened. While a shim is dead nothing is judged; if one died before `READY=1`
//! was heard, it may have been said to nobody: at the end of its time the service then counts as started, for it will not
//! say it again.

use std::time::Duration;

use barepod_model::{BootTime, Notify};
use serde::{Deserialize, Serialize};

use crate::planted::{self, Fault};

/// All that has been said since the attempt began; each takes the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Heard {
    /// Rises with each word that counts; an older one is old news.
    pub serial: u64,
    /// `READY=1` was said.
    pub ready: Option<BootTime>,
    /// `RELOADING=1` was said, and not `READY=1` since.
    pub reloading: Option<BootTime>,
    /// `STOPPING=1` was said.
    pub stopping: Option<BootTime>,
    /// `STATUS=`, may be empty.
    pub status: String,
    /// `ERRNO=`, `BUSERROR=` and `VARLINKERROR=`, in words; empty if there were none.
    pub error: String,
    /// The last `WATCHDOG=1`.
    pub watchdog: Option<BootTime>,
    /// `WATCHDOG=trigger` was said.
    pub triggered: bool,
    /// `WATCHDOG_USEC=`, in place of the manifest's; zero switches it off.
    pub watchdog_timeout: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`.
    pub patience: Option<Patience>,
    /// Host pid of the process that it has named as its main one, if it is not the one that was started.
    pub main_pid: Option<u32>,
    /// Before this moment a shim died, and something may have been said to nobody.
    pub deaf: Option<BootTime>,
    /// How many datagrams were not taken, or not wholly.
    pub refused: u32,
    /// Why the last of them was not.
    pub refusal: String,
}

/// What a service asked for with `EXTEND_TIMEOUT_USEC=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// When it asked. It moves the end of what was under way then.
    pub asked: BootTime,
    /// How long it asks for.
    pub until: BootTime,
}

/// What of it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Said {
    /// It is ready.
    pub ready: bool,
    /// It takes another configuration over.
    pub reloading: bool,
    /// It is on its way out.
    pub stopping: bool,
    /// In its own words, may be empty.
    pub status: String,
    /// Its error, may be empty.
    pub error: String,
    /// Another main process than the one that was started.
    pub main_pid: Option<u32>,
}

impl From<&Heard> for Said {
    fn from(heard: &Heard) -> Self {
        Self {
            ready: heard.ready.is_some(),
            reloading: heard.reloading.is_some(),
            stopping: heard.stopping.is_some(),
            status: heard.status.clone(),
            error: heard.error.clone(),
            main_pid: heard.main_pid,
        }
    }
}

/// How long a service that may have been overheard has at most to say `READY=1` again, where nothing else says it:
/// systemd's `DefaultTimeoutStartSec`.
const PATIENCE: Duration = Duration::from_secs(90);

/// How far a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not said `READY=1`.
    Starting,
    /// It has, and something else is waited for.
    SaidReady,
    /// It counts as started, since then.
    Started(Option<BootTime>),
}

/// What a deadline of a listener means when it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// `READY=1` was not said in time.
    NotReady,
    /// It may have been said to nobody.
    PerhapsReady,
    /// `WATCHDOG=1` was not said in time.
    NotAlive,
}

/// The listener of one attempt that has a socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) heard: Heard,
    /// How the attempt was started.
    notify: Notify,
    since: BootTime,
    /// Its shim is dead.
    pub(crate) deaf: bool,
}

impl Listener {
    /// For an attempt that runs since then.
    pub(crate) fn new(notify: Notify, heard: Heard, since: BootTime) -> Self {
        Self { heard, notify, since, deaf: false }
    }

    /// Whether this is news.
    pub(crate) fn is_news(&self, heard: &Heard) -> bool {
        heard.serial > self.heard.serial
    }

    /// What silence will mean, and when.
    pub(crate) fn silence(&self, stage: Stage) -> Option<(BootTime, Silence)> {
        if self.deaf && !planted::on(Fault::SilenceOfTheDeaf) {
            return None;
        }
        if self.heard.triggered && self.heard.stopping.is_none() {
            return Some((self.since, Silence::NotAlive));
        }
        match stage {
            Stage::Starting => self.start(),
            Stage::SaidReady => None,
            Stage::Started(at) => self.watchdog(at),
        }
    }

    fn start(&self) -> Option<(BootTime, Silence)> {
        let own = self.notify.start_timeout.map(|time| self.since + time);
        if self.heard.ready.is_some() {
            return None;
        }
        match self.heard.deaf.filter(|_| !planted::on(Fault::SilenceOfTheDeaf)) {
            Some(deaf) => {
                let again = deaf + self.notify.start_timeout.unwrap_or(PATIENCE);
                Some((self.patient(again), Silence::PerhapsReady))
            }
            None => own.map(|at| (self.patient(at), Silence::NotReady)),
        }
    }

    fn watchdog(&self, started: Option<BootTime>) -> Option<(BootTime, Silence)> {
        let Heard { ready, stopping, watchdog, watchdog_timeout, deaf, .. } = &self.heard;
        let timeout = watchdog_timeout.or(self.notify.watchdog).filter(|time| !time.is_zero());
        if stopping.is_some() {
            return None;
        }
        let last = [*ready, *watchdog, *deaf, started].into_iter().flatten().max().unwrap_or(self.since);
        Some((self.patient(last + timeout?), Silence::NotAlive))
    }

    fn patient(&self, at: BootTime) -> BootTime {
        self.heard.patience.map_or(at, |patience| patience.until.max(at))
    }

    /// Whether it has asked for patience beyond now.
    pub(crate) fn asks_for_patience(&self, now: BootTime) -> bool {
        self.heard.patience.is_some_and(|patience| patience.until > now)
    }

    /// Until when it asks for patience with a stop that began then.
    pub(crate) fn patience_since(&self, began: BootTime) -> Option<BootTime> {
        let patience = self.heard.patience.filter(|patience| patience.asked >= began)?;
        Some(patience.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(secs: u64) -> BootTime {
        BootTime(Duration::from_secs(secs))
    }

    fn listener(start: Option<u64>, watchdog: Option<u64>, heard: Heard) -> Listener {
        let seconds = |secs: Option<u64>| secs.map(Duration::from_secs);
        let notify = Notify { start_timeout: seconds(start), watchdog: seconds(watchdog), ..Notify::default() };
        Listener::new(notify, heard, t(100))
    }

    #[test]
    fn patience_moves_a_deadline_only_back() {
        let at = |extended| {
            let patience = Some(Patience { asked: t(100), until: t(extended) });
            listener(Some(10), None, Heard { patience, ..Heard::default() }).silence(Stage::Starting)
        };
        assert_eq!(at(50), Some((t(110), Silence::NotReady)));
        assert_eq!(at(130), Some((t(130), Silence::NotReady)));
    }

    #[test]
    fn after_a_gap_silence_says_nothing() {
        let heard = Heard { deaf: Some(t(105)), ..Heard::default() };
        assert_eq!(
            listener(Some(10), None, heard.clone()).silence(Stage::Starting),
            Some((t(115), Silence::PerhapsReady))
        );
        assert_eq!(listener(None, None, heard).silence(Stage::Starting), Some((t(195), Silence::PerhapsReady)));
        assert_eq!(listener(None, None, Heard::default()).silence(Stage::Starting), None);
    }

    #[test]
    fn the_watchdog_counts_from_the_last_sign_of_life_that_could_be_heard() {
        let at = |heard| listener(None, Some(10), heard).silence(Stage::Started(None)).map(|(at, _)| at);
        let ready = Heard { ready: Some(t(200)), ..Heard::default() };
        assert_eq!(at(ready.clone()), Some(t(210)));
        assert_eq!(at(Heard { watchdog: Some(t(204)), ..ready.clone() }), Some(t(214)));
        assert_eq!(at(Heard { watchdog: Some(t(204)), deaf: Some(t(207)), ..ready.clone() }), Some(t(217)));
        assert_eq!(at(Heard { watchdog_timeout: Some(Duration::ZERO), ..ready.clone() }), None);
        assert_eq!(at(Heard { stopping: Some(t(205)), ..ready.clone() }), None);
        assert_eq!(at(Heard { triggered: true, ..ready }), Some(t(100)));
    }
}
