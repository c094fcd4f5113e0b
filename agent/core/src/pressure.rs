//! Whether the host is short of something, since when, and who goes for it.
//!
//! ```text
//!   Survey ──▶ thresholds met ──▶ conditions of the node (each held for a while after it was last seen)
//!                    │
//!                    └──for as long as each lets it──▶ due ──▶ the first pod of the ranking is evicted
//!                                                              │ written, stopped, cleared
//!                                                              ▼
//!                                                        the next survey decides anew
//! ```
//!
//! One pod at a time: as long as one that was evicted, or has failed, is not cleared away, no other is, and a survey that was
//! begun before an evicted one was says nothing of what that gave back. What is in the ledger tells which one that is, so that
//! a daemon that starts in the midst of it evicts no second one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_model::{BootTime, Pod, PodUid, QosClass, Reason, Source};
use serde::{Deserialize, Serialize};

use crate::admission::Blocker;
use crate::context::Ctx;
use crate::core::{Core, ctx};
use crate::journal::Pending;
use crate::planted::{self, Fault};
use crate::pod::{PodMachine, Stage};
use crate::proposal::Proposal;
use crate::rank::{self, PodUse};
use crate::{Disruption, Least, Level, Moment, PodFailure, Pressure, Signal, Threshold, capacity};

/// Priorities from here on are of pods that the system stands on (`SystemCriticalPriority` in `pkg/apis/scheduling`).
pub const CRITICAL: i32 = 2_000_000_000;
/// What a pod has to end that goes at once: kubelet's `immediateEvictionGracePeriodSeconds`.
const IMMEDIATE: Duration = Duration::from_secs(1);
/// How long after its grace an evicted pod is waited for: kubelet's `podCleanupTimeout`.
const CLEARED_WITHIN: Duration = Duration::from_secs(30);

/// When pods are evicted because their host is short of something, and which never are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PressureRules {
    /// From when on it is short.
    pub thresholds: Vec<Threshold>,
    /// `evictionMaxPodGracePeriod`: the most that a pod has to end for which there is time.
    pub max_grace: Duration,
    /// `evictionPressureTransitionPeriod`: how long a condition holds after it was last seen.
    pub transition: Duration,
    /// Pods of this priority or a higher one are never evicted for others.
    pub exempt_from: i32,
}

impl Default for PressureRules {
    /// kubelet's hard thresholds (`DefaultEvictionHard` in `pkg/kubelet/apis/config/v1beta1/defaults_linux.go`), and one for
    /// process ids, for which kubelet has none: where so few of a hundred are left, nothing new starts for long. Only a pod
    /// that says that it is worth less than others, by a negative priority, is evicted for them.
    fn default() -> Self {
        let hard = |signal, least| Threshold { signal, least, patience: None, reclaim: Least::Amount(0) };
        Self {
            thresholds: vec![
                hard(Signal::Memory, Least::Amount(100 << 20)),
                hard(Signal::Disk, Least::Percent(10)),
                hard(Signal::Inodes, Least::Percent(5)),
                hard(Signal::Pids, Least::Percent(5)),
            ],
            max_grace: Duration::ZERO,
            transition: Duration::from_secs(300),
            exempt_from: 0,
        }
    }
}

impl PressureRules {
    /// Whether this pod stays, whatever the host is short of.
    #[must_use]
    pub fn exempts(&self, pod: &Pod) -> bool {
        pod.priority >= self.exempt_from.min(CRITICAL) && !planted::on(Fault::ExemptEvicted)
    }

    /// What the host is short of, or just was: for these it matters who uses how much.
    #[must_use]
    pub fn scarce(&self, levels: &BTreeMap<Signal, Level>) -> BTreeSet<Signal> {
        let met = |threshold: &&Threshold| levels.get(&threshold.signal).is_some_and(|l| threshold.is_met(*l, true));
        self.thresholds.iter().filter(met).map(|threshold| threshold.signal).collect()
    }
}

/// What was measured of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// When it was begun.
    pub begun: BootTime,
    /// How much there is of each thing; what could not be measured is left out, and counts as enough.
    pub levels: BTreeMap<Signal, Level>,
    /// What pods use; of those that are left out nothing is known.
    pub pods: BTreeMap<PodUid, PodUse>,
}

/// What is remembered from survey to survey.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    rules: PressureRules,
    /// By threshold: since when it is met.
    since: BTreeMap<usize, BootTime>,
    /// Thresholds for which somebody was, or could have been, evicted, and which are not resolved yet.
    unresolved: BTreeSet<usize>,
    /// By condition: when it was last seen, and what was said of it.
    seen: BTreeMap<Pressure, (BootTime, String)>,
    /// Conditions that hold.
    holds: BTreeMap<Pressure, String>,
    /// A survey that was begun before this says nothing of what was given back since.
    cleared: Option<BootTime>,
}

impl Watch {
    pub(crate) fn new(rules: PressureRules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Which conditions hold, each with a sentence for people.
    pub(crate) fn conditions(&self) -> &BTreeMap<Pressure, String> {
        &self.holds
    }

    /// A pod that was evicted is cleared away.
    pub(crate) fn cleared(&mut self, now: BootTime) {
        self.cleared = Some(now);
    }

    /// Other rules hold from now on. Thresholds are known by their place among them: how long one was met is found out anew.
    /// What was said of the host holds until its time is over.
    pub(crate) fn follow(&mut self, rules: PressureRules) {
        if self.rules != rules {
            self.rules = rules;
            self.since.clear();
            self.unresolved.clear();
        }
    }

    fn is_outdated(&self, survey: &Survey) -> bool {
        self.cleared.is_some_and(|cleared| survey.begun <= cleared) && !planted::on(Fault::StaleSurveyEvicts)
    }

    /// Takes in how much there is; the threshold for which somebody must go, the most urgent first.
    fn take(&mut self, levels: &BTreeMap<Signal, Level>, now: BootTime) -> Option<(Threshold, Level)> {
        let met: BTreeMap<usize, Level> = (0..self.rules.thresholds.len())
            .filter_map(|at| {
                let (threshold, reclaiming) = (&self.rules.thresholds[at], self.unresolved.contains(&at));
                levels.get(&threshold.signal).filter(|level| threshold.is_met(**level, reclaiming)).map(|l| (at, *l))
            })
            .collect();
        self.since.retain(|at, _| met.contains_key(at));
        for at in met.keys() {
            self.since.entry(*at).or_insert(now);
            let threshold = &self.rules.thresholds[*at];
            self.seen.insert(threshold.signal.pressure(), (now, words(threshold)));
        }
        let transition = self.rules.transition;
        self.seen.retain(|_, (at, _)| *at == now || now.since(*at) < transition);
        self.holds = self.seen.iter().map(|(pressure, (_, words))| (*pressure, words.clone())).collect();
        let is_due = |at: &usize| {
            let patience = self.rules.thresholds[*at].patience.unwrap_or_default();
            self.since.get(at).is_some_and(|since| now.since(*since) >= patience)
        };
        self.unresolved = met.keys().copied().filter(is_due).collect();
        let due = self.unresolved.iter().map(|at| (self.rules.thresholds[*at], met[at]));
        // Of one signal the hard one counts.
        due.min_by_key(|(threshold, _)| (threshold.signal, threshold.patience.is_some()))
    }

    /// Why a pod that a cluster has sent is not taken in (`Admit` in `pkg/kubelet/eviction/eviction_manager.go`): somebody
    /// can send it elsewhere. What this host runs on its own account is taken, as kubelet takes its static pods.
    pub(crate) fn refuses(&self, pod: &Pod) -> Option<Blocker> {
        let holds: Vec<_> = self.holds.keys().copied().collect();
        let only_memory = holds == [Pressure::Memory];
        let bears = only_memory && (pod.qos() != QosClass::BestEffort || pod.bears_memory_pressure);
        if holds.is_empty() || pod.source != Source::Kubernetes || pod.priority >= CRITICAL || bears {
            return None;
        }
        let names: Vec<_> = holds.iter().map(ToString::to_string).collect();
        let message = format!("the node is short of something and takes no such pod at present: {}", names.join(", "));
        Some(Blocker { reason: Reason::Evicted, message })
    }
}

/// The same while it holds: a node that tells another figure every ten seconds is a burden to its cluster.
fn words(threshold: &Threshold) -> String {
    format!("less than {} of {} is left", least(threshold), threshold.signal.noun())
}

fn least(threshold: &Threshold) -> String {
    match (threshold.signal, threshold.least) {
        (_, part @ Least::Percent(_)) | (Signal::Memory | Signal::Disk, part) => part.to_string(),
        (Signal::Inodes | Signal::Pids, Least::Amount(number)) => number.to_string(),
    }
}

impl Core {
    /// On a host that is watched by these rules; without, none is ever evicted for another.
    #[must_use]
    pub fn with_pressure(self, rules: PressureRules) -> Self {
        Self { watch: Some(Watch::new(rules)), ..self }
    }

    /// What the host is short of, each with a sentence for people.
    #[must_use]
    pub fn pressure(&self) -> BTreeMap<Pressure, String> {
        self.watch.as_ref().map(|watch| watch.conditions().clone()).unwrap_or_default()
    }

    /// The host was measured: at most one pod goes.
    pub(crate) fn surveyed(&mut self, survey: &Survey, now: Moment) {
        let Some(watch) = &mut self.watch else { return };
        let outdated = watch.is_outdated(survey);
        let Some((threshold, level)) = watch.take(&survey.levels, now.boot) else { return };
        if outdated || self.goes_down || self.is_evicting(now) {
            return;
        }
        let Some(uid) = self.first_to_go(threshold.signal, survey) else { return };
        let mut ctx = ctx!(self, now);
        let Some(pod) = self.pods.get_mut(&uid) else { return };
        // Whatever is being written of it may change what it is worth; the next survey asks again.
        if !pod.journal.is_quiet() {
            return;
        }
        let failure = PodFailure {
            message: message(&threshold, level, &pod.wanted, survey.pods.get(&uid).copied().unwrap_or_default()),
            grace: Some(self.watch.as_ref().map_or(IMMEDIATE, |watch| watch.grace(&threshold, &pod.wanted))),
            disruption: Some(Disruption::Pressure),
            ..PodFailure::now(Reason::Evicted, ctx.stamp())
        };
        let proposal = Proposal::Fail { failure };
        if planted::on(Fault::EvictedBeforeWritten) {
            proposal.apply(&mut pod.record, &ctx.stamp());
        }
        pod.journal.propose(&pod.record, Pending { proposal, request: None }, &mut ctx);
        self.touched.insert(uid);
    }

    /// The first one of those that may go.
    fn first_to_go(&self, signal: Signal, survey: &Survey) -> Option<PodUid> {
        let rules = &self.watch.as_ref()?.rules;
        let candidates = self.pods.values().filter(|pod| pod.may_be_evicted() && !rules.exempts(&pod.wanted));
        let place = |pod: &&PodMachine| {
            let used = survey.pods.get(pod.uid()).copied().unwrap_or_default();
            rank::place(signal, &pod.wanted, used, pod.record.order)
        };
        candidates.min_by_key(place).map(|pod| pod.uid().clone())
    }

    /// Whether one that was evicted still has to be cleared away.
    fn is_evicting(&self, now: Moment) -> bool {
        self.pods.values().any(|pod| pod.is_being_evicted(now.boot)) && !planted::on(Fault::SecondEvicted)
    }
}

impl Watch {
    fn grace(&self, threshold: &Threshold, pod: &Pod) -> Duration {
        match threshold.patience {
            None => IMMEDIATE,
            // kubelet gives nobody less than a second either (`calculateEffectiveGracePeriod`).
            Some(_) => self.rules.max_grace.min(pod.grace).max(IMMEDIATE),
        }
    }
}

fn message(threshold: &Threshold, level: Level, pod: &Pod, used: PodUse) -> String {
    let signal = threshold.signal;
    let (used, asked) = rank::of(signal, used, pod.requests());
    let asks = match signal {
        Signal::Memory | Signal::Disk => format!(" and asks for {}", signal.amount(asked)),
        Signal::Inodes | Signal::Pids => String::new(),
    };
    let (left, all) = (signal.amount(level.available), signal.amount(level.all));
    let (noun, least, used) = (signal.noun(), least(threshold), signal.amount(used));
    format!("The node was low on {noun}: {left} of {all} were left, the least is {least}. The pod used {used}{asks}.")
}

impl PodMachine {
    /// Something of it runs or will, and nothing ends it yet.
    fn may_be_evicted(&self) -> bool {
        let ends = self.is_dying() || self.is_over();
        !ends && !self.is_recovering() && capacity::has_something(self)
    }

    /// It was evicted, or has failed, and has not given back yet what it had: an evicted one all that it has on the disk too. One
    /// that does not end is not waited for forever.
    fn is_being_evicted(&self, now: BootTime) -> bool {
        let written = self.journal.asked_failure();
        let failure = written.or(self.record.failure.as_ref());
        // One that fails for another reason gives back just as much.
        let Some(failure) = failure else { return false };
        let gives_disk_back = failure.disruption == Some(Disruption::Pressure);
        let cleared = match self.stage {
            Stage::TornDown | Stage::Forgetting { .. } | Stage::ForgetFailed { .. } | Stage::Gone => true,
            Stage::Waiting(_) => self.is_idle(),
            Stage::Accepting
            | Stage::Preparing { .. }
            | Stage::PrepareFailed { .. }
            | Stage::Prepared { .. }
            | Stage::TearingDown { .. }
            | Stage::TearDownFailed { .. } => self.is_idle() && !gives_disk_back,
        };
        let patience = failure.grace.unwrap_or_default() + CLEARED_WITHIN;
        let is_of_this_boot = failure.since.boot_id == self.record.boot;
        !cleared && is_of_this_boot && now.since(failure.since.boot) <= patience
    }
}
