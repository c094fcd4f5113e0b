//! The truth about processes: what runs, what ended, what is left, and why it may be stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barepod_core::{AttemptKey, Observation, PastEnd};
use barepod_model::{
    Amounts, Attempt, Container, ContainerKey, ContainerKind, ExitStatus, Pod, PodName, PodUid, Stamp,
};

use crate::clock::SimTime;
use crate::speech::Speech;
use crate::violation::{Invariant, Violation, violated};
use crate::workload::{lacks_volume, share_data};

/// How late a stop may be: the longest latencies of the host, with room to spare.
const SLACK: SimTime = SimTime::from_secs(3);

/// All containers of this boot that ever had a process.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) containers: BTreeMap<ContainerKey, Process>,
    /// How the attempts before the newest ended, which shims keep until the ledger has it.
    pub(crate) past: BTreeMap<ContainerKey, Vec<PastEnd>>,
    /// How each container's attempt before the newest ended.
    pub(crate) overtaken: BTreeMap<ContainerKey, (Attempt, ExitStatus)>,
    /// Pods of which something ran on this boot.
    pub(crate) began: BTreeSet<PodName>,
    /// Pods whose volumes have been made on this boot.
    pub(crate) mounted: BTreeSet<PodUid>,
    /// Pods that this daemon has removed from the host.
    pub(crate) removed: BTreeSet<PodUid>,
    /// Pods that a daemon removed from the host and died before the ledger had it: for its successor they have begun.
    pub(crate) lost: BTreeSet<PodUid>,
    next_pid: u32,
}

/// A container's newest attempt.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) attempt: Attempt,
    pub(crate) pid: u32,
    pub(crate) started: Stamp,
    pub(crate) spec: Arc<Pod>,
    pub(crate) end: Option<End>,
    /// Something lives in its cgroup.
    pub(crate) populated: bool,
    /// So many kills do not empty its cgroup.
    pub(crate) stubborn: u32,
    /// Leaves others behind when it ends.
    pub(crate) leaves_children: bool,
    /// How it takes a signal: ends after this time, or not at all.
    pub(crate) reacts: Option<SimTime>,
    pub(crate) healthy: bool,
    pub(crate) shim_lives: bool,
    /// The present daemon knows that it runs.
    pub(crate) known: bool,
    /// When the order to start it was given.
    pub(crate) ordered: SimTime,
    /// Its start was a restart after a crash.
    pub(crate) crash_restart: Option<SimTime>,
    pub(crate) stop: StopCause,
    /// What its pod had of the host when its limits were last set.
    pub(crate) requests: Amounts,
    /// What it had of that itself.
    pub(crate) own: Amounts,
    /// There is a reason to stop it that is its own: it is replaced, or a probe failed.
    pub(crate) own_cause: bool,
    /// Its preStop hook was asked for.
    pub(crate) hook_asked: bool,
    /// Its stop may be shorter than can be told here: no daemon lived during a part of it, or it began as an eviction.
    pub(crate) hurried: bool,
    /// What it says of itself, if it has a socket for it.
    pub(crate) speech: Option<Speech>,
    /// When it started.
    pub(crate) began: SimTime,
    /// When the last of what its shim has told so far is heard.
    pub(crate) told: SimTime,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) oom: bool,
    pub(crate) finished: Stamp,
    pub(crate) at: SimTime,
}

/// Whether there is a reason to stop a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopCause {
    None,
    /// It may be asked to end; killed from `earliest` on; it must have ended by `latest`, if that is known.
    May {
        earliest: SimTime,
        latest: Option<SimTime>,
        /// The host goes down, and there is no other reason.
        shutdown: bool,
    },
}

impl StopCause {
    /// One more reason.
    pub(crate) fn add(&mut self, earliest: SimTime, latest: Option<SimTime>) {
        *self = match *self {
            StopCause::None => StopCause::May { earliest, latest, shutdown: false },
            StopCause::May { earliest: e, latest: l, .. } => {
                let latest = match (l, latest) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                StopCause::May { earliest: e.min(earliest), latest, shutdown: false }
            }
        };
    }

    /// The host goes down. When the turn of each comes is known to nobody here.
    pub(crate) fn add_shutdown(&mut self, earliest: SimTime) {
        match self {
            StopCause::None => *self = StopCause::May { earliest, latest: None, shutdown: true },
            StopCause::May { earliest: before, .. } => *before = earliest.min(*before),
        }
    }

    /// Whether there is no other reason than that the host goes down.
    pub(crate) fn is_for_shutdown_only(&self) -> bool {
        matches!(self, StopCause::May { shutdown: true, .. })
    }

    /// The host stays up, and what was begun goes on.
    pub(crate) fn is_no_longer_for_shutdown_only(&mut self) {
        if let StopCause::May { shutdown, .. } = self {
            *shutdown = false;
        }
    }

    /// It may be stopped at any time from now on.
    pub(crate) fn any_time(now: SimTime) -> Self {
        StopCause::May { earliest: now, latest: None, shutdown: false }
    }
}

impl Process {
    pub(crate) fn lives(&self) -> bool {
        self.end.is_none()
    }

    /// Its silence may be a reason to stop it.
    fn consider_silence(&mut self, now: SimTime) {
        if self.lives() && self.speech.as_ref().is_some_and(|speech| speech.is_too_silent(self.began, now)) {
            self.stop.add(now, None);
            self.own_cause = true;
        }
    }
}

impl Host {
    /// The power goes.
    pub(crate) fn reboot(&mut self) {
        self.containers.clear();
        self.past.clear();
        self.overtaken.clear();
        self.began.clear();
        self.mounted.clear();
        self.removed.clear();
        self.lost.clear();
    }

    /// A new attempt takes the place of the one before.
    pub(crate) fn begin(&mut self, key: ContainerKey, process: Process) {
        self.overtaken.remove(&key);
        let Some(before) = self.containers.insert(key.clone(), process) else { return };
        let Some(end) = before.end else { return };
        self.overtaken.insert(key.clone(), (before.attempt, end.status));
        let started = Some(before.started);
        let End { status, oom, finished, .. } = end;
        let end = PastEnd { attempt: before.attempt, failure: None, status, oom, started, finished };
        self.past.entry(key).or_default().push(end);
    }

    /// The ledger has the ends up to this attempt.
    pub(crate) fn forget_ends(&mut self, key: &ContainerKey, known: Attempt) {
        self.past.entry(key.clone()).or_default().retain(|end| end.attempt > known);
    }

    /// What a daemon is told of earlier attempts.
    pub(crate) fn recall(&self, key: &ContainerKey) -> Vec<PastEnd> {
        self.past.get(key).cloned().unwrap_or_default()
    }

    /// What a record must say of the attempt before the newest.
    pub(crate) fn check_last(
        &self,
        key: &ContainerKey,
        attempt: Attempt,
        last: Option<ExitStatus>,
    ) -> Result<(), Violation> {
        match self.overtaken.get(key) {
            Some((before, status)) if before.next() == attempt && last != Some(*status) => Err(violated(
                Invariant::NoEndLost,
                format!("{key}#{before} ended with {status}, and {last:?} is shown"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Makes a pod's volumes. What does not exist cannot be made; what was made stays.
    pub(crate) fn mount(&mut self, pod: &Pod) -> bool {
        let there = self.can_mount(pod);
        if there {
            self.mounted.insert(pod.uid.clone());
        }
        there
    }

    pub(crate) fn can_mount(&self, pod: &Pod) -> bool {
        !lacks_volume(pod) || self.mounted.contains(&pod.uid)
    }

    pub(crate) fn of_pod<'a>(
        &'a mut self,
        pod: &'a PodUid,
    ) -> impl Iterator<Item = (&'a ContainerKey, &'a mut Process)> {
        self.containers.iter_mut().filter(move |(key, _)| key.pod == *pod)
    }

    /// The process of this attempt, if it is the newest.
    pub(crate) fn attempt(&mut self, key: &AttemptKey) -> Option<&mut Process> {
        self.containers.get_mut(&key.container_key()).filter(|process| process.attempt == key.attempt)
    }

    pub(crate) fn new_pid(&mut self) -> u32 {
        self.next_pid += 1;
        1000 + self.next_pid
    }

    /// What must hold when an attempt is about to be started.
    pub(crate) fn check_start(&self, key: &AttemptKey, pod: &Pod) -> Result<(), Violation> {
        if let Some(old) = self.containers.get(&key.container_key()).filter(|old| old.attempt != key.attempt) {
            if old.lives() {
                return Err(violated(Invariant::OneAttempt, format!("{key} starts while #{} lives", old.attempt)));
            }
            if old.populated {
                let detail = format!("{key} starts while the cgroup of #{} is populated", old.attempt);
                return Err(violated(Invariant::EmptyBeforeReplacement, detail));
            }
        }
        if let Some(same) = self.containers.get(&key.container_key()).filter(|same| same.lives() && same.known) {
            return Err(violated(Invariant::OneAttempt, format!("{key} is started though pid {} runs", same.pid)));
        }
        let others = self.containers.iter().filter(|(other, process)| other.pod != key.pod && process.populated);
        for (other, process) in others {
            if share_data(pod, &process.spec) {
                return Err(violated(Invariant::OnePodPerDataPath, format!("{key} starts on the data of {other}")));
            }
        }
        Ok(())
    }

    /// What must hold when something of a pod is started for the first time on this boot.
    pub(crate) fn check_order(&self, key: &AttemptKey, pod: &Pod) -> Result<(), Violation> {
        let incomplete = |spec: &Container| spec.name == key.container && spec.missing.is_some();
        if pod.containers.iter().any(incomplete) || !self.mounted.contains(&pod.uid) {
            return Err(violated(Invariant::Order, format!("{key} starts before all that it needs is there")));
        }
        let began = |name| self.containers.keys().any(|other| other.pod == key.pod && other.container == name);
        if began(key.container.clone()) || self.lost.contains(&key.pod) {
            return Ok(());
        }
        let looks = |spec: &Container| spec.name == key.container && spec.kind == ContainerKind::Ephemeral;
        let waits = !pod.containers.iter().any(looks);
        let before = pod.containers.iter().take_while(|other| waits && other.name != key.container);
        if let Some(skipped) = before.filter(|other| is_sidecar(other)).find(|other| !began(other.name.clone())) {
            let detail = format!("{key} starts before the sidecar {}", skipped.name);
            return Err(violated(Invariant::Order, detail));
        }
        let first = !self.containers.keys().any(|other| other.pod == key.pod);
        match pod.depends_on.iter().find(|other| first && !self.began.contains(&other.name)) {
            Some(other) => Err(violated(Invariant::Order, format!("{key} starts before pod {}", other.name))),
            None => Ok(()),
        }
    }

    /// What must hold when an attempt gets a signal, after what must hold for any stop.
    pub(crate) fn check_polite(&self, key: &AttemptKey, wishes: &[Pod], now: SimTime) -> Result<(), Violation> {
        let Some(process) = self.containers.get(&key.container_key()).filter(|process| process.attempt == key.attempt)
        else {
            return Ok(());
        };
        let Some(spec) = process.spec.containers.iter().find(|spec| spec.name == key.container) else { return Ok(()) };
        if !process.lives() {
            return Ok(());
        }
        let lives = |other: &&Container| {
            let key = ContainerKey { pod: key.pod.clone(), container: other.name.clone() };
            self.containers.get(&key).is_some_and(|process| process.lives() && process.known)
        };
        let goes_first = |other: &&Container| matches!(other.kind, ContainerKind::Init | ContainerKind::Regular);
        let mut others = process.spec.containers.iter().filter(goes_first);
        if is_sidecar(spec) && !process.own_cause && others.any(|other| lives(&other)) {
            return Err(violated(Invariant::Order, format!("sidecar {key} is stopped before the others")));
        }
        let has_hook = |pod: &Pod| {
            let spec = pod.containers.iter().find(|spec| spec.name == key.container);
            spec.is_some_and(|spec| spec.lifecycle.pre_stop.is_some())
        };
        let hooked = spec.lifecycle.pre_stop.is_some() && wishes.iter().all(has_hook);
        let longest = spec.stop.stages.iter().filter_map(|stage| stage.before_end).max().unwrap_or_default();
        let reserve = (longest * 2).max(SimTime::from_secs(2)) + SLACK;
        let early = |latest: SimTime| latest > now + reserve && latest.saturating_sub(now) > reserve;
        match process.stop {
            StopCause::May { latest: Some(latest), .. }
                if early(latest) && hooked && !process.hook_asked && !process.hurried =>
            {
                Err(violated(Invariant::Order, format!("{key} gets a signal before its preStop hook")))
            }
            StopCause::May { .. } | StopCause::None => Ok(()),
        }
    }

    /// An attempt is about to be asked to end, or killed.
    pub(crate) fn consider_silence(&mut self, key: &AttemptKey, now: SimTime) {
        self.attempt(key).into_iter().for_each(|process| process.consider_silence(now));
    }

    /// What must hold when an attempt is asked to end.
    pub(crate) fn check_signal(&self, key: &AttemptKey) -> Result<(), Violation> {
        let process = self.containers.get(&key.container_key()).filter(|process| process.attempt == key.attempt);
        match process {
            Some(process) if process.lives() && matches!(process.stop, StopCause::None) => {
                Err(violated(Invariant::NothingStoppedWithoutCause, format!("{key} is stopped without a cause")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What must hold when an attempt is killed.
    pub(crate) fn check_kill(&self, key: &AttemptKey, now: SimTime) -> Result<(), Violation> {
        self.check_signal(key)?;
        let process = self.containers.get(&key.container_key()).filter(|process| process.attempt == key.attempt);
        match process.map(|process| (process.lives(), process.stop)) {
            Some((true, StopCause::May { earliest, .. })) if now < earliest => {
                let detail = format!("{key} is killed {:?} before its grace ends", earliest - now);
                Err(violated(Invariant::StopWithinGrace, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&self, now: SimTime) -> Result<(), Violation> {
        for (key, process) in self.containers.iter().filter(|(_, process)| process.lives()) {
            let patience = process.speech.as_ref().map(|speech| speech.patience).unwrap_or_default();
            if let StopCause::May { latest: Some(latest), .. } = process.stop
                && now > latest.max(patience) + SLACK
            {
                let detail = format!("{key}#{} lives {:?} after its grace", process.attempt, now - latest);
                return Err(violated(Invariant::StopWithinGrace, detail));
            }
        }
        Ok(())
    }

    /// Nobody could stop anything for so long.
    pub(crate) fn postpone_stops(&mut self, by: SimTime, now: SimTime) {
        for process in self.containers.values_mut() {
            process.hurried |= matches!(process.stop, StopCause::May { .. });
            let patience = process.speech.as_ref().map(|speech| speech.patience).unwrap_or_default();
            if let StopCause::May { latest: Some(latest), .. } = &mut process.stop {
                let until = (*latest).max(patience);
                *latest = (until + by).min(until.max(now));
            }
        }
    }

    /// What a daemon would find of a container. Says nothing that is not so, but may not know how a process ended.
    pub(crate) fn observe(&self, key: &ContainerKey) -> Observation {
        let Some(process) = self.containers.get(key) else { return Observation::Absent };
        match &process.end {
            None => {
                let heard = process.speech.as_ref().map(|speech| Box::new(speech.heard.clone()));
                let (attempt, pid, started) = (process.attempt, process.pid, process.started.clone());
                Observation::Running { attempt, pid, started, heard }
            }
            Some(end) => Observation::Exited {
                attempt: process.attempt,
                status: end.status,
                oom: end.oom,
                started: Some(process.started.clone()),
                finished: end.finished.clone(),
                empty: !process.populated,
                message: String::new(),
            },
        }
    }
}

fn is_sidecar(spec: &Container) -> bool {
    spec.kind == ContainerKind::Sidecar
}
