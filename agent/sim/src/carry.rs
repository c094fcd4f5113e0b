//! Carrying effects out: when, with what effect on host and disk, and with what answer.

use std::sync::Arc;
use std::time::Duration;

use barepod_core::{AttemptKey, Effect, HookOutcome, Input, Observation, PodRecord, ProbeOutcome, StartFailure, Sync};
use barepod_model::{
    Amounts, Attempt, Container, ContainerKey, ContainerKind, ContainerName, ExitStatus, Hook, HookKind, Pod, PodUid,
    Reason, RestartPolicy,
};

use crate::clock::SimTime;
use crate::faults::Mood;
use crate::host::{End, Process};
use crate::intent::{Intent, Known};
use crate::speech::{Speech, Word};
use crate::trace::Entry;
use crate::violation::{Invariant, Violation, violated};
use crate::world::{Happening, World};

/// The pod that an effect is for.
pub(crate) fn pod_of_effect(effect: &Effect) -> Option<PodUid> {
    match effect {
        Effect::Store { pod, .. } | Effect::Forget { pod } => Some(pod.clone()),
        Effect::Prepare { pod, .. } | Effect::TearDown { pod } => Some(pod.uid.clone()),
        Effect::Start { key, .. } | Effect::Signal { key, .. } | Effect::Kill { key } | Effect::Hook { key, .. } => {
            Some(key.pod.clone())
        }
        Effect::Observe { key } | Effect::Resize { key, .. } => Some(key.pod.clone()),
        Effect::Probe { .. } | Effect::Reply { .. } | Effect::Emit(_) | Effect::Confine { .. } => None,
    }
}

/// The pod that an answer is about; a probe is no business that a pod is busy with.
pub(crate) fn pod_of_input(input: &Input) -> Option<PodUid> {
    match input {
        Input::Stored { pod, .. }
        | Input::StoreFailed { pod, .. }
        | Input::Prepared { pod, .. }
        | Input::PrepareFailed { pod, .. }
        | Input::TornDown { pod }
        | Input::TearDownFailed { pod, .. }
        | Input::Forgotten { pod }
        | Input::ForgetFailed { pod, .. }
        | Input::Measured { pod, .. }
        | Input::Missing { pod } => Some(pod.clone()),
        Input::Started { key, .. }
        | Input::StartFailed { key, .. }
        | Input::Exited { key, .. }
        | Input::Emptied { key, .. }
        | Input::Heard { key, .. }
        | Input::Hooked { key, .. } => Some(key.pod.clone()),
        Input::Observed { key, .. }
        | Input::Recalled { key, .. }
        | Input::ShimLost { key }
        | Input::Resized { key, .. }
        | Input::ResizeFailed { key, .. } => Some(key.pod.clone()),
        Input::Probed { .. }
        | Input::Apply { .. }
        | Input::Delete { .. }
        | Input::Restart { .. }
        | Input::Halt { .. }
        | Input::Condition { .. }
        | Input::Surveyed { .. }
        | Input::Shutdown { .. }
        | Input::Booked { .. }
        | Input::Ruled { .. }
        | Input::Wake => None,
    }
}

/// Effects of one lane are carried out in order.
fn lane(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Store { pod, .. } | Effect::Forget { pod } => Some(format!("ledger {pod}")),
        Effect::Prepare { pod, .. } | Effect::TearDown { pod } => Some(format!("pod {}", pod.uid)),
        Effect::Start { key, .. } | Effect::Signal { key, .. } | Effect::Kill { key } => {
            Some(key.container_key().to_string())
        }
        Effect::Observe { key } | Effect::Resize { key, .. } => Some(key.to_string()),
        Effect::Hook { .. }
        | Effect::Probe { .. }
        | Effect::Reply { .. }
        | Effect::Emit(_)
        | Effect::Confine { .. } => None,
    }
}

impl World<'_> {
    /// The daemon hands an effect to whoever carries it out.
    pub(crate) fn send_off(&mut self, effect: Effect) -> Result<(), Violation> {
        let latency = match &effect {
            Effect::Reply { request, result } => return self.replied(*request, result),
            Effect::Emit(_) => return Ok(()),
            Effect::Confine { table } => return self.confined(table),
            Effect::Store { record, .. } => {
                self.check_eviction(record)?;
                self.faults.store_latency(&mut self.rng)
            }
            Effect::Forget { .. } => self.faults.store_latency(&mut self.rng),
            Effect::Start { .. } => self.faults.start_latency(&mut self.rng),
            Effect::Prepare { .. }
            | Effect::Observe { .. }
            | Effect::Signal { .. }
            | Effect::Kill { .. }
            | Effect::Resize { .. }
            | Effect::Probe { .. }
            | Effect::Hook { .. }
            | Effect::TearDown { .. } => self.faults.latency(&mut self.rng),
        };
        let mut at = self.clock.now + latency;
        if let Some(lane) = lane(&effect) {
            let free = self.lanes.entry(lane).or_default();
            at = at.max(*free);
            *free = at;
        }
        let (after, polled) = (at - self.clock.now, self.clock.now);
        self.later_busy(pod_of_effect(&effect), after, Happening::CarryOut(Box::new(effect), polled));
        Ok(())
    }

    /// It is carried out now.
    pub(crate) fn carry_out(&mut self, effect: Effect, polled: SimTime) -> Result<(), Violation> {
        let fails = |world: &mut Self| world.faults.fails(&mut world.rng);
        match effect {
            Effect::Store { pod, revision, record, sync } => {
                let written = self.store(&pod, *record, sync);
                self.eviction_written(&pod, written.is_ok());
                let answer = written.map_or_else(
                    |message| Input::StoreFailed { pod: pod.clone(), revision, message },
                    |()| Input::Stored { pod: pod.clone(), revision },
                );
                self.hear_later(answer);
            }
            Effect::Prepare { pod, generation } => {
                let reason = match fails(self) {
                    true => Some(Reason::CreatePodError),
                    false => (!self.host.mount(&pod)).then_some(Reason::FailedMount),
                };
                let pod = pod.uid.clone();
                self.hear_later(match reason {
                    Some(reason) => Input::PrepareFailed { pod, generation, failure: failure(reason) },
                    None => Input::Prepared { pod, generation },
                });
            }
            Effect::Start { key, pod } => return self.start(key, pod, polled),
            Effect::Observe { key } => self.observe(key),
            Effect::Signal { key, .. } => return self.signal(&key),
            Effect::Kill { key } => return self.kill(&key),
            Effect::Resize { key, generation, pod } => {
                let answer = if fails(self) {
                    Input::ResizeFailed { key, generation, message: "refused".to_owned() }
                } else {
                    if let Some(process) = self.host.containers.get_mut(&key) {
                        process.requests = pod.requests();
                        process.own = requests_of(&pod, &key.container);
                    }
                    Input::Resized { key, generation }
                };
                self.hear_later(answer);
            }
            Effect::Probe { key, kind, ticket, .. } => {
                let outcome = self.probe(&key);
                self.hear_later(Input::Probed { key, kind, ticket, outcome });
            }
            Effect::Hook { key, kind, hook } => self.run_hook(key, kind, &hook),
            Effect::TearDown { pod } => return self.tear_down(&pod),
            Effect::Forget { pod } => return self.forget(pod),
            Effect::Reply { .. } | Effect::Emit(_) | Effect::Confine { .. } => {}
        }
        Ok(())
    }

    fn store(&mut self, pod: &PodUid, record: PodRecord, sync: Sync) -> Result<(), String> {
        if self.faults.fails_store(&mut self.rng) {
            self.unwritten.insert(pod.clone());
            return Err("no space left on device".to_owned());
        }
        self.unwritten.remove(pod);
        for (container, known) in record.known_ends() {
            self.host.forget_ends(&ContainerKey { pod: pod.clone(), container }, known);
        }
        self.disk.write(record, sync);
        Ok(())
    }

    fn start(&mut self, key: AttemptKey, pod: Arc<Pod>, polled: SimTime) -> Result<(), Violation> {
        self.host.check_start(&key, &pod)?;
        if let Some(process) = self.host.attempt(&key).filter(|process| process.lives()) {
            // A former daemon's order came through; whoever starts processes knows the number.
            process.known = true;
            let pid = process.pid;
            self.shim_tells(&key.container_key(), Input::Started { key, pid });
            return Ok(());
        }
        self.host.check_order(&key, &pod)?;
        self.check_room(&key, &pod)?;
        self.check_evicted(&key, polled)?;
        self.check_up(&key, polled)?;
        self.check_halted(&key, polled)?;
        if self.spent.contains_key(&key.container_key()) {
            return Err(violated(Invariant::EphemeralOnce, format!("{key} is started again")));
        }
        self.check_backoff(&key, polled)?;
        if self.faults.fails(&mut self.rng) {
            let reasons = [Reason::CreateContainerError, Reason::StartError, Reason::CreateContainerConfigError];
            let failure = failure(*self.rng.pick(&reasons));
            self.may_be_over(&key.pod, &pod);
            // It has begun, as far as it could.
            self.host.lost.insert(key.pod.clone());
            self.hear_later(Input::StartFailed { key, failure });
            return Ok(());
        }
        self.host.began.insert(pod.name.clone());
        self.spend(&key, &pod);
        let process = self.new_process(&key, pod, polled);
        let pid = process.pid;
        self.schedule_fate(&key.container_key(), &process);
        self.schedule_words(&key.container_key(), key.attempt, &process);
        self.host.begin(key.container_key(), process);
        self.summary.starts += 1;
        self.shim_tells(&key.container_key(), Input::Started { key, pid });
        Ok(())
    }

    fn spend(&mut self, key: &AttemptKey, pod: &Pod) {
        let of = |spec: &Container| spec.name == key.container && spec.kind == ContainerKind::Ephemeral;
        if pod.containers.iter().any(of) {
            self.spent.insert(key.container_key(), key.attempt);
        }
    }

    fn new_process(&mut self, key: &AttemptKey, spec: Arc<Pod>, polled: SimTime) -> Process {
        let wild = self.faults.mood == Mood::Wild;
        let crash_restart = self.is_crash_restart(key, polled);
        let own = spec.containers.iter().find(|container| container.name == key.container);
        let notify = own.and_then(|container| container.launch.notify);
        // Somebody asked for another one while this one was on its way.
        let replaced = self.replaced.get(&key.container_key()).is_some_and(|at| *at >= polled);
        let own_cause = replaced || self.resized.contains(&key.container_key());
        Process {
            attempt: key.attempt,
            pid: self.host.new_pid(),
            started: self.clock.stamp(),
            requests: spec.requests(),
            own: requests_of(&spec, &key.container),
            stop: self.cause_at_start(key, &spec, polled),
            spec,
            end: None,
            populated: true,
            stubborn: if wild && self.rng.chance(150) { self.rng.below(1..4) as u32 } else { 0 },
            leaves_children: wild && self.rng.chance(300),
            reacts: if self.rng.chance(700) { Some(self.rng.millis(1..8_000)) } else { None },
            healthy: !wild || self.rng.chance(700),
            shim_lives: true,
            known: true,
            ordered: polled,
            crash_restart,
            own_cause,
            hook_asked: false,
            hurried: false,
            speech: notify.map(Speech::new),
            began: self.clock.now,
            told: self.clock.now,
        }
    }

    /// What becomes of a new process if nobody does anything to it.
    fn schedule_fate(&mut self, key: &ContainerKey, process: &Process) {
        let spec = process.spec.containers.iter().find(|container| container.name == key.container);
        let wild = self.faults.mood == Mood::Wild;
        let init = spec.is_some_and(|container| container.kind == ContainerKind::Init);
        let job = process.spec.restart_policy != RestartPolicy::Always;
        if init || (wild && self.rng.chance(self.faults.crashy)) {
            let ok = if wild { self.rng.chance(if init || job { 700 } else { 200 }) } else { true };
            let status = match ok {
                true => ExitStatus::Code(0),
                false => *self.rng.pick(&[ExitStatus::Code(1), ExitStatus::Signal(11), ExitStatus::Code(2)]),
            };
            let life = if self.rng.chance(600) { self.rng.millis(0..2_000) } else { self.rng.millis(0..60_000) };
            self.later(life, Happening::Exit(key.clone(), process.attempt, status));
        }
        if wild && self.rng.chance(self.faults.shim_death) {
            let after = self.rng.millis(0..20_000);
            self.later(after, Happening::ShimDies(key.clone(), process.attempt));
        }
    }

    /// A process's main program ends, and perhaps its cgroup with it.
    pub(crate) fn process_ends(&mut self, key: &ContainerKey, attempt: Attempt, status: ExitStatus) {
        let (finished, at) = (self.clock.stamp(), self.clock.now);
        let attempt_key = AttemptKey { pod: key.pod.clone(), container: key.container.clone(), attempt };
        let Some(process) = self.host.attempt(&attempt_key).filter(|process| process.lives()) else { return };
        let seen = process.shim_lives;
        // Nobody sees how a process without a shim ends.
        let status = if seen { status } else { ExitStatus::Unknown };
        process.end = Some(End { status, oom: false, finished: finished.clone(), at });
        let (leaves_children, spec) = (process.leaves_children, Arc::clone(&process.spec));
        self.may_be_over(&key.pod, &spec);
        self.note(&Entry::Host(&format!("{attempt_key} ended with {status}")));
        if seen {
            self.hear_later(Input::Exited { key: attempt_key, status, oom: false, finished });
        }
        if !leaves_children {
            self.later(Duration::from_millis(1), Happening::Empty(key.clone(), attempt));
        }
    }

    /// The last process of an attempt is gone.
    pub(crate) fn cgroup_empties(&mut self, key: &ContainerKey, attempt: Attempt) {
        let attempt_key = AttemptKey { pod: key.pod.clone(), container: key.container.clone(), attempt };
        if let Some(process) = self.host.attempt(&attempt_key).filter(|process| process.populated) {
            process.populated = false;
            self.hear_later(Input::Emptied { key: attempt_key, message: String::new() });
        }
    }

    pub(crate) fn shim_dies(&mut self, key: &ContainerKey, attempt: Attempt) {
        let says_ready = self.rng.chance(200);
        let Some(process) = self.host.containers.get_mut(key).filter(|process| process.attempt == attempt) else {
            return;
        };
        process.shim_lives = false;
        self.note(&Entry::Host(&format!("the shim of {key} died")));
        if says_ready {
            self.process_says(key, attempt, Word::Ready);
        }
        self.hear_later(Input::ShimLost { key: key.clone() });
    }

    fn observe(&mut self, key: ContainerKey) {
        let (now, at) = (self.clock.now, self.clock.moment().boot);
        if let Some(process) = self.host.containers.get_mut(&key).filter(|process| !process.shim_lives) {
            process.speech.iter_mut().for_each(|speech| speech.is_heard_again(now, at));
        }
        let observation = self.host.observe(&key);
        if let Some(process) = self.host.containers.get_mut(&key) {
            process.shim_lives = true;
            process.known = matches!(observation, Observation::Running { .. });
        }
        let ends = self.host.recall(&key);
        let recalled = (!ends.is_empty()).then(|| Input::Recalled { key: key.clone(), ends });
        let shim = key.clone();
        for told in recalled.into_iter().chain([Input::Observed { key, observation }]) {
            self.shim_tells(&shim, told);
        }
    }

    fn signal(&mut self, key: &AttemptKey) -> Result<(), Violation> {
        self.host.consider_silence(key, self.clock.now);
        self.host.check_signal(key)?;
        self.check_turn(key)?;
        let wishes = self.intents.pods.get(&key.pod).map(Intent::wishes).unwrap_or_default();
        self.host.check_polite(key, &wishes, self.clock.now)?;
        let Some(process) = self.host.attempt(key).filter(|process| process.lives()) else { return Ok(()) };
        if let Some(after) = process.reacts {
            self.later(after, Happening::Exit(key.container_key(), key.attempt, ExitStatus::Code(0)));
        }
        self.say_at_signal(&key.container_key(), key.attempt);
        Ok(())
    }

    fn kill(&mut self, key: &AttemptKey) -> Result<(), Violation> {
        self.host.consider_silence(key, self.clock.now);
        self.host.check_kill(key, self.clock.now)?;
        self.process_ends(&key.container_key(), key.attempt, ExitStatus::Signal(9));
        let Some(process) = self.host.attempt(key) else {
            self.hear_later(Input::Emptied { key: key.clone(), message: String::new() });
            return Ok(());
        };
        if !process.populated {
            self.hear_later(Input::Emptied { key: key.clone(), message: String::new() });
        } else if process.stubborn > 0 {
            process.stubborn -= 1;
        } else {
            let after = self.rng.millis(1..60);
            self.later(after, Happening::Empty(key.container_key(), key.attempt));
        }
        Ok(())
    }

    fn probe(&mut self, key: &AttemptKey) -> ProbeOutcome {
        let calm = self.faults.mood == Mood::Calm;
        let healthy = self.host.attempt(key).is_some_and(|process| process.healthy);
        if self.faults.fails(&mut self.rng) {
            ProbeOutcome::Unavailable("no prober".to_owned())
        } else if calm || (healthy && self.rng.chance(950)) {
            ProbeOutcome::Success
        } else {
            ProbeOutcome::Failure("exit 1".to_owned())
        }
    }

    /// Some hooks hang, some fail.
    fn run_hook(&mut self, key: AttemptKey, kind: HookKind, hook: &Hook) {
        if kind == HookKind::PreStop {
            self.host.consider_silence(&key, self.clock.now);
        }
        if let Some(process) = self.host.attempt(&key).filter(|_| kind == HookKind::PreStop) {
            process.hook_asked = true;
        }
        let time = match hook {
            Hook::Sleep(time) => *time,
            Hook::Exec { .. } | Hook::Http(_) => Duration::ZERO,
        };
        let outcome = if self.faults.fails(&mut self.rng) {
            if let Some(process) = self.host.attempt(&key).filter(|_| kind == HookKind::PostStart) {
                process.own_cause = true;
                process.stop.add(self.clock.now, None);
            }
            HookOutcome::Failure("exit 1".to_owned())
        } else {
            HookOutcome::Success
        };
        let answer = Input::Hooked { key, kind, outcome };
        self.later_busy(pod_of_input(&answer), time, Happening::Hear(Box::new(answer)));
    }

    fn tear_down(&mut self, pod: &Pod) -> Result<(), Violation> {
        let uid = &pod.uid;
        if let Some((key, _)) = self.host.of_pod(uid).find(|(_, process)| process.populated) {
            let detail = format!("{key} is removed from the host while it lives");
            return Err(violated(Invariant::NothingStoppedWithoutCause, detail));
        }
        if self.faults.fails(&mut self.rng) {
            self.hear_later(Input::TearDownFailed { pod: uid.clone(), message: "busy".to_owned() });
            return Ok(());
        }
        self.host.containers.retain(|key, _| key.pod != *uid);
        self.host.mounted.remove(uid);
        self.host.removed.insert(uid.clone());
        self.hear_later(Input::TornDown { pod: uid.clone() });
        Ok(())
    }

    fn forget(&mut self, pod: PodUid) -> Result<(), Violation> {
        if self.faults.fails(&mut self.rng) {
            self.hear_later(Input::ForgetFailed { pod, message: "no space".to_owned() });
            return Ok(());
        }
        match self.intents.pods.get_mut(&pod) {
            Some(intent) if intent.deleted != Known::No => intent.gone = true,
            Some(_) | None => {
                return Err(violated(Invariant::NoIntentLost, format!("pod {pod} is forgotten without a deletion")));
            }
        }
        self.disk.remove(&pod);
        self.hear_later(Input::Forgotten { pod });
        Ok(())
    }
}

fn requests_of(pod: &Pod, name: &ContainerName) -> Amounts {
    let spec = pod.containers.iter().find(|container| container.name == *name);
    spec.map(|spec| spec.resources.requests()).unwrap_or_default()
}

fn failure(reason: Reason) -> StartFailure {
    StartFailure { reason, message: "it did not work".to_owned() }
}
