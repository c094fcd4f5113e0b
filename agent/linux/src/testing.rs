//! Pods for unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_model::*;

/// Who runs the test.
pub(crate) fn me() -> Credentials {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Credentials { uid, gid, groups: Vec::new() }
}

pub(crate) fn launch() -> Launch {
    Launch {
        argv: vec!["/bin/true".to_owned()],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: "/".into(),
        user: me(),
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
        stdin: Stdin::Closed,
        env_files: Vec::new(),
        hostname: "db-0".to_owned(),
        as_written: None,
        network: NetworkFiles::default(),
        confinement: Confinement::default(),
        notify: None,
    }
}

pub(crate) fn container(name: &str) -> Container {
    Container {
        name: ContainerName::new(name).unwrap(),
        kind: ContainerKind::Regular,
        image: "db".to_owned(),
        preset: "db".to_owned(),
        brought: Brought::default(),
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

pub(crate) fn pod(uid: &str, containers: Vec<Container>) -> Pod {
    Pod {
        uid: PodUid::new(uid).unwrap(),
        namespace: Namespace::new("ns").unwrap(),
        name: PodName::new("db-0").unwrap(),
        source: Source::File,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        restart_policy: RestartPolicy::Always,
        active_deadline: None,
        readiness_gates: Vec::new(),
        priority: 0,
        bears_memory_pressure: false,
        depends_on: Vec::new(),
        grace: Duration::from_secs(30),
        data_paths: BTreeSet::new(),
        fs_group: None,
        resources: PodResources::default(),
        volumes: Vec::new(),
        containers,
        manifest: Manifest::default(),
    }
}
