//! A test bench: a core, a clock, and hands that answer everything well unless a test takes an effect away.

#![expect(clippy::unwrap_used, reason = "the names and times of tests are fixed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_core::{
    Accepted, AttemptKey, BackoffFigures, Capacity, ContainerState, ContainerView, Core, Denied, Effect, Evidence,
    HookOutcome, Input, Moment, Observation, PodRecord, PodView, PressureRules, RequestId, Restored, StartFailure,
};
use barepod_model::*;

/// The bench.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) now: Duration,
    pub(crate) boot: &'static str,
    /// What the wall clock showed, less an offset, when this boot began.
    booted: Duration,
    /// Ledger files, as the last `Store` left them.
    pub(crate) disk: BTreeMap<PodUid, PodRecord>,
    pub(crate) replies: BTreeMap<RequestId, Result<Accepted, Denied>>,
    /// Everything else that was wanted, in order.
    pub(crate) log: Vec<Effect>,
    pub(crate) ledger: Ledger,
    /// Why nothing can be prepared at present.
    pub(crate) cannot_prepare: Option<Reason>,
    /// What the host has, from the next daemon on.
    pub(crate) capacity: Option<Capacity>,
    /// What the host is watched for, from the next daemon on.
    pub(crate) rules: Option<PressureRules>,
    /// Whether the host goes down, for the next daemon.
    pub(crate) goes_down: bool,
    requests: u64,
}

/// What the ledger does with a write.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ledger {
    Works,
    Fails,
    Stalls,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            core: Core::new(BootId("boot-a".into()), BackoffFigures::default()),
            now: Duration::from_secs(1000),
            boot: "boot-a",
            booted: Duration::ZERO,
            disk: BTreeMap::new(),
            replies: BTreeMap::new(),
            log: Vec::new(),
            ledger: Ledger::Works,
            cannot_prepare: None,
            capacity: None,
            rules: None,
            goes_down: false,
            requests: 0,
        }
    }

    /// On a host that has so much.
    pub(crate) fn with_capacity(capacity: Capacity) -> Self {
        let bench = Self::new();
        let core = bench.core.with_capacity(capacity.clone());
        Self { core, capacity: Some(capacity), ..Self::new() }
    }

    /// On a host that is watched by these rules.
    pub(crate) fn with_pressure(rules: PressureRules) -> Self {
        let bench = Self::new();
        let core = bench.core.with_pressure(rules.clone());
        Self { core, rules: Some(rules), ..Self::new() }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { boot: BootTime(self.now), wall: self.stamp().wall }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let wall = jiff::Timestamp::new(1_700_000_000 + (self.booted + self.now).as_secs() as i64, 0).unwrap();
        Stamp { boot_id: BootId(self.boot.into()), boot: BootTime(self.now), wall: WallTime(wall) }
    }

    /// Tells the core, and answers what is answered by itself: the ledger, preparing and removing.
    pub(crate) fn tell(&mut self, input: Input) {
        self.core.handle(self.moment(), input);
        self.answer();
    }

    fn answer(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            let answer = match &effect {
                Effect::Store { pod, revision, record, .. } => match self.ledger {
                    Ledger::Works => {
                        self.disk.insert(pod.clone(), (**record).clone());
                        Some(Input::Stored { pod: pod.clone(), revision: *revision })
                    }
                    Ledger::Fails => {
                        Some(Input::StoreFailed { pod: pod.clone(), revision: *revision, message: "no space".into() })
                    }
                    Ledger::Stalls => None,
                },
                Effect::Reply { request, result } => {
                    self.replies.insert(*request, result.clone());
                    None
                }
                Effect::Prepare { pod, generation } => {
                    let (pod, generation) = (pod.uid.clone(), *generation);
                    Some(match self.cannot_prepare {
                        Some(reason) => {
                            let failure = StartFailure { reason, message: "it is not there".into() };
                            Input::PrepareFailed { pod, generation, failure }
                        }
                        None => Input::Prepared { pod, generation },
                    })
                }
                Effect::TearDown { pod } => Some(Input::TornDown { pod: pod.uid.clone() }),
                Effect::Forget { pod } => {
                    self.disk.remove(pod);
                    Some(Input::Forgotten { pod: pod.clone() })
                }
                _ => None,
            };
            self.log.push(effect);
            if let Some(answer) = answer {
                self.core.handle(self.moment(), answer);
            }
        }
    }

    /// Time passes; the core is woken whenever it wants to be.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some((at, _)) = self.core.poll_deadline().filter(|(at, _)| at.0 <= until) {
            self.now = self.now.max(at.0);
            self.tell(Input::Wake);
        }
        self.now = until;
    }

    pub(crate) fn apply(&mut self, pod: &Pod) -> RequestId {
        self.apply_with(pod, Permit::Granted(Vec::new()))
    }

    /// An apply with this word of the policy.
    pub(crate) fn apply_with(&mut self, pod: &Pod, permit: Permit) -> RequestId {
        let request = self.request();
        self.tell(Input::Apply { request, pod: Box::new(pod.clone()), permit });
        request
    }

    pub(crate) fn delete(&mut self, pod: &Pod, grace: Option<u64>) -> RequestId {
        let request = self.request();
        let grace = grace.map(Duration::from_secs);
        self.tell(Input::Delete { request, pod: pod.uid.clone(), grace, evidence: Evidence::Operator });
        request
    }

    pub(crate) fn restart(&mut self, pod: &Pod) -> RequestId {
        let request = self.request();
        self.tell(Input::Restart { request, pod: pod.uid.clone(), container: None });
        request
    }

    pub(crate) fn halt(&mut self, pod: &Pod, halted: bool) -> RequestId {
        let request = self.request();
        self.tell(Input::Halt { request, pod: pod.uid.clone(), halted });
        request
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    pub(crate) fn denied(&self, request: RequestId) -> Reason {
        self.replies[&request].as_ref().expect_err("denied").reason
    }

    pub(crate) fn started(&mut self, key: &AttemptKey) {
        self.tell(Input::Started { key: key.clone(), pid: 100 + key.attempt.0 });
    }

    pub(crate) fn exited(&mut self, key: &AttemptKey, status: ExitStatus) {
        let finished = self.stamp();
        self.tell(Input::Exited { key: key.clone(), status, oom: false, finished });
    }

    /// The main process ends and nothing is left.
    pub(crate) fn ended(&mut self, key: &AttemptKey, status: ExitStatus) {
        self.exited(key, status);
        self.tell(Input::Emptied { key: key.clone(), message: String::new() });
    }

    /// Applies, and starts everything that is to be started.
    pub(crate) fn run(&mut self, pod: &Pod) {
        self.apply(pod);
        for key in self.starts() {
            self.started(&key);
        }
        self.log.clear();
    }

    /// Which attempts were to be started since the log was cleared.
    pub(crate) fn starts(&self) -> Vec<AttemptKey> {
        let key = |effect: &Effect| match effect {
            Effect::Start { key, .. } => Some(key.clone()),
            _ => None,
        };
        self.log.iter().filter_map(key).collect()
    }

    /// Which hooks were to be run since the log was cleared.
    pub(crate) fn hooks(&self) -> Vec<HookKind> {
        let kind = |effect: &Effect| match effect {
            Effect::Hook { kind, .. } => Some(*kind),
            _ => None,
        };
        self.log.iter().filter_map(kind).collect()
    }

    pub(crate) fn hooked(&mut self, key: &AttemptKey, kind: HookKind, outcome: HookOutcome) {
        self.tell(Input::Hooked { key: key.clone(), kind, outcome });
    }

    pub(crate) fn signals(&self) -> Vec<i32> {
        let signal = |effect: &Effect| match effect {
            Effect::Signal { signal, .. } => Some(*signal),
            Effect::Kill { .. } => Some(9),
            _ => None,
        };
        self.log.iter().filter_map(signal).collect()
    }

    pub(crate) fn told(&self, reason: Reason) -> bool {
        self.log.iter().any(|effect| matches!(effect, Effect::Emit(event) if event.reason == reason))
    }

    pub(crate) fn view(&self, pod: &Pod) -> PodView {
        self.core.pod_view(&pod.uid).expect("the pod is shown")
    }

    pub(crate) fn container(&self, pod: &Pod) -> ContainerView {
        self.view(pod).containers.remove(0)
    }

    pub(crate) fn waiting_reason(&self, pod: &Pod) -> Option<Reason> {
        match self.container(pod).state {
            ContainerState::Waiting { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The daemon is killed, and another one takes over what the disk holds.
    pub(crate) fn restart_daemon(&mut self) {
        let mut core = Core::new(BootId(self.boot.into()), BackoffFigures::default());
        if let Some(capacity) = &self.capacity {
            core = core.with_capacity(capacity.clone());
        }
        if let Some(rules) = &self.rules {
            core = core.with_pressure(rules.clone());
        }
        if self.goes_down {
            core = core.with_shutdown();
        }
        self.core = core;
        self.log.clear();
        let records = self.disk.values().map(|record| Restored::Record(Box::new(record.clone()))).collect();
        self.core.restore(self.moment(), records);
        self.answer();
    }

    /// The host too.
    pub(crate) fn reboot(&mut self) {
        self.boot = "boot-b";
        self.booted = self.now;
        self.now = Duration::from_secs(20);
        self.restart_daemon();
    }

    pub(crate) fn observed(&mut self, key: &AttemptKey, observation: Observation) {
        self.tell(Input::Observed { key: key.container_key(), observation });
    }

    pub(crate) fn running(&self, key: &AttemptKey) -> Observation {
        Observation::Running { attempt: key.attempt, pid: 7, started: self.stamp(), heard: None }
    }
}

/// The key of an attempt of the container `main`.
pub(crate) fn main_key(pod: &Pod, attempt: u32) -> AttemptKey {
    key_of(pod, "main", attempt)
}

/// The key of an attempt of a container.
pub(crate) fn key_of(pod: &Pod, container: &str, attempt: u32) -> AttemptKey {
    AttemptKey { pod: pod.uid.clone(), container: ContainerName::new(container).unwrap(), attempt: Attempt(attempt) }
}

/// A pod with one container, `main`, and a grace of 30 s.
pub(crate) fn pod(uid: &str, name: &str) -> Pod {
    Pod {
        uid: PodUid::new(uid).unwrap(),
        namespace: Namespace::new("default").unwrap(),
        name: PodName::new(name).unwrap(),
        source: Source::File,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        restart_policy: RestartPolicy::Always,
        grace: Duration::from_secs(30),
        active_deadline: None,
        readiness_gates: Vec::new(),
        priority: 0,
        bears_memory_pressure: false,
        depends_on: Vec::new(),
        data_paths: BTreeSet::new(),
        fs_group: None,
        resources: PodResources::default(),
        volumes: Vec::new(),
        containers: vec![container("main", ContainerKind::Regular)],
        manifest: Manifest::default(),
    }
}

pub(crate) fn on_path(mut pod: Pod, path: &str) -> Pod {
    pod.data_paths.insert(path.into());
    pod
}

pub(crate) fn container(name: &str, kind: ContainerKind) -> Container {
    Container {
        name: ContainerName::new(name).unwrap(),
        kind,
        image: "service:1".into(),
        preset: "service 1".into(),
        brought: barepod_model::Brought::default(),
        launch: launch(),
        resources: Resources::default(),
        resize_policy: ResizePolicy::default(),
        oom_group: false,
        stop: StopPlan::default(),
        startup: None,
        readiness: None,
        liveness: None,
        lifecycle: Lifecycle::default(),
        restart: ContainerRestart::default(),
        ephemeral: None,
        termination_message: TerminationMessage::default(),
        missing: None,
    }
}

fn launch() -> Launch {
    Launch {
        argv: vec!["/bin/service".into()],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: "/".into(),
        user: Credentials { uid: 1, gid: 1, groups: Vec::new() },
        root: Root::Host,
        read_only_root: false,
        mounts: Vec::new(),
        shared: Vec::new(),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: Bytes(0),
        capabilities: Vec::new(),
        no_new_privileges: true,
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: "host".into(),
        as_written: None,
        network: barepod_model::NetworkFiles::default(),
        confinement: barepod_model::Confinement::default(),
        notify: None,
    }
}

pub(crate) fn probe() -> Probe {
    Probe {
        handler: ProbeHandler::Exec { command: vec!["/bin/check".into()] },
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace: None,
    }
}
