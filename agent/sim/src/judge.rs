//! What the simulation holds the core to: answers to requests, reasons for stops, and the end of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{
    Accepted, AttemptKey, ConditionStatus, ContainerState, ContainerView, CpuTable, Denied, Input, PodView,
    ProbeOutcome, RequestId, Verb,
};
use barepod_model::{
    Amounts, Container, ContainerKey, ContainerKind, ContainerName, OnResize, Permit, Phase, Pod, PodUid, ProbeKind,
    Reason, RestartPolicy,
};

use crate::clock::SimTime;
use crate::host::StopCause;
use crate::intent::{Ask, Intent, Known, What};
use crate::shutdown::may_fail_with_host;
use crate::violation::{Invariant, Violation, violated};
use crate::workload::{
    GATE, STORAGE_LIMIT, capacity, lacks_volume, min_grace, own_grace, share_data, started_with, touched,
};
use crate::world::World;

impl World<'_> {
    /// A request was answered.
    pub(crate) fn replied(&mut self, request: RequestId, result: &Result<Accepted, Denied>) -> Result<(), Violation> {
        let Some(ask) = self.intents.asks.remove(&request) else {
            return Err(violated(Invariant::NoIntentLost, format!("{request:?} was answered twice")));
        };
        if let What::Apply(pod, Permit::Refused { .. }) = &ask.what {
            self.refused(pod, result)?;
        }
        let Ok(accepted) = result else { return Ok(()) };
        let uid = &accepted.pod;
        match &ask.what {
            What::Apply(pod, _) => self.apply_acked(uid, pod, accepted.verb, ask.at),
            What::Delete { grace, .. } => self.delete_acked(uid, *grace, ask.at),
            What::Restart { container, .. } => {
                self.restart_allowed(uid, container.as_ref(), ask.at, true);
                self.halt_known(uid, Some(false));
                Ok(())
            }
            What::Halt { halted, .. } => self.halt_acked(uid, *halted, ask.at),
            What::Gate { status, .. } => self.gate_acked(uid, *status),
        }
    }

    /// The policy's word is no.
    fn refused(&self, pod: &Pod, result: &Result<Accepted, Denied>) -> Result<(), Violation> {
        let broken = |what: &str| Err(violated(Invariant::PolicyIsForWhatIsNew, format!("{}: {what}", pod.name)));
        match result {
            Ok(Accepted { verb: Verb::Unchanged, .. }) => Ok(()),
            Ok(_) => broken("what the policy refuses is accepted"),
            Err(Denied { reason: Reason::Forbidden, .. }) if self.intents.has(pod) => {
                broken("what is there already is refused")
            }
            Err(_) => Ok(()),
        }
    }

    fn apply_acked(&mut self, uid: &PodUid, pod: &Pod, verb: Verb, asked: SimTime) -> Result<(), Violation> {
        let written = self.disk.synced(uid).is_some_and(|record| record.pod == Pod { uid: uid.clone(), ..pod.clone() });
        if !written {
            return Err(violated(Invariant::NoIntentLost, format!("{verb:?} {uid} is acknowledged but not durable")));
        }
        self.update_allowed(uid, pod, asked, true);
        self.intents.acked(uid, pod, asked);
        Ok(())
    }

    fn gate_acked(&mut self, uid: &PodUid, status: ConditionStatus) -> Result<(), Violation> {
        let written = self.disk.synced(uid).and_then(|record| record.conditions.get(GATE));
        if written.is_none_or(|condition| condition.status != status) {
            return Err(violated(Invariant::NoIntentLost, format!("the gate of {uid} is acknowledged, not durable")));
        }
        if let Some(intent) = self.intents.pods.get_mut(uid) {
            intent.gate = Some(status);
        }
        Ok(())
    }

    fn halt_acked(&mut self, uid: &PodUid, halted: bool, asked: SimTime) -> Result<(), Violation> {
        if self.disk.synced(uid).is_none_or(|record| record.halted.is_some() != halted) {
            let detail = format!("{uid} is said to be stopped ({halted}), which is not durable");
            return Err(violated(Invariant::NoIntentLost, detail));
        }
        self.halt_allowed(uid, asked);
        self.halt_known(uid, Some(halted));
        Ok(())
    }

    fn halt_known(&mut self, uid: &PodUid, halted: Option<bool>) {
        let now = self.clock.now;
        if let Some(intent) = self.intents.pods.get_mut(uid) {
            (intent.halted, intent.halted_at) = (halted, now);
        }
    }

    /// All that runs may be stopped, each in its turn, and is no crash.
    fn halt_allowed(&mut self, uid: &PodUid, asked: SimTime) {
        let Some(intent) = self.intents.pods.get(uid) else { return };
        let base = intent.spec.clone();
        let all = intent.wishes().into_iter().flat_map(|pod| pod.containers).map(|container| container.name);
        let living = self.host.containers.keys().filter(|key| key.pod == *uid).map(|key| key.container.clone());
        let names: BTreeSet<_> = all.chain(living).collect();
        self.replacement_allowed(uid, &base, &names, asked, false);
    }

    /// Of what an operator has stopped nothing is begun.
    pub(crate) fn check_halted(&self, key: &AttemptKey, ordered: SimTime) -> Result<(), Violation> {
        match self.intents.pods.get(&key.pod) {
            Some(intent) if intent.halted == Some(true) && ordered > intent.halted_at => {
                Err(violated(Invariant::StaysStopped, format!("{key} is started although its pod was stopped")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn delete_acked(&mut self, uid: &PodUid, grace: Option<Duration>, asked: SimTime) -> Result<(), Violation> {
        if self.disk.synced(uid).is_some_and(|record| record.deletion.is_none()) {
            return Err(violated(
                Invariant::NoIntentLost,
                format!("the deletion of {uid} is acknowledged, not durable"),
            ));
        }
        self.delete_allowed(uid, grace, asked, true);
        if let Some(intent) = self.intents.pods.get_mut(uid) {
            if intent.deleted == Known::No {
                intent.ending = Some((self.clock.now, grace));
            }
            intent.deleted = Known::Acked;
        }
        Ok(())
    }

    /// The daemon is dead: what it was asked and did not answer may have been accepted.
    pub(crate) fn lose_answers(&mut self) {
        self.intents.forget_gone();
        for (_, Ask { what, at }) in std::mem::take(&mut self.intents.asks) {
            match what {
                // Nothing comes of it, whether it was answered or not.
                What::Apply(_, Permit::Refused { .. }) => {}
                What::Apply(pod, Permit::Granted(_)) => {
                    let same = self.intents.pods.iter().filter(|(_, intent)| intent.spec.name == pod.name);
                    let uids: Vec<_> = same.map(|(uid, _)| uid.clone()).collect();
                    uids.iter().for_each(|uid| self.update_allowed(uid, &pod, at, false));
                    self.intents.maybe_applied(&pod, at);
                }
                What::Delete { pod, grace } => {
                    self.delete_allowed(&pod, grace, at, false);
                    if let Some(intent) = self.intents.pods.get_mut(&pod).filter(|i| i.deleted == Known::No) {
                        intent.deleted = Known::Maybe;
                    }
                }
                What::Restart { pod, container } => {
                    self.restart_allowed(&pod, container.as_ref(), at, false);
                    let was_halted = self.intents.pods.get(&pod).is_some_and(|intent| intent.halted != Some(false));
                    if was_halted {
                        self.halt_known(&pod, None);
                    }
                }
                What::Halt { pod, .. } => {
                    self.halt_allowed(&pod, at);
                    self.halt_known(&pod, None);
                }
                What::Gate { pod, .. } => {
                    self.intents.pods.get_mut(&pod).into_iter().for_each(|intent| intent.gate = None);
                }
            }
        }
    }

    /// Another wish is a reason to stop the containers that it touches.
    fn update_allowed(&mut self, uid: &PodUid, pod: &Pod, asked: SimTime, sure: bool) {
        let Some(intent) = self.intents.pods.get(uid) else { return };
        let base = intent.spec.clone();
        let mut names = touched(&base, pod);
        intent.maybe.iter().for_each(|maybe| names.extend(touched(maybe, pod)));
        let sure = sure && intent.maybe.is_empty();
        if self.gluttons.contains(uid) {
            names.extend(base.containers.iter().chain(&pod.containers).map(|container| container.name.clone()));
        }
        let known = intent.wishes();
        let resized = self.restarted_by_resize(uid, &known, pod);
        self.replacement_allowed(uid, &base, &names, asked, sure);
        self.regrace(uid, pod);
        self.resize_allowed(uid, &resized);
    }

    /// The containers that are restarted when a change is given to them. That may be for an amount of memory that was wanted long
    /// ago, and is given only now.
    fn restarted_by_resize(&mut self, uid: &PodUid, known: &[Pod], pod: &Pod) -> BTreeSet<ContainerName> {
        for spec in known.iter().chain([pod]).flat_map(|pod| &pod.containers) {
            let key = ContainerKey { pod: uid.clone(), container: spec.name.clone() };
            let memory = (spec.resources.memory_request, spec.resources.memory_limit);
            self.memories.entry(key).or_default().insert(memory);
        }
        let resized = |spec: &&Container| {
            let key = ContainerKey { pod: uid.clone(), container: spec.name.clone() };
            let restarts = spec.resize_policy.memory == OnResize::RestartContainer;
            restarts && self.memories.get(&key).is_some_and(|memories| memories.len() > 1)
        };
        pod.containers.iter().filter(resized).map(|spec| spec.name.clone()).collect()
    }

    /// These may be restarted whenever there is room, which may be much later.
    fn resize_allowed(&mut self, uid: &PodUid, names: &BTreeSet<ContainerName>) {
        let now = self.clock.now;
        for name in names {
            self.resized.insert(ContainerKey { pod: uid.clone(), container: name.clone() });
        }
        for (_, process) in self.host.of_pod(uid).filter(|(key, _)| names.contains(&key.container)) {
            process.stop.add(now, None);
            process.own_cause = true;
        }
    }

    /// What is begun finds room: all that lives together has no more than there is. After a power cut a pod that had come
    /// to its end may live again beside one that has got its part.
    pub(crate) fn check_room(&self, key: &AttemptKey, pod: &Pod) -> Result<(), Violation> {
        if self.summary.reboots > 0 {
            return Ok(());
        }
        let mut others: BTreeMap<&PodUid, (Amounts, Amounts)> = BTreeMap::new();
        for (other, process) in self.host.containers.iter().filter(|(_, process)| process.populated) {
            let (sum, given) = others.entry(&other.pod).or_default();
            (*sum, *given) = (sum.plus(process.own), given.max(process.requests));
        }
        // A pod that is changed may have, for a while, more than it was ever given: what comes, and what goes.
        let mut others: BTreeMap<_, _> =
            others.into_iter().map(|(pod, (sum, given))| (pod, least_of(sum, given))).collect();
        others.remove(&key.pod);
        let wishes = self.intents.pods.get(&key.pod).map(Intent::wishes).unwrap_or_default();
        let own = wishes.iter().map(Pod::requests).fold(pod.requests(), least_of);
        let sum = others.values().fold(own, |sum, other| sum.plus(*other));
        let all = capacity().amounts.less(self.others.amounts);
        if others.len() as u64 >= capacity().pods.unwrap_or(u64::MAX) || sum.cpu > all.cpu || sum.memory > all.memory {
            return Err(violated(Invariant::RoomForAll, format!("{key} starts with {own:?} beside {others:?}")));
        }
        Ok(())
    }

    /// No CPU belongs to two, and what lives keeps its own. The table is in force when it is told.
    pub(crate) fn confined(&mut self, table: &CpuTable) -> Result<(), Violation> {
        let mut seen = table.shared.clone();
        if let Some(theirs) = seen.intersection(&self.others.cpus).next() {
            return Err(violated(Invariant::OwnCpus, format!("CPU {theirs} is another scheduler's, and all share it")));
        }
        for (key, set) in &table.exclusive {
            if let Some(twice) = set.iter().find(|cpu| !seen.insert(**cpu)) {
                return Err(violated(Invariant::OwnCpus, format!("CPU {twice} of {key} is another's too")));
            }
        }
        for (key, process) in self.host.containers.iter().filter(|(_, process)| process.lives()) {
            let (before, now) = (self.cpus.exclusive.get(key), table.exclusive.get(key));
            if self.summary.reboots == 0 && before.is_some() && before != now {
                let detail = format!("{key}#{} ran on {before:?} and is put on {now:?}", process.attempt);
                return Err(violated(Invariant::OwnCpus, detail));
            }
        }
        self.cpus = table.clone();
        Ok(())
    }

    /// Nothing of an evicted pod is begun before somebody changes it.
    pub(crate) fn check_evicted(&self, key: &AttemptKey, polled: SimTime) -> Result<(), Violation> {
        match self.evicted.get(&key.pod) {
            Some(since) if polled > *since => {
                Err(violated(Invariant::NothingStoppedWithoutCause, format!("{key} starts, though evicted")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn restart_allowed(&mut self, uid: &PodUid, container: Option<&ContainerName>, asked: SimTime, sure: bool) {
        let Some(intent) = self.intents.pods.get(uid) else { return };
        let base = intent.spec.clone();
        let sure = sure && intent.maybe.is_empty();
        let names = match container {
            Some(name) => BTreeSet::from([name.clone()]),
            None => intent.regular_containers(),
        };
        self.replacement_allowed(uid, &base, &names, asked, sure);
    }

    fn replacement_allowed(
        &mut self,
        uid: &PodUid,
        base: &Pod,
        names: &BTreeSet<ContainerName>,
        asked: SimTime,
        sure: bool,
    ) {
        let now = self.clock.now;
        for name in names {
            self.replaced.insert(ContainerKey { pod: uid.clone(), container: name.clone() }, now);
        }
        // What was on its way out with a pod that lives again goes on by itself.
        let glutton = self.gluttons.contains(uid);
        let may_end = |spec: &Pod| may_end_by_itself(spec) || spec.storage_limit().is_some() || glutton;
        for (_, process) in self.host.of_pod(uid).filter(|(_, process)| may_end(&process.spec)) {
            process.own_cause = true;
        }
        for (key, process) in self.host.of_pod(uid).filter(|(key, _)| names.contains(&key.container)) {
            let grace = own_grace(base, &key.container);
            let first = matches!(process.stop, StopCause::None);
            let earliest = if sure { asked + grace } else { asked };
            process.stop.add(earliest, (sure && first).then_some(now + grace));
            process.own_cause = true;
        }
    }

    /// Something of a pod ended, perhaps for good: what only stands beside it may be stopped, or, by a rule, all.
    pub(crate) fn may_be_over(&mut self, uid: &PodUid, spec: &Pod) {
        let now = self.clock.now;
        let rules = spec.containers.iter().any(|container| !container.restart.rules.is_empty());
        let ends = spec.restart_policy != RestartPolicy::Always
            || spec.containers.iter().any(|container| container.restart.policy.is_some());
        let wishes = self.intents.pods.get(uid).map(Intent::wishes).unwrap_or_default();
        for (key, process) in self.host.of_pod(uid) {
            let grace = least_grace(&wishes, &process.spec, &key.container);
            let kind = kind_of(&process.spec, &key.container);
            if ends && matches!(kind, Some(ContainerKind::Sidecar | ContainerKind::Ephemeral)) {
                process.stop.add(now + grace, None);
                process.own_cause = true;
            }
            if rules {
                process.stop.add(now + grace, None);
                process.own_cause = true;
            }
        }
        self.all_may_be_replaced(uid, spec);
    }

    /// By a rule of one that ended: also what was ordered before that is known.
    fn all_may_be_replaced(&mut self, uid: &PodUid, spec: &Pod) {
        if spec.containers.iter().all(|container| container.restart.rules.is_empty()) {
            return;
        }
        for container in spec.containers.iter().map(|container| container.name.clone()) {
            self.replaced.insert(ContainerKey { pod: uid.clone(), container }, self.clock.now);
        }
        self.host.of_pod(uid).for_each(|(_, process)| process.own_cause = true);
    }

    /// Pods that have run for as long as they may are stopped.
    pub(crate) fn keep_deadlines(&mut self) {
        let now = self.clock.now;
        for (uid, intent) in &self.intents.pods {
            let wishes = intent.wishes();
            let Some(deadline) = wishes.iter().filter_map(|pod| pod.active_deadline).min() else { continue };
            // The wall clock, which counts after a reboot, may say anything.
            if now < intent.asked + deadline && self.summary.reboots == 0 {
                continue;
            }
            for (key, process) in self.host.of_pod(uid) {
                let grace = least_grace(&wishes, &process.spec, &key.container);
                process.stop.add((intent.asked + deadline).min(now) + grace, None);
            }
        }
    }

    fn delete_allowed(&mut self, uid: &PodUid, grace: Option<Duration>, asked: SimTime, sure: bool) {
        let now = self.clock.now;
        let Some(intent) = self.intents.pods.get(uid) else { return };
        let (base, deleted, known) = (intent.spec.clone(), intent.deleted, intent.maybe.is_empty());
        for (key, process) in self.host.of_pod(uid) {
            // How a container that an update removed was to be stopped is not known here.
            let wanted = base.containers.iter().any(|spec| spec.name == key.container);
            let own = min_grace(&base, &key.container).max(base.grace);
            let (length, counts) = match (grace, deleted) {
                (Some(given), _) => (given, true),
                (None, Known::No) => (own, known && wanted),
                (None, Known::Maybe) => (own, false),
                (None, Known::Acked) => continue,
            };
            let earliest = if known || grace.is_some() { asked + length } else { asked };
            process.stop.add(earliest, (sure && counts).then_some(now + length));
        }
    }

    /// Why a process that is being started may be stopped at once.
    pub(crate) fn cause_at_start(&self, key: &AttemptKey, spec: &Arc<Pod>, polled: SimTime) -> StopCause {
        let now = self.clock.now;
        if self.goes_down.is_some() || self.gluttons.contains(&key.pod) || self.resized.contains(&key.container_key()) {
            return StopCause::any_time(now);
        }
        let Some(intent) = self.intents.pods.get(&key.pod) else { return StopCause::None };
        let replaced = self.replaced.get(&key.container_key()).is_some_and(|at| *at >= polled);
        let other = |pod: &Pod| touched(pod, spec).contains(&key.container);
        match (intent.deleted, intent.ending) {
            (Known::Acked, Some((acked, grace))) => {
                let own = own_grace(spec, &key.container).max(own_grace(&intent.spec, &key.container));
                StopCause::May { earliest: now, latest: Some((acked + grace.unwrap_or(own)).max(now)), shutdown: false }
            }
            (Known::Acked | Known::Maybe, _) => StopCause::any_time(now),
            (Known::No, _) if replaced || other(&intent.spec) || intent.maybe.iter().any(other) => {
                StopCause::any_time(now)
            }
            // It may have become pointless on the way.
            (Known::No, _) if may_end_by_itself(spec) => StopCause::any_time(now),
            (Known::No, _) => StopCause::None,
        }
    }

    /// Whether a start follows a crash, and so counts for the back-off.
    pub(crate) fn is_crash_restart(&self, key: &AttemptKey, polled: SimTime) -> Option<SimTime> {
        let container = key.container_key();
        let old = self.host.containers.get(&container).filter(|old| old.attempt < key.attempt)?;
        let replaced =
            self.resized.contains(&container) || self.replaced.get(&container).is_some_and(|at| *at >= old.ordered);
        if replaced { None } else { Some(polled) }
    }

    /// The second restart after a crash and all that follow wait at least for the first delay.
    pub(crate) fn check_backoff(&self, key: &AttemptKey, polled: SimTime) -> Result<(), Violation> {
        let Some(old) = self.host.containers.get(&key.container_key()) else { return Ok(()) };
        let (Some(end), Some(restarted)) = (&old.end, old.crash_restart) else { return Ok(()) };
        let forgiven = end.at.saturating_sub(restarted) > self.figures.max * 2;
        if forgiven || self.is_crash_restart(key, polled).is_none() {
            return Ok(());
        }
        let waited = polled.saturating_sub(end.at);
        if waited + Duration::from_millis(1) < self.figures.initial {
            return Err(violated(Invariant::SaneBackoff, format!("{key} is started after {waited:?}")));
        }
        Ok(())
    }

    /// The core is about to hear this.
    pub(crate) fn hearing(&mut self, input: &Input) {
        let now = self.clock.now;
        self.hearing_of_pressure(input);
        match input {
            Input::Probed { key, kind, outcome: ProbeOutcome::Failure(_), .. } if *kind != ProbeKind::Readiness => {
                if let Some(process) = self.host.attempt(key) {
                    process.stop.add(now, None);
                    process.own_cause = true;
                }
            }
            Input::Exited { key, .. } => {
                let spec = self.host.attempt(key).map(|process| Arc::clone(&process.spec));
                spec.into_iter().for_each(|spec| self.all_may_be_replaced(&key.pod, &spec));
            }
            Input::Measured { pod, used } if used.containers.values().any(|used| *used > STORAGE_LIMIT) => {
                let limited = |pod: &Pod| pod.storage_limit().is_some();
                let wishes = self.intents.pods.get(pod).map(Intent::wishes).unwrap_or_default();
                if wishes.iter().any(limited) {
                    self.gluttons.insert(pod.clone());
                    for (_, process) in self.host.of_pod(pod) {
                        process.stop.add(now + Duration::from_secs(1), None);
                        process.hurried = true;
                    }
                }
            }
            Input::Forgotten { pod } if self.intents.pods.get(pod).is_some_and(|intent| intent.gone) => {
                self.intents.pods.remove(pod);
            }
            _other => {}
        }
    }

    /// Keeps what may be heard once more.
    pub(crate) fn remember(&mut self, input: Input) {
        match &input {
            Input::Started { .. }
            | Input::StartFailed { .. }
            | Input::Exited { .. }
            | Input::Emptied { .. }
            | Input::Heard { .. }
            | Input::Probed { .. }
            | Input::Stored { .. }
            | Input::StoreFailed { .. } => self.heard.push(input),
            _other => {}
        }
    }

    /// Whether everything is as it was asked for.
    pub(crate) fn has_converged(&self) -> bool {
        self.core.is_some() && self.queue_is_quiet() && self.intents.asks.is_empty() && self.first_wrong().is_none()
    }

    /// What is not as it was asked for.
    pub(crate) fn what_is_wrong(&self) -> String {
        self.first_wrong().unwrap_or_else(|| "the daemon does not come to rest".to_owned())
    }

    fn first_wrong(&self) -> Option<String> {
        let core = self.core.as_ref()?;
        let views: Vec<_> = core.view().collect();
        views.iter().find_map(|view| self.wrong_with(view, &views))
    }

    fn wrong_with(&self, view: &PodView, all: &[&PodView]) -> Option<String> {
        let uid = &view.uid;
        if view.deletion.is_some() {
            return Some(format!("pod {uid} is deleted but still there"));
        }
        let pod = view.pod.as_ref()?;
        if !may_fail_with_host(view) {
            return Some(format!("pod {uid} has its data here and is not begun again"));
        }
        if view.halted.is_some() {
            let lives = self.host.containers.iter().any(|(key, process)| key.pod == *uid && process.populated);
            return lives.then(|| format!("something of pod {uid} lives, though it was stopped"));
        }
        match view.reason {
            Some(Reason::WaitingForPredecessor | Reason::DataPathInUse) => {
                let blocks = |other: &&PodView| {
                    other.uid != *uid
                        && other.pod.as_ref().is_some_and(|other| share_data(pod, other) || other.name == pod.name)
                };
                (!all.iter().any(blocks)).then(|| format!("pod {uid} waits for nobody"))
            }
            Some(reason) if reason.is_out_of_resource() => {
                let others = all.iter().any(|other| other.uid != *uid);
                (!others && self.summary.reboots == 0 && fits_alone(pod))
                    .then(|| format!("pod {uid} waits for room that is there"))
            }
            Some(Reason::WaitingForDependency) => {
                let missing = pod.depends_on.iter().any(|wanted| {
                    !all.iter()
                        .any(|other| other.ready && other.pod.as_ref().is_some_and(|pod| pod.name == wanted.name))
                });
                (!missing).then(|| format!("pod {uid} waits for pods that are ready"))
            }
            Some(Reason::ContainerCreating) => (!lacks_volume(pod)).then(|| format!("pod {uid} waits for no volume")),
            Some(Reason::CreatePodError) => Some(format!("pod {uid} is not prepared")),
            _running if pod.active_deadline.is_some() && !matches!(view.phase, Phase::Failed | Phase::Succeeded) => {
                Some(format!("pod {uid} outlives its deadline"))
            }
            _running => {
                view.containers.iter().find_map(|container| self.wrong_with_container(pod, view.phase, container))
            }
        }
    }

    fn wrong_with_container(&self, pod: &Pod, phase: Phase, view: &ContainerView) -> Option<String> {
        let name = &view.name;
        let key = ContainerKey { pod: pod.uid.clone(), container: name.clone() };
        let spec = pod.containers.iter().find(|spec| spec.name == *name)?;
        let process = self.host.containers.get(&key);
        let over = matches!(phase, Phase::Failed | Phase::Succeeded);
        let rests = matches!(view.state, ContainerState::Terminated { .. });
        let policy = spec.restart.policy.unwrap_or(pod.restart_policy);
        let may_rest = match spec.kind {
            ContainerKind::Init | ContainerKind::Ephemeral => rests || over,
            ContainerKind::Sidecar => over,
            ContainerKind::Regular => over || rests && policy != RestartPolicy::Always,
        };
        match process {
            Some(process) if process.lives() => {
                let own = process.spec.containers.iter().find(|spec| spec.name == *name);
                let current = own.is_some_and(|own| started_with(&own.launch) == started_with(&spec.launch))
                    && process.spec.data_paths == pod.data_paths;
                // Whatever its pod becomes, an ephemeral container is what it was when it was started.
                let current = current || spec.kind == ContainerKind::Ephemeral;
                (!current || spec.kind == ContainerKind::Init).then(|| format!("{key} runs as it is no longer wanted"))
            }
            Some(process) if process.populated => Some(format!("{key} is not empty")),
            Some(_) | None if may_rest || waits_for_references(pod, spec) => None,
            Some(_) | None => Some(format!("{key} does not run")),
        }
    }

    /// Whether what is shown of a pod can be compared: nothing is on its way for it.
    pub(crate) fn is_settled(&self, view: &PodView) -> bool {
        !self.is_busy(&view.uid)
            && !self.unwritten.contains(&view.uid)
            && (!concerns_others(view) || self.all_is_settled())
            && (self.goes_down.is_none() || self.all_is_settled())
            && (view.pending_resize.is_none() || self.all_is_settled())
            && match view.reason {
                Some(Reason::CreatePodError | Reason::ContainerCreating | Reason::Failed) => false,
                Some(Reason::WaitingForPredecessor | Reason::DataPathInUse) => self.all_is_settled(),
                Some(reason) if reason.is_out_of_resource() => self.all_is_settled(),
                _other => true,
            }
    }

    fn all_is_settled(&self) -> bool {
        self.queue_is_quiet() && self.unwritten.is_empty()
    }
}

/// Whether what is shown of a pod depends on what others do: it waits for them, or has nothing yet that it could not lose
/// to them.
fn concerns_others(view: &PodView) -> bool {
    let began = view.containers.iter().any(|container| container.attempt.is_some());
    !began || view.pod.as_ref().is_some_and(|pod| !pod.depends_on.is_empty())
}

/// Whether the host has what this pod asks for.
fn fits_alone(pod: &Pod) -> bool {
    let (wanted, all) = (pod.requests(), capacity().amounts);
    wanted.cpu <= all.cpu && wanted.memory <= all.memory
}

fn least_of(a: Amounts, b: Amounts) -> Amounts {
    let mut least = a;
    least.cpu = a.cpu.min(b.cpu);
    least.memory = a.memory.min(b.memory);
    least
}

/// Whether a pod may come to its end, or be begun anew, although nobody asks for it.
fn may_end_by_itself(pod: &Pod) -> bool {
    let own = |container: &Container| container.restart.policy.is_some() || !container.restart.rules.is_empty();
    pod.restart_policy != RestartPolicy::Always || pod.active_deadline.is_some() || pod.containers.iter().any(own)
}

/// Whether a container, or one that must come before it, refers to something that does not exist.
fn waits_for_references(pod: &Pod, container: &Container) -> bool {
    let first = |other: &Container| other.kind != ContainerKind::Regular || other.name == container.name;
    pod.containers.iter().any(|other| first(other) && other.missing.is_some())
}

/// The least grace that a container may be given, by what is wanted of its pod and by what it was started for.
pub(crate) fn least_grace(wishes: &[Pod], started: &Pod, name: &ContainerName) -> Duration {
    wishes.iter().chain([started]).map(|pod| own_grace(pod, name)).min().unwrap_or_default()
}

fn kind_of(pod: &Pod, name: &ContainerName) -> Option<ContainerKind> {
    pod.containers.iter().find(|container| container.name == *name).map(|container| container.kind)
}
