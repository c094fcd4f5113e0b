//! A pod that demands nothing but its preset, a policy that allows just that, and a host that is made up.

#![expect(clippy::unwrap_used, reason = "the names of tests are fixed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_model::*;
use barepod_policy::{Account, Host, Policy, Subject, User, Verdict, judge, parse};

/// A host with a few accounts, and a link out of `/srv/data`.
pub(crate) struct Made;

impl Host for Made {
    fn account(&self, name: &str) -> Option<Account> {
        accounts().into_iter().find(|account| account.name == name)
    }
    fn account_of(&self, uid: u32) -> Option<Account> {
        accounts().into_iter().find(|account| account.uid == uid)
    }
    fn group(&self, name: &str) -> Option<u32> {
        [("root", 0), ("postgres", 120), ("disk", 6), ("developers", 2000)].iter().find(|g| g.0 == name).map(|g| g.1)
    }
    fn real(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/srv/data/link") {
            Ok(rest) => Path::new("/etc").join(rest),
            Err(_) => {
                path.strip_prefix("/data").map_or_else(|_| path.to_owned(), |rest| Path::new("/mnt/1").join(rest))
            }
        }
    }
}

fn accounts() -> Vec<Account> {
    let account =
        |name: &str, uid, gid, groups: &[u32]| Account { name: name.to_owned(), uid, gid, groups: groups.to_vec() };
    vec![
        account("root", 0, 0, &[]),
        account("postgres", 113, 120, &[121]),
        account("alice", 1000, 1000, &[2000]),
        account("nobody", 65534, 65534, &[]),
    ]
}

pub(crate) fn root() -> Subject {
    Subject { source: Source::File, user: Some(User::root()) }
}

/// A rule for root with these lines below `allow`, beside what `pod` needs anyhow.
pub(crate) fn policy(lines: &[(&str, &str)]) -> Policy {
    let mut allow: BTreeMap<&str, Vec<&str>> =
        [("presets", vec!["service"]), ("users", vec!["preset"]), ("seccompProfiles", vec!["Unconfined"])].into();
    for (key, value) in lines {
        allow.entry(key).or_default().push(value);
    }
    let mut text = String::from(
        "apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules:\n  - name: r\n    subjects: {sources: [file], \
         namespaces: [default], users: [root]}\n    verbs: [apply, exec]\n    allow:\n",
    );
    for (key, values) in allow {
        let value = match values.iter().all(|value| !value.contains(['[', '{']) && *value != "true") {
            true => format!("[{}]", values.join(", ")),
            false => values.join(", "),
        };
        text += &format!("      {key}: {value}\n");
    }
    parse("policy.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) fn verdict(policy: &Policy, pod: &Pod) -> Verdict {
    judge(policy, &root(), pod, &Made)
}

/// A pod of one container, whose preset has a service that runs as postgres.
pub(crate) fn pod() -> Pod {
    Pod {
        uid: PodUid::new("uid-1").unwrap(),
        namespace: Namespace::new("default").unwrap(),
        name: PodName::new("db").unwrap(),
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
        data_paths: Default::default(),
        fs_group: None,
        resources: barepod_model::PodResources::default(),
        volumes: Vec::new(),
        containers: vec![container()],
        manifest: Manifest::default(),
    }
}

pub(crate) fn container() -> Container {
    let own = Credentials { uid: 113, gid: 120, groups: vec![121] };
    let check = vec!["/bin/check".to_owned()];
    Container {
        name: ContainerName::new("db").unwrap(),
        kind: ContainerKind::Regular,
        image: "service:1".to_owned(),
        preset: "service 15.2".to_owned(),
        brought: Brought {
            user: Some(own.clone()),
            capabilities: vec![14],
            service: true,
            commands: [check.clone()].into(),
            variables: ["LD_LIBRARY_PATH".to_owned()].into(),
        },
        launch: Launch {
            argv: vec!["/opt/service/run".to_owned()],
            init: Vec::new(),
            follows_resources: barepod_model::FollowsResources::default(),
            env: Env([("PATH", "/usr/bin:/bin"), ("LD_LIBRARY_PATH", "/opt/service/lib")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()),
            cwd: "/".into(),
            user: own,
            root: Root::Host,
            read_only_root: false,
            mounts: Vec::new(),
            shared: Vec::new(),
            files: Vec::new(),
            owned_dirs: Vec::new(),
            shm_size: Bytes(0),
            capabilities: vec![14],
            no_new_privileges: true,
            rlimits: Vec::new(),
            oom_score_adj: 0,
            namespaces: NamespaceUse::default(),
            tty: false,
            stdin: Stdin::Closed,
            env_files: Vec::new(),
            hostname: "db".to_owned(),
            as_written: None,
            network: NetworkFiles::default(),
            confinement: Confinement::default(),
            notify: None,
        },
        resources: Resources::default(),
        resize_policy: barepod_model::ResizePolicy::default(),
        oom_group: false,
        stop: StopPlan::default(),
        startup: None,
        readiness: Some(probe(ProbeHandler::Exec { command: check })),
        liveness: None,
        lifecycle: Lifecycle::default(),
        restart: ContainerRestart::default(),
        ephemeral: None,
        termination_message: TerminationMessage::default(),
        missing: None,
    }
}

pub(crate) fn probe(handler: ProbeHandler) -> Probe {
    let second = Duration::from_secs(1);
    Probe {
        handler,
        initial_delay: Duration::ZERO,
        period: second,
        timeout: second,
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace: None,
    }
}

pub(crate) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        volume: volume.to_owned(),
        path: path.into(),
        sub_path: PathBuf::new(),
        sub_path_expr: None,
        read_only,
        recursive_read_only: false,
        propagation: MountPropagation::None,
    }
}

/// A path of the host, mounted.
pub(crate) fn with_host_path(pod: &mut Pod, path: &str, kind: HostPathType, read_only: bool) {
    pod.volumes.push(Volume {
        name: "v".to_owned(),
        claim: None,
        kind: VolumeKind::HostPath { path: path.into(), kind },
    });
    pod.containers[0].launch.mounts.push(mount("v", "/data", read_only));
}
