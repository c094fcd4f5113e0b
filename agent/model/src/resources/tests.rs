//! Kubernetes' arithmetic on a few pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::{
    Confinement, ContainerName, Credentials, Env, Launch, Manifest, Namespace, NamespaceUse, NetworkFiles, PodName,
    PodResources, PodUid, RestartPolicy, Root, Source,
};

fn container(name: &str, kind: ContainerKind, resources: Resources) -> Container {
    Container {
        name: ContainerName::new(name).unwrap(),
        kind,
        image: String::new(),
        preset: String::new(),
        brought: crate::Brought::default(),
        launch: launch(),
        resources,
        resize_policy: ResizePolicy::default(),
        oom_group: false,
        stop: crate::StopPlan::default(),
        startup: None,
        readiness: None,
        liveness: None,
        lifecycle: crate::Lifecycle::default(),
        restart: crate::ContainerRestart::default(),
        ephemeral: None,
        termination_message: crate::TerminationMessage::default(),
        missing: None,
    }
}

fn launch() -> Launch {
    Launch {
        argv: Vec::new(),
        init: Vec::new(),
        follows_resources: crate::FollowsResources::default(),
        env: Env::default(),
        env_files: Vec::new(),
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
        stdin: crate::Stdin::Closed,
        hostname: String::new(),
        as_written: None,
        network: NetworkFiles::default(),
        confinement: Confinement::default(),
        notify: None,
    }
}

fn pod(containers: Vec<Container>) -> Pod {
    Pod {
        uid: PodUid::new("u").unwrap(),
        namespace: Namespace::new("default").unwrap(),
        name: PodName::new("db").unwrap(),
        source: Source::File,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        restart_policy: RestartPolicy::Always,
        grace: Duration::ZERO,
        active_deadline: None,
        readiness_gates: Vec::new(),
        priority: 0,
        bears_memory_pressure: false,
        depends_on: Vec::new(),
        data_paths: BTreeSet::new(),
        fs_group: None,
        resources: PodResources::default(),
        volumes: Vec::new(),
        containers,
        manifest: Manifest::default(),
    }
}

fn regular(resources: Resources) -> Container {
    container("main", ContainerKind::Regular, resources)
}

const GI: u64 = 1 << 30;

fn requests(cpu: u64, gi: u64) -> Resources {
    Resources { cpu_request: Some(MilliCpu(cpu)), memory_request: Some(Bytes(gi * GI)), ..Resources::default() }
}

fn fixed(cpu: u64, gi: u64) -> Resources {
    let limits =
        Resources { cpu_limit: Some(MilliCpu(cpu)), memory_limit: Some(Bytes(gi * GI)), ..Resources::default() };
    Resources { cpu_request: limits.cpu_limit, memory_request: limits.memory_limit, ..limits }
}

#[test]
fn the_class_follows_from_all_containers() {
    let class = |all: &[Resources]| pod(all.iter().copied().map(regular).collect()).qos();
    assert_eq!(class(&[Resources::default()]), QosClass::BestEffort);
    assert_eq!(class(&[requests(0, 0)]), QosClass::BestEffort, "zero says nothing");
    assert_eq!(class(&[fixed(500, 1), fixed(1000, 2)]), QosClass::Guaranteed);
    assert_eq!(class(&[fixed(500, 1), Resources::default()]), QosClass::Burstable);
    assert_eq!(class(&[requests(500, 1)]), QosClass::Burstable);
    let memory_alone = Resources { cpu_request: None, cpu_limit: None, ..fixed(0, 1) };
    assert_eq!(class(&[memory_alone]), QosClass::Burstable);
    let storage = Resources { storage_limit: Some(Bytes(1)), ..Resources::default() };
    assert_eq!(class(&[storage]), QosClass::BestEffort, "disk space does not count");
}

#[test]
fn what_the_pod_says_as_a_whole_decides_alone() {
    let mut pod = pod(vec![regular(Resources::default()), regular(requests(100, 0))]);
    pod.resources.level = Some(fixed(1000, 1));
    assert_eq!(pod.qos(), QosClass::Guaranteed);
    pod.resources.level = Some(requests(1000, 1));
    assert_eq!(pod.qos(), QosClass::Burstable);
}

#[test]
fn init_containers_run_one_by_one_beside_the_sidecars_before_them() {
    let pod = pod(vec![
        container("first", ContainerKind::Init, requests(700, 1)),
        container("side", ContainerKind::Sidecar, requests(200, 1)),
        container("second", ContainerKind::Init, requests(600, 5)),
        regular(requests(300, 2)),
    ]);
    let asked = pod.requests();
    assert_eq!((asked.cpu, asked.memory), (MilliCpu(800), Bytes(6 * GI)), "200m + 600m, and 1 + 5 Gi");
}

#[test]
fn a_container_without_limits_has_those_of_its_pod() {
    let mut pod = pod(vec![regular(Resources { cpu_limit: Some(MilliCpu(100)), ..Resources::default() })]);
    pod.resources.level = Some(fixed(1000, 1));
    let effective = pod.effective(&pod.containers[0]);
    assert_eq!((effective.cpu_limit, effective.memory_limit), (Some(MilliCpu(100)), Some(Bytes(GI))));
    assert_eq!(effective.memory_request, None);
}

#[test]
fn who_asks_for_more_memory_is_killed_later() {
    let score = |pod: &Pod, at: usize| pod.oom_score_adj(&pod.containers[at], Bytes(10 * GI));
    let one = |resources| pod(vec![regular(resources)]);
    assert_eq!(score(&one(Resources::default()), 0), 1000);
    assert_eq!(score(&one(fixed(1000, 1)), 0), -997);
    assert_eq!(score(&one(requests(100, 1)), 0), 900);
    assert_eq!(score(&one(requests(100, 0)), 0), 999, "before best effort in any case");
    assert_eq!(score(&one(requests(100, 10)), 0), 3, "after guaranteed in any case");
    // A sidecar stays as long as those that it serves.
    let small = container("side", ContainerKind::Sidecar, requests(1, 0));
    assert_eq!(score(&pod(vec![small, regular(requests(100, 5))]), 0), 500);
    // 4 Gi that no container asks for are shared by two.
    let mut shared = pod(vec![regular(requests(1, 1)), regular(requests(1, 0))]);
    shared.resources.level = Some(requests(10, 5));
    assert_eq!((score(&shared, 0), score(&shared, 1)), (700, 800));
}

#[test]
fn a_policy_restarts_only_for_what_it_names() {
    let policy = ResizePolicy { memory: OnResize::RestartContainer, ..ResizePolicy::default() };
    assert!(!policy.restarts(&requests(100, 1), &requests(200, 1)));
    assert!(policy.restarts(&requests(100, 1), &requests(100, 2)));
    assert!(!ResizePolicy::default().restarts(&requests(100, 1), &requests(200, 2)));
}
