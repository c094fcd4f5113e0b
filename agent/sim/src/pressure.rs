//! A host that is short of something now and then, and what the core may do about it: worked out here once more, on purpose
//! not by the core.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_core::{
    ContainerState, Disruption, Input, Least, Level, PodRecord, PodUse, PodView, PressureRules, Signal, Survey,
    Threshold,
};
use barepod_model::{ContainerKind, Pod, PodUid, Reason};

use crate::clock::SimTime;
use crate::faults::Mood;
use crate::violation::{Invariant, Violation, violated};
use crate::world::{Happening, World};

/// Of a hundred units that there are of everything.
const ALL: u64 = 100;
/// How long it may be short of process ids.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pods of this priority stay.
const EXEMPT_FROM: i32 = 5;
const GRACE: Duration = Duration::from_secs(20);
/// How long after its grace an evicted pod is waited for.
const CLEARED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) const PRIORITIES: &[i32] = &[-10, -10, 0, 0, EXEMPT_FROM, 2_000_000_000];

/// What the simulated host is watched for.
pub(crate) fn rules() -> PressureRules {
    let of = |signal, least, patience, reclaim| Threshold {
        signal,
        least: Least::Percent(least),
        patience,
        reclaim: Least::Amount(reclaim),
    };
    PressureRules {
        thresholds: vec![
            of(Signal::Memory, 20, None, 0),
            of(Signal::Disk, 20, None, 20),
            of(Signal::Pids, 50, Some(PATIENCE), 0),
        ],
        max_grace: GRACE,
        transition: Duration::from_secs(60),
        exempt_from: EXEMPT_FROM,
    }
}

/// What the simulation knows of evictions.
#[derive(Debug, Default)]
pub(crate) struct Siege {
    /// The survey that is being heard.
    heard: Option<Survey>,
    /// Since when every survey that a living daemon heard found too few process ids.
    few_pids: Option<SimTime>,
    /// There was too little disk space, and not yet so much more that it is over.
    disk_was_short: bool,
    /// Evictions that are being written.
    asked: BTreeMap<PodUid, (SimTime, Duration)>,
    /// Those that are written: when they were decided, and the grace.
    written: BTreeMap<PodUid, (SimTime, Duration)>,
    /// When the last one was cleared away.
    cleared: Option<SimTime>,
    daemon_since: SimTime,
}

impl Siege {
    /// A new daemon knows what is written, and no more.
    pub(crate) fn daemon_starts(&mut self, now: SimTime) {
        let written = std::mem::take(&mut self.written);
        *self = Self { written, daemon_since: now, ..Self::default() };
    }

    /// What is shown as disrupted no more lives for itself again, or is gone.
    pub(crate) fn keep(&mut self, is_disrupted: impl Fn(&PodUid) -> bool) {
        self.written.retain(|pod, _| is_disrupted(pod));
    }
}

impl World<'_> {
    /// The host is measured so many times in a row.
    pub(crate) fn take_survey(&mut self, more: u64) -> Result<(), Violation> {
        if self.faults.mood == Mood::Calm {
            return Ok(());
        }
        if more > 0 {
            let pause = self.rng.millis(200..9_000);
            self.later(pause, Happening::Survey(more - 1));
        }
        let age = self.rng.millis(0..4_000);
        let begun = self.clock.now.saturating_sub(age).max(self.siege.daemon_since);
        let mut levels = BTreeMap::new();
        for signal in [Signal::Memory, Signal::Disk, Signal::Pids] {
            let most = if self.rng.chance(700) { 40 } else { ALL };
            levels.insert(signal, Level { available: self.rng.below(0..most), all: ALL });
        }
        let known: Vec<_> = self.intents.pods.keys().cloned().collect();
        let mut pods = BTreeMap::new();
        for pod in known {
            if self.rng.chance(800) {
                let mut some = || self.rng.below(0..10) << 30;
                let used = PodUse { memory: some(), disk: some(), inodes: some(), processes: some() };
                pods.insert(pod, used);
            }
        }
        let survey = Survey { begun: self.clock.to_boot(begun), levels, pods };
        self.hear(Input::Surveyed { survey: Box::new(survey) })
    }

    /// The core is about to hear this.
    pub(crate) fn hearing_of_pressure(&mut self, input: &Input) {
        let now = self.clock.now;
        self.siege.heard = None;
        match input {
            Input::Surveyed { survey } => {
                let few = survey.levels.get(&Signal::Pids).is_some_and(|level| level.available < 50);
                self.siege.few_pids = few.then(|| self.siege.few_pids.unwrap_or(now));
                let disk = survey.levels.get(&Signal::Disk).map_or(ALL, |level| level.available);
                self.siege.disk_was_short = disk < 20 || (self.siege.disk_was_short && disk < 40);
                self.siege.heard = Some((**survey).clone());
            }
            Input::TornDown { pod } if self.siege.written.contains_key(pod) => self.siege.cleared = Some(now),
            _other => {}
        }
    }

    /// A record is about to be written. If it ends a pod for others, that must be right.
    pub(crate) fn check_eviction(&mut self, record: &PodRecord) -> Result<(), Violation> {
        let Some(failure) = record.failure.as_ref().filter(|f| f.disruption == Some(Disruption::Pressure)) else {
            return Ok(());
        };
        let pod = &record.pod.uid;
        if self.siege.written.contains_key(pod) || self.siege.asked.contains_key(pod) {
            return Ok(());
        }
        let broken = |what: String| Err(violated(Invariant::EvictedInOrder, format!("pod {pod}: {what}")));
        let Some(survey) = &self.siege.heard else { return broken("evicted without a look at the host".to_owned()) };
        if failure.reason != Reason::Evicted || record.pod.priority >= EXEMPT_FROM {
            return broken(format!("evicted with priority {}", record.pod.priority));
        }
        let Some(signal) = self.due(survey) else { return broken(format!("evicted without need: {survey:?}")) };
        if self.siege.cleared.is_some_and(|cleared| survey.begun <= self.clock.to_boot(cleared)) {
            return broken("evicted for what another one held that is gone".to_owned());
        }
        if let Some(other) = self.on_its_way_out(pod) {
            return broken(format!("evicted while {other} is on its way out"));
        }
        let mine = key(signal, &record.pod, survey);
        // What a pod has is not what it asks for, while that waits for room: what is shown says nothing of its place then.
        let views = || self.core.iter().flat_map(barepod_core::Core::view);
        let has_what_it_asks = |view: &PodView| view.pending_resize.is_none();
        if views().any(|view| view.uid == *pod && !has_what_it_asks(view)) {
            self.siege.asked.insert(pod.clone(), (self.clock.now, failure.grace.unwrap_or_default()));
            return Ok(());
        }
        let others = views().filter(|view| view.uid != *pod && may_go(view) && has_what_it_asks(view));
        let first = others.into_iter().find_map(|view| {
            let other = view.pod.as_deref().filter(|other| other.priority < EXEMPT_FROM)?;
            (key(signal, other, survey) < mine).then(|| other.uid.clone())
        });
        if let Some(first) = first {
            return broken(format!("evicted for {signal:?} before {first}"));
        }
        self.siege.asked.insert(pod.clone(), (self.clock.now, failure.grace.unwrap_or_default()));
        Ok(())
    }

    /// The write was done, or not.
    pub(crate) fn eviction_written(&mut self, pod: &PodUid, done: bool) {
        let Some((since, grace)) = self.siege.asked.remove(pod).filter(|_| done) else { return };
        self.siege.written.insert(pod.clone(), (since, grace));
        self.gluttons.insert(pod.clone());
        for (_, process) in self.host.of_pod(pod) {
            process.stop.add(since + grace, None);
            process.hurried = true;
        }
    }

    /// The most urgent thing of which there is too little.
    fn due(&self, survey: &Survey) -> Option<Signal> {
        let below = |signal, least| survey.levels.get(&signal).is_some_and(|level: &Level| level.available < least);
        let patient = self.siege.few_pids.is_some_and(|since| self.clock.now.saturating_sub(since) >= PATIENCE);
        let enough_disk = if self.siege.disk_was_short { 40 } else { 20 };
        if below(Signal::Memory, 20) {
            Some(Signal::Memory)
        } else if below(Signal::Disk, enough_disk) {
            Some(Signal::Disk)
        } else {
            (below(Signal::Pids, 50) && patient).then_some(Signal::Pids)
        }
    }

    /// Another one that was evicted and still holds what it had.
    fn on_its_way_out(&self, pod: &PodUid) -> Option<PodUid> {
        let now = self.clock.now;
        let recent = self
            .siege
            .written
            .iter()
            .chain(&self.siege.asked)
            .filter(|(other, (since, grace))| *other != pod && now <= *since + *grace + CLEARED_WITHIN);
        let lives = |other: &PodUid| {
            let mut processes = self.host.containers.iter().filter(|(key, _)| key.pod == *other);
            processes.any(|(_, process)| process.populated)
        };
        recent.map(|(other, _)| other).find(|other| lives(other)).cloned()
    }
}

/// A pod that runs, and that nothing ends: one that may have to go.
fn may_go(view: &PodView) -> bool {
    let specs = view.pod.iter().flat_map(|pod| &pod.containers);
    let regular = |view: &&barepod_core::ContainerView| {
        let spec = specs.clone().find(|spec| spec.name == view.name);
        spec.is_some_and(|spec| spec.kind == ContainerKind::Regular)
    };
    let runs =
        |view: &barepod_core::ContainerView| matches!(view.state, ContainerState::Running { stopping: false, .. });
    let unknown = |view: &barepod_core::ContainerView| {
        matches!(view.state, ContainerState::Waiting { reason: Reason::Recovering, .. })
    };
    let ends = matches!(view.reason, Some(Reason::Evicted | Reason::DeadlineExceeded | Reason::Terminated));
    view.deletion.is_none()
        && !ends
        && !view.containers.iter().any(unknown)
        && view.containers.iter().filter(regular).any(runs)
}

/// The less, the sooner it goes.
fn key(signal: Signal, pod: &Pod, survey: &Survey) -> (bool, i32, i128) {
    let used = survey.pods.get(&pod.uid).copied().unwrap_or_default();
    let asked = pod.requests();
    let beyond = match signal {
        Signal::Memory => i128::from(used.memory) - i128::from(asked.memory.0),
        Signal::Disk => i128::from(used.disk) - i128::from(asked.storage.0),
        Signal::Inodes => i128::from(used.inodes),
        Signal::Pids => i128::from(used.processes),
    };
    let keeps = signal == Signal::Pids || beyond <= 0;
    (keeps, pod.priority, -beyond)
}
