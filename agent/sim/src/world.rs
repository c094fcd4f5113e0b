//! The world of one run: clocks, disk, host, one daemon at a time, and what is still to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_core::{BackoffFigures, Booking, Core, CpuTable, Effect, Input, PodView, RequestId, Restored};
use barepod_model::{Attempt, Bytes, ContainerKey, ExitStatus, PodUid, Reason};

use crate::clock::{Clock, SimTime};
use crate::disk::Disk;
use crate::faults::{Faults, Mood};
use crate::host::Host;
use crate::intent::{Ask, Intents, What};
use crate::pressure::{self, Siege};
use crate::rng::Rng;
use crate::speech::Word;
use crate::trace::{Entry, Sink};
use crate::violation::{Invariant, Violation, violated};
use crate::workload;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inputs that the core handled.
    pub inputs: u64,
    /// Daemons that were killed.
    pub crashes: u64,
    /// Power cuts, and ends of shutdowns.
    pub reboots: u64,
    /// Times the host began to go down.
    pub shutdowns: u64,
    /// Processes started.
    pub starts: u64,
    /// Times a second core was made from the ledger and compared.
    pub comparisons: u64,
}

impl Summary {
    /// Both runs.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            inputs: self.inputs + other.inputs,
            crashes: self.crashes + other.crashes,
            reboots: self.reboots + other.reboots,
            shutdowns: self.shutdowns + other.shutdowns,
            starts: self.starts + other.starts,
            comparisons: self.comparisons + other.comparisons,
        }
    }
}

/// The request and the limit.
type Memory = (Option<Bytes>, Option<Bytes>);

/// Something that is still to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The daemon carries an effect out.
    CarryOut(Box<Effect>, SimTime),
    /// The daemon hears.
    Hear(Box<Input>),
    /// A process ends by itself.
    Exit(ContainerKey, Attempt, ExitStatus),
    /// What a process left behind ends.
    Empty(ContainerKey, Attempt),
    /// A shim dies.
    ShimDies(ContainerKey, Attempt),
    /// A process says something of itself.
    Says(ContainerKey, Attempt, Word),
    /// The host is measured, and so many times after that.
    Survey(u64),
    /// Somebody does or asks something.
    Turn,
    /// A host that goes down has waited.
    ShutdownEnds,
    /// A daemon starts.
    DaemonStarts,
}

/// One run.
pub struct World<'a> {
    pub(crate) rng: Rng,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) host: Host,
    pub(crate) intents: Intents,
    pub(crate) faults: Faults,
    pub(crate) core: Option<Core>,
    pub(crate) figures: BackoffFigures,
    pub(crate) summary: Summary,
    /// Pods of which the last ledger write failed.
    pub(crate) unwritten: BTreeSet<PodUid>,
    /// How many happenings there are to come for a pod from or to the daemon.
    pub(crate) busy: BTreeMap<PodUid, u32>,
    /// When effects of a pod or container are carried out, one after the other.
    pub(crate) lanes: BTreeMap<String, SimTime>,
    pub(crate) next_number: u64,
    /// Inputs that may be heard again.
    pub(crate) heard: Vec<Input>,
    pub(crate) down_since: SimTime,
    /// When somebody last asked for new processes of a container.
    pub(crate) replaced: BTreeMap<ContainerKey, SimTime>,
    /// So many pods of the source `file` are allowed at once.
    pub(crate) most: Option<u32>,
    /// Who runs on which CPUs.
    pub(crate) cpus: CpuTable,
    /// Containers that may be restarted whenever there is room for what a change asks for.
    pub(crate) resized: BTreeSet<ContainerKey>,
    /// The requests and limits of memory that were ever wanted for a container.
    pub(crate) memories: BTreeMap<ContainerKey, BTreeSet<Memory>>,
    /// Ephemeral containers that have been started, by which attempt.
    pub(crate) spent: BTreeMap<ContainerKey, Attempt>,
    /// Pods that were told of more disk space than they may use, or were evicted for others.
    pub(crate) gluttons: BTreeSet<PodUid>,
    /// Since when pods are shown as evicted.
    pub(crate) evicted: BTreeMap<PodUid, SimTime>,
    /// What is known of evictions for others.
    pub(crate) siege: Siege,
    /// Since when the host goes down.
    pub(crate) goes_down: Option<SimTime>,
    /// What others have booked on the host.
    pub(crate) others: Booking,
    queue: BTreeMap<(SimTime, u64), Happening>,
    next_event: u64,
    turns: u64,
    sink: Sink<'a>,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.clock.now).finish_non_exhaustive()
    }
}

/// How long it may take until everything has come right, in simulated time and in steps.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
const SETTLING: Duration = Duration::from_secs(60);
const STEPS: u32 = 200_000;

fn is_disrupted(view: &PodView) -> bool {
    view.conditions.iter().any(|condition| condition.kind == "DisruptionTarget")
}

impl<'a> World<'a> {
    /// The world of this seed.
    #[must_use]
    pub fn new(seed: u64, sink: Sink<'a>) -> Self {
        let mut rng = Rng::new(seed);
        let figures = *rng.pick(&[
            BackoffFigures::default(),
            BackoffFigures { initial: Duration::from_secs(1), max: Duration::from_secs(8) },
            BackoffFigures { initial: Duration::from_secs(1), max: Duration::from_secs(8) },
        ]);
        let faults = Faults::draw(&mut rng);
        let turns = rng.below(8..40);
        let most = *rng.pick(&[None, None, None, Some(1), Some(2)]);
        Self {
            rng,
            clock: Clock::new(),
            disk: Disk::default(),
            host: Host::default(),
            intents: Intents::default(),
            faults,
            core: None,
            figures,
            summary: Summary::default(),
            unwritten: BTreeSet::new(),
            busy: BTreeMap::new(),
            lanes: BTreeMap::new(),
            next_number: 0,
            heard: Vec::new(),
            down_since: SimTime::ZERO,
            replaced: BTreeMap::new(),
            most,
            cpus: CpuTable::default(),
            resized: BTreeSet::new(),
            memories: BTreeMap::new(),
            spent: BTreeMap::new(),
            gluttons: BTreeSet::new(),
            evicted: BTreeMap::new(),
            siege: Siege::default(),
            goes_down: None,
            others: workload::others(seed),
            queue: BTreeMap::new(),
            next_event: 0,
            turns,
            sink,
        }
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self) -> Result<Summary, Violation> {
        self.start_daemon()?;
        self.later(Duration::from_millis(10), Happening::Turn);
        let mut deadline = None;
        for _ in 0..STEPS {
            if self.turns == 0 && self.faults.mood == Mood::Wild {
                self.calm_down()?;
            }
            if self.faults.mood == Mood::Calm {
                let deadline = *deadline.get_or_insert(self.clock.now + PATIENCE);
                // Long enough for everything that is tried again to have been tried.
                if self.clock.now + PATIENCE > deadline + SETTLING && self.has_converged() {
                    self.compare(true)?;
                    return Ok(self.summary);
                }
                if self.clock.now > deadline {
                    break;
                }
            }
            self.step()?;
        }
        Err(violated(Invariant::Converges, self.what_is_wrong()))
    }

    /// The next thing happens, or the core's next deadline comes.
    fn step(&mut self) -> Result<(), Violation> {
        let wake = self.core.as_ref().and_then(Core::poll_deadline).map(|(at, _)| self.clock.to_sim(at));
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        match (wake, next) {
            (Some(wake), next) if next.is_none_or(|next| wake < next) => {
                self.clock.now = self.clock.now.max(wake);
                self.hear(Input::Wake)?;
            }
            (_, Some(_)) => {
                if let Some(((at, _), happening)) = self.queue.pop_first() {
                    self.clock.now = self.clock.now.max(at);
                    self.happen(happening)?;
                }
            }
            (_, None) => self.clock.now += Duration::from_secs(1),
        }
        self.keep_deadlines();
        if self.core.is_some() {
            self.host.check(self.clock.now)?;
        }
        if self.faults.mood == Mood::Wild && self.rng.chance(30) {
            self.compare(false)?;
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::CarryOut(effect, polled) => {
                self.less_busy(crate::carry::pod_of_effect(&effect));
                self.carry_out(*effect, polled)
            }
            Happening::Hear(input) => {
                self.less_busy(crate::carry::pod_of_input(&input));
                self.hear(*input)
            }
            Happening::Exit(key, attempt, status) => {
                self.process_ends(&key, attempt, status);
                Ok(())
            }
            Happening::Empty(key, attempt) => {
                self.cgroup_empties(&key, attempt);
                Ok(())
            }
            Happening::ShimDies(key, attempt) => {
                self.shim_dies(&key, attempt);
                Ok(())
            }
            Happening::Says(key, attempt, word) => {
                self.process_says(&key, attempt, word);
                Ok(())
            }
            Happening::Survey(more) => self.take_survey(more),
            Happening::Turn => self.turn(),
            Happening::ShutdownEnds => self.shutdown_ends(),
            Happening::DaemonStarts => self.start_daemon(),
        }
    }

    fn turn(&mut self) -> Result<(), Violation> {
        if self.faults.mood == Mood::Calm || self.turns == 0 {
            return Ok(());
        }
        self.turns -= 1;
        let pause = if self.rng.chance(500) { self.rng.millis(1..200) } else { self.rng.millis(200..30_000) };
        self.later(pause, Happening::Turn);
        self.take_turn()
    }

    /// The core hears something, and its effects are sent off one by one; between any two the daemon may be killed.
    pub(crate) fn hear(&mut self, input: Input) -> Result<(), Violation> {
        let now = self.clock.moment();
        if self.core.is_none() {
            return Ok(());
        }
        self.note(&Entry::Input(&input));
        self.hearing(&input);
        let Some(core) = &mut self.core else { return Ok(()) };
        let woken = input == Input::Wake;
        core.handle(now, input.clone());
        if let Some((at, why)) = core.poll_deadline().filter(|(at, _)| woken && *at <= now.boot) {
            return Err(violated(Invariant::DeadlinesPass, format!("{why:?} is due since {at:?} and stays so")));
        }
        self.summary.inputs += 1;
        self.remember(input);
        self.drain_effects()
    }

    pub(crate) fn drain_effects(&mut self) -> Result<(), Violation> {
        while let Some(effect) = self.core.as_mut().and_then(Core::poll_effect) {
            if self.faults.kills_daemon(&mut self.rng) {
                self.kill_daemon();
                return Ok(());
            }
            self.note(&Entry::Effect(&effect));
            self.send_off(effect)?;
        }
        self.check_core()
    }

    fn check_core(&mut self) -> Result<(), Violation> {
        let Some(core) = &self.core else { return Ok(()) };
        self.intents.check(core.view(), self.most)?;
        let is_evicted = |view: &&PodView| view.reason == Some(Reason::Evicted);
        let evicted: BTreeSet<_> = core.view().filter(is_evicted).map(|view| view.uid.clone()).collect();
        self.evicted.retain(|pod, _| evicted.contains(pod));
        for pod in evicted {
            self.evicted.entry(pod).or_insert(self.clock.now);
        }
        // What is written may not have been heard of yet.
        let written =
            self.disk.versions().filter(|record| record.failure.as_ref().is_some_and(|f| f.disruption.is_some()));
        let written = written.map(|record| record.pod.uid.clone());
        let shown = core.view().filter(|view| is_disrupted(view)).map(|view| view.uid.clone());
        let disrupted: BTreeSet<_> = shown.chain(written).collect();
        self.siege.keep(|pod| disrupted.contains(pod));
        let now = self.clock.to_boot(self.clock.now);
        match core.poll_deadline() {
            Some((at, barepod_core::Deadline::Backoff(key))) if at.since(now) > self.figures.max => {
                Err(violated(Invariant::SaneBackoff, format!("{key} waits for {:?}", at.since(now))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A new daemon takes over what the ledger holds.
    fn start_daemon(&mut self) -> Result<(), Violation> {
        let core = Core::new(self.clock.boot_id(), self.figures).with_capacity(workload::capacity());
        let mut core = core.with_others(self.others.clone()).with_pressure(pressure::rules());
        if self.goes_down.is_some() {
            core = core.with_shutdown();
        }
        self.siege.daemon_starts(self.clock.now);
        let records = self.disk.records().map(|record| Restored::Record(Box::new(record.clone()))).collect();
        let down = self.clock.now.saturating_sub(self.down_since);
        self.host.postpone_stops(down, self.clock.now);
        self.host.containers.values_mut().for_each(|process| process.known = false);
        self.note(&Entry::Host("a daemon starts"));
        core.restore(self.clock.moment(), records);
        self.core = Some(core);
        self.drain_effects()
    }

    pub(crate) fn kill_daemon(&mut self) {
        if self.core.is_none() {
            return;
        }
        self.note(&Entry::Host("the daemon is killed"));
        self.core = None;
        self.summary.crashes += 1;
        self.down_since = self.clock.now;
        self.queue.retain(|_, happening| !matches!(happening, Happening::CarryOut(..) | Happening::Hear(_)));
        self.busy.clear();
        self.lanes.clear();
        self.heard.clear();
        let removed = std::mem::take(&mut self.host.removed);
        self.host.lost.extend(removed.into_iter().filter(|pod| self.unwritten.contains(pod)));
        self.unwritten.clear();
        self.lose_answers();
        let down = if self.rng.chance(700) { self.rng.millis(1..300) } else { self.rng.millis(300..20_000) };
        self.later(down, Happening::DaemonStarts);
    }

    /// Somebody asks for something.
    pub(crate) fn ask(&mut self, what: What) -> Result<(), Violation> {
        if self.core.is_none() {
            return Ok(());
        }
        self.next_number += 1;
        let request = RequestId(self.next_number);
        let input = what.input(request);
        self.intents.asks.insert(request, Ask { what, at: self.clock.now });
        self.hear(input)
    }

    pub(crate) fn later(&mut self, after: Duration, happening: Happening) {
        self.next_event += 1;
        self.queue.insert((self.clock.now + after, self.next_event), happening);
    }

    /// The daemon will do or hear something about a pod.
    pub(crate) fn later_busy(&mut self, pod: Option<PodUid>, after: Duration, happening: Happening) {
        if let Some(pod) = pod {
            *self.busy.entry(pod).or_default() += 1;
        }
        self.later(after, happening);
    }

    fn less_busy(&mut self, pod: Option<PodUid>) {
        if let Some(count) = pod.and_then(|pod| self.busy.get_mut(&pod)) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn is_busy(&self, pod: &PodUid) -> bool {
        self.busy.get(pod).is_some_and(|count| *count > 0)
    }

    /// The daemon hears this after a moment, if it still lives.
    pub(crate) fn hear_later(&mut self, input: Input) {
        self.hear_in_order([input]);
    }

    /// The same of what a shim tells of its process: on its one connection nothing overtakes what was told before.
    pub(crate) fn shim_tells(&mut self, key: &ContainerKey, input: Input) {
        if self.core.is_none() {
            return;
        }
        let after = self.faults.latency(&mut self.rng);
        let now = self.clock.now;
        let told = self.host.containers.get_mut(key).map(|process| {
            process.told = process.told.max(now + after);
            process.told
        });
        let after = told.map_or(after, |told| told.saturating_sub(now));
        self.later_busy(crate::carry::pod_of_input(&input), after, Happening::Hear(Box::new(input)));
    }

    /// The same of several things that one task tells one after another.
    pub(crate) fn hear_in_order(&mut self, inputs: impl IntoIterator<Item = Input>) {
        if self.core.is_some() {
            let after = self.faults.latency(&mut self.rng);
            for input in inputs {
                self.later_busy(crate::carry::pod_of_input(&input), after, Happening::Hear(Box::new(input)));
            }
        }
    }

    pub(crate) fn note(&mut self, entry: &Entry<'_>) {
        if let Some(sink) = &mut self.sink {
            sink(self.clock.now, entry);
        }
    }

    pub(crate) fn queue_is_quiet(&self) -> bool {
        self.busy.values().all(|count| *count == 0)
    }

    /// What was to happen to processes happens no more.
    pub(crate) fn drop_host_events(&mut self) {
        self.queue.retain(|_, happening| matches!(happening, Happening::Turn | Happening::DaemonStarts));
    }

    pub(crate) fn end_turns(&mut self) {
        self.turns = 0;
    }
}
