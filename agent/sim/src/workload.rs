//! What people ask for: pods made up at random, and changes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use barepod_core::{Booking, Capacity, CpuPool};
use barepod_model::{
    Amounts, AsWritten, Bytes, Container, ContainerKind, ContainerName, ContainerRestart, Contents, Credentials, Env,
    Ephemeral, ExitCodes, Hook, Launch, Lifecycle, Manifest, MilliCpu, Namespace, NamespaceUse, Notify, NotifyAccess,
    OnResize, Pod, PodName, PodRef, PodResources, PodUid, Probe, ProbeHandler, Projected, ProjectedFile, ResizePolicy,
    Resources, RestartAction, RestartPolicy, RestartRule, Root, Source, StopPlan, StopStage, TerminationMessage,
    Volume, VolumeKind,
};

use crate::pressure::PRIORITIES;
use crate::rng::Rng;

const NAMES: &[&str] = &["db", "web", "job", "log"];
/// The one readiness gate there is.
pub(crate) const GATE: &str = "example.com/gate";
const PATHS: &[&str] = &["/data/a", "/data/a/inner", "/data/b", "/data/c", "/data/bc"];

/// A pod that nobody has asked for before.
pub(crate) fn new_pod(rng: &mut Rng, number: u64) -> Pod {
    let mut containers = Vec::new();
    if rng.chance(150) {
        containers.push(container(rng, "early", ContainerKind::Sidecar));
    }
    if rng.chance(250) {
        containers.push(container(rng, "init", ContainerKind::Init));
    }
    if rng.chance(150) {
        containers.push(container(rng, "late", ContainerKind::Sidecar));
    }
    containers.push(container(rng, "main", ContainerKind::Regular));
    if rng.chance(400) {
        containers.push(container(rng, "side", ContainerKind::Regular));
    }
    Pod {
        uid: PodUid::new(format!("uid-{number}")).expect("letters, digits and a dash"),
        namespace: Namespace::new("default").expect("a label"),
        name: PodName::new(*rng.pick(NAMES)).expect("a label"),
        source: if rng.chance(930) { Source::File } else { Source::Nomad },
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        restart_policy: *rng.pick(&[
            RestartPolicy::Always,
            RestartPolicy::Always,
            RestartPolicy::Always,
            RestartPolicy::OnFailure,
            RestartPolicy::Never,
        ]),
        grace: seconds(rng, &[0, 1, 5, 30]),
        active_deadline: rng.chance(60).then(|| seconds(rng, &[5, 60, 600])),
        readiness_gates: if rng.chance(100) { vec![GATE.to_owned()] } else { Vec::new() },
        priority: *rng.pick(PRIORITIES),
        bears_memory_pressure: false,
        depends_on: if rng.chance(150) { vec![some_pod(rng)] } else { Vec::new() },
        data_paths: some_paths(rng),
        fs_group: None,
        resources: PodResources::default(),
        volumes: if rng.chance(200) { vec![volume(rng)] } else { Vec::new() },
        containers,
        manifest: Manifest::default(),
    }
}

/// Its contents are made from something that may not exist.
fn volume(rng: &mut Rng) -> Volume {
    let contents = Contents(rng.below(0..100).to_string().into_bytes());
    let files = vec![ProjectedFile { path: "file".into(), contents, mode: 0o644 }];
    let missing = rng.chance(300).then(|| "configmap \"c\" not found".to_owned());
    Volume {
        name: "config".to_owned(),
        claim: None,
        kind: VolumeKind::Projected(Projected { files, in_memory: true, missing }),
    }
}

fn missing(rng: &mut Rng) -> Option<String> {
    rng.chance(100).then(|| "secret \"s\" not found".to_owned())
}

/// A launch with a value that is looked up elsewhere.
fn looked_up(rng: &mut Rng, mut launch: Launch) -> Launch {
    let words = std::mem::take(&mut launch.argv);
    launch.argv = vec![words[0].clone(), words[1].clone(), rng.below(0..1000).to_string()];
    launch.env.0.insert("VALUE".to_owned(), launch.argv[2].clone());
    let env = Env([("VALUE".to_owned(), "secret s/value".to_owned())].into());
    launch.as_written =
        Some(AsWritten { command: words, args: Vec::new(), working_dir: None, env, sources: Vec::new() });
    launch
}

fn some_pod(rng: &mut Rng) -> PodRef {
    PodRef {
        namespace: Namespace::new("default").expect("a label"),
        name: PodName::new(*rng.pick(NAMES)).expect("a label"),
    }
}

fn seconds(rng: &mut Rng, list: &[u64]) -> Duration {
    Duration::from_secs(*rng.pick(list))
}

fn some_paths(rng: &mut Rng) -> BTreeSet<PathBuf> {
    let count = rng.below(0..3);
    (0..count).map(|_| PathBuf::from(*rng.pick(PATHS))).collect()
}

fn container(rng: &mut Rng, name: &str, kind: ContainerKind) -> Container {
    let mut stages = vec![StopStage { signal: 2, before_end: None }];
    if rng.chance(400) {
        stages.push(StopStage { signal: 3, before_end: Some(seconds(rng, &[1, 5, 20])) });
    }
    let lasts = kind.lasts();
    let probe = |rng: &mut Rng, chance| (lasts && rng.chance(chance)).then(|| probe(rng));
    let hook = |rng: &mut Rng| rng.chance(150).then(|| Hook::Sleep(seconds(rng, &[0, 1, 10, 100])));
    let lifecycle = if lasts { Lifecycle { post_start: hook(rng), pre_stop: hook(rng) } } else { Lifecycle::default() };
    Container {
        name: ContainerName::new(name).expect("a label"),
        kind,
        image: "service:1".to_owned(),
        preset: "service 1".to_owned(),
        brought: barepod_model::Brought::default(),
        launch: {
            let launch = Launch { notify: notify(rng, lasts), ..launch(0) };
            if rng.chance(300) { looked_up(rng, launch) } else { launch }
        },
        resources: if kind == ContainerKind::Ephemeral { Resources::default() } else { resources(rng) },
        resize_policy: resize_policy(rng),
        oom_group: false,
        stop: StopPlan { stages, min_grace: seconds(rng, &[0, 0, 10, 60]) },
        startup: probe(rng, 150),
        readiness: probe(rng, 200),
        liveness: probe(rng, 200),
        lifecycle,
        restart: if lasts && kind != ContainerKind::Sidecar { restart(rng) } else { ContainerRestart::default() },
        ephemeral: None,
        termination_message: TerminationMessage::default(),
        missing: missing(rng),
    }
}

/// Of everything that the host has, a few pods get all that there is.
fn resources(rng: &mut Rng) -> Resources {
    let cpu = MilliCpu(*rng.pick(&[0, 100, 1000, 2000]));
    let storage = rng.chance(300).then_some(STORAGE_LIMIT);
    let memory = Bytes(rng.below(1..4) << 30);
    let asked = Resources {
        cpu_request: Some(cpu),
        memory_request: Some(memory),
        storage_limit: storage,
        ..Resources::default()
    };
    match rng.chance(350) {
        true => Resources { cpu_limit: Some(cpu), memory_limit: Some(memory), ..asked },
        false => asked,
    }
}

/// What a container may use of the disk, where that is limited.
pub(crate) const STORAGE_LIMIT: Bytes = Bytes(1 << 20);

/// What the host has for pods: less than four large ones want.
pub(crate) fn capacity() -> Capacity {
    let amounts =
        Amounts { cpu: MilliCpu(5000), memory: Bytes(14 << 30), storage: Bytes(1 << 40), ..Amounts::default() };
    let cores = vec![[0, 4].into(), [1, 5].into(), [2, 6].into(), [3].into()];
    let cpus = CpuPool { cores, reserved: Some([0].into()) };
    Capacity { amounts, pods: Some(6), cpus, ..Capacity::default() }
}

/// What others have of it, on one host of four, until all faults cease.
pub(crate) fn others(seed: u64) -> Booking {
    let amounts = Amounts { cpu: MilliCpu(1500), memory: Bytes(4 << 30), ..Amounts::default() };
    let booking = Booking { amounts, cpus: [1, 5].into(), ..Booking::default() };
    if seed.is_multiple_of(4) { booking } else { Booking::default() }
}

fn resize_policy(rng: &mut Rng) -> ResizePolicy {
    let memory = if rng.chance(300) { OnResize::RestartContainer } else { OnResize::NotRequired };
    ResizePolicy { cpu: OnResize::NotRequired, memory }
}

/// Its service says how it is.
fn notify(rng: &mut Rng, lasts: bool) -> Option<Notify> {
    let start_timeout = rng.chance(700).then(|| Duration::from_secs(15));
    let watchdog = rng.chance(500).then(|| Duration::from_secs(15));
    (lasts && rng.chance(200)).then_some(Notify { access: NotifyAccess::Main, start_timeout, watchdog })
}

/// Crashes in this world end with 1, 2 or signal 11.
fn restart(rng: &mut Rng) -> ContainerRestart {
    let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
    let policy = rng.chance(60).then(|| *rng.pick(&policies));
    let action = *rng.pick(&[RestartAction::Restart, RestartAction::RestartAllContainers]);
    let rule = RestartRule { codes: ExitCodes::In(vec![2]), action };
    ContainerRestart { policy, rules: if rng.chance(80) { vec![rule] } else { Vec::new() } }
}

fn probe(rng: &mut Rng) -> Probe {
    Probe {
        handler: ProbeHandler::Exec { command: vec!["/bin/check".to_owned()] },
        initial_delay: seconds(rng, &[0, 3]),
        period: seconds(rng, &[5, 20]),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: *rng.pick(&[1, 3]),
        termination_grace: rng.chance(200).then(|| seconds(rng, &[0, 2, 40])),
    }
}

fn launch(version: u64) -> Launch {
    Launch {
        argv: vec!["/usr/bin/service".to_owned(), format!("v{version}")],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: "/".into(),
        user: Credentials { uid: 100, gid: 100, groups: Vec::new() },
        root: Root::Host,
        read_only_root: true,
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
        hostname: "host".to_owned(),
        as_written: None,
        network: barepod_model::NetworkFiles::default(),
        confinement: barepod_model::Confinement::default(),
        notify: None,
    }
}

/// Another wish for the same pod; sometimes the same one.
pub(crate) fn changed(rng: &mut Rng, pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    let is_regular = |container: &Container| container.kind == ContainerKind::Regular;
    let last = pod.containers.iter().rposition(is_regular).expect("every pod has one");
    let any = rng.below(0..pod.containers.len() as u64) as usize;
    match rng.below(0..13) {
        0 => {}
        1 => {
            pod.labels.insert("turn".to_owned(), rng.below(0..1000).to_string());
        }
        2 => pod.grace = seconds(rng, &[0, 1, 5, 30]),
        3 => pod.containers[last].resources = resources(rng),
        4 => pod.containers[any].launch = launch(rng.below(1..1000)),
        5 => pod.containers[last].launch = launch(rng.below(1..1000)),
        6 => pod.data_paths = some_paths(rng),
        7 => pod.containers[last].readiness = rng.chance(500).then(|| probe(rng)),
        8 => pod.volumes.iter_mut().for_each(|known| *known = volume(rng)),
        9 => pod.containers[any].missing = missing(rng),
        10 => {
            let container = &mut pod.containers[any];
            if let Some(words) = container.launch.as_written.take() {
                container.launch.argv = words.command;
                container.launch = looked_up(rng, container.launch.clone());
            }
        }
        11 => match pod.containers.iter().position(|container| container.name.as_str() == "side") {
            Some(at) => {
                pod.containers.remove(at);
            }
            None => pod.containers.insert(last + 1, container(rng, "side", ContainerKind::Regular)),
        },
        _ => look_into(rng, &mut pod),
    }
    pod.containers.iter_mut().for_each(write_down);
    pod
}

/// Adds an ephemeral container; sometimes one is taken away, which is refused.
fn look_into(rng: &mut Rng, pod: &mut Pod) {
    let names = ["look", "look-again"];
    match names.iter().find(|name| pod.containers.iter().all(|container| container.name.as_str() != **name)) {
        Some(name) => pod.containers.push(container(rng, name, ContainerKind::Ephemeral)),
        None => drop(pod.containers.pop()),
    }
}

/// What is said of an ephemeral container is what its process is started with.
fn write_down(container: &mut Container) {
    let words = started_with(&container.launch).1.join(" ");
    let ephemeral = container.kind == ContainerKind::Ephemeral;
    container.ephemeral = ephemeral.then_some(Ephemeral { target: None, written: Manifest(words) });
}

/// The containers whose processes another wish may end: worked out here once more, on purpose not by the core.
pub(crate) fn touched(before: &Pod, after: &Pod) -> BTreeSet<ContainerName> {
    let names = || before.containers.iter().chain(&after.containers).map(|container| container.name.clone());
    let looks = |name: &ContainerName| {
        let mut all = before.containers.iter().chain(&after.containers);
        all.any(|container| container.name == *name && container.kind == ContainerKind::Ephemeral)
    };
    let process = |pod: &Pod, name: &ContainerName| {
        pod.containers.iter().find(|container| container.name == *name).map(|container| started_with(&container.launch))
    };
    let inits = |pod: &Pod| {
        let inits = pod.containers.iter().filter(|container| container.kind == ContainerKind::Init);
        inits.map(|container| started_with(&container.launch)).collect::<Vec<_>>()
    };
    let volumes = |pod: &Pod| pod.volumes.iter().map(|volume| volume.name.clone()).collect::<Vec<_>>();
    let whole = before.data_paths != after.data_paths || volumes(before) != volumes(after);
    if whole || inits(before) != inits(after) {
        return names().collect();
    }
    names().filter(|name| !looks(name) && process(before, name) != process(after, name)).collect()
}

/// What a process stands or falls with: the words, where there are some, and not the values behind them.
pub(crate) fn started_with(launch: &Launch) -> (bool, Vec<String>) {
    match &launch.as_written {
        Some(words) => (true, words.command.clone()),
        None => (false, launch.argv.clone()),
    }
}

/// Whether a volume is to be made from something that does not exist.
pub(crate) fn lacks_volume(pod: &Pod) -> bool {
    pod.volumes.iter().any(|volume| match &volume.kind {
        VolumeKind::Projected(projected) => projected.missing.is_some(),
        VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } | VolumeKind::Claim { .. } => false,
    })
}

/// How long a container's stop takes by its own wish.
pub(crate) fn own_grace(pod: &Pod, name: &ContainerName) -> Duration {
    min_grace(pod, name).max(pod.grace)
}

/// What nobody has less than who is asked to end, unless a grace is given with the deletion.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// The least that its plan gives it.
pub(crate) fn min_grace(pod: &Pod, name: &ContainerName) -> Duration {
    let plan = pod.containers.iter().find(|container| container.name == *name);
    plan.map(|container| container.stop.min_grace).unwrap_or_default().max(LEAST_GRACE)
}

/// Whether two pods must not be there at once because of their data.
pub(crate) fn share_data(a: &Pod, b: &Pod) -> bool {
    a.data_paths.iter().any(|a| b.data_paths.iter().any(|b| a.starts_with(b) || b.starts_with(a)))
}
