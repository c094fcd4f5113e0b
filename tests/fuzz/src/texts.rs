//! Texts that people write: manifests, presets, policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_manifest::Objects;
use barepod_model::{
    Brought, Bytes, CapabilityRequest, Confinement, Container, ContainerKind, ContainerName, ContainerRequest,
    ContainerRestart, Credentials, Env, Launch, Lifecycle, Manifest, Namespace, NamespaceUse, NetworkFiles, Permit,
    Pod, PodName, PodUid, Resources, RestartPolicy, Root, Source, Stdin, StopPlan, TerminationMessage, UserRequest,
};
use barepod_policy::{Subject, User};
use barepod_presets::{Account, Catalogue, Host, PresetSource};

/// Read, and asked what it refers to; each error has a place and a likely fix.
pub(crate) fn manifests(data: &[u8]) {
    if let Err(errors) = barepod_manifest::read_bytes("x.yaml", data) {
        assert!(!errors.is_empty(), "refused without a word");
        assert!(errors.iter().all(|error| error.line > 0 && error.column > 0));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(found) = barepod_manifest::read_all("x.yaml", text) else { return };
    let mut objects = Objects::default();
    for object in found.objects {
        objects.insert(object);
    }
    for pod in &found.pods {
        assert!(pod.references(&objects).len() <= text.len(), "more references than text");
    }
}

/// Taken into a catalogue, and asked to stand in for an image.
pub(crate) fn presets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalogue = Catalogue::default();
    let beside = |name: &str| Some((name.to_owned(), "{{ dir }}".to_owned()));
    let added = catalogue.add(&PresetSource { file: "x.yaml", text, beside: &beside });
    match added {
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a word");
            assert!(errors.iter().all(|error| error.line > 0 && error.column > 0));
        }
        Ok(()) => {
            for image in ["host", "service:1", "postgres:15"] {
                if let Err(error) = catalogue.resolve(&request(image), &Nowhere) {
                    assert!(!error.message.is_empty(), "refused without a word");
                }
            }
        }
    }
}

/// Parsed, and asked about a pod.
pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match barepod_policy::parse("x.yaml", text) {
        Err(error) => {
            assert!(error.line > 0 && error.column > 0 && !error.hint.is_empty());
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
        Ok(policy) => {
            let subject = Subject { source: Source::File, user: Some(User { uid: 1000, groups: vec![1000] }) };
            let verdict = barepod_policy::judge(&policy, &subject, &pod(), &Nowhere);
            assert_ne!(verdict.is_allowed(), verdict.denial().is_some());
            assert!(!verdict.explain().is_empty());
            let granted = matches!(verdict.permit(&policy), Permit::Granted(_));
            assert_eq!(granted, verdict.is_allowed());
        }
    }
}

fn request(image: &str) -> ContainerRequest {
    ContainerRequest {
        name: ContainerName::new("main").expect("a label"),
        kind: ContainerKind::Regular,
        image: image.to_owned(),
        command: vec!["run".to_owned()],
        args: vec!["-c".to_owned(), "a=b".to_owned()],
        env: Env([("POSTGRES_PASSWORD".to_owned(), "x".to_owned())].into()),
        working_dir: None,
        resources: Resources { memory_limit: Some(Bytes(1 << 30)), ..Resources::default() },
        mounts: Vec::new(),
        user: UserRequest::default(),
        read_only_root: false,
        capabilities: CapabilityRequest::default(),
        allow_privilege_escalation: None,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: Stdin::Closed,
        env_files: Vec::new(),
        hostname: "pod".to_owned(),
        network: NetworkFiles::default(),
        confinement: Confinement::default(),
    }
}

/// A host with one account, on which every program is there.
struct Nowhere;

impl Host for Nowhere {
    fn exists(&self, _: &Path) -> bool {
        true
    }
    fn list_dir(&self, _: &Path) -> Vec<String> {
        ["15", "1", "service-1.2", "postgresql15"].map(str::to_owned).into()
    }
    fn read(&self, _: &Path) -> Option<String> {
        Some("root:x:0:0::/:\nnobody:x:1000:1000::/:\n".to_owned())
    }
    fn read_inside(&self, _: &Path, path: &Path) -> Option<String> {
        self.read(path)
    }
    fn clock_synchronised(&self) -> Option<bool> {
        None
    }
    fn run_version(&self, _: &[String]) -> Result<String, String> {
        Ok("service 15.2".to_owned())
    }
    fn account(&self, name: &str) -> Option<Account> {
        (name == "nobody").then(|| Account { name: name.to_owned(), uid: 1000, gid: 1000, groups: Vec::new() })
    }
    fn account_of(&self, uid: u32) -> Option<Account> {
        (uid == 1000).then(|| self.account("nobody")).flatten()
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

impl barepod_policy::Host for Nowhere {
    fn account(&self, name: &str) -> Option<barepod_policy::Account> {
        Host::account(self, name).map(same)
    }
    fn account_of(&self, uid: u32) -> Option<barepod_policy::Account> {
        Host::account_of(self, uid).map(same)
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
    fn real(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

fn same(account: Account) -> barepod_policy::Account {
    let Account { name, uid, gid, groups } = account;
    barepod_policy::Account { name, uid, gid, groups }
}

/// A small pod.
#[must_use]
pub fn pod() -> Pod {
    let launch = Launch {
        follows_resources: barepod_model::FollowsResources::default(),
        argv: vec!["sh".to_owned()],
        init: Vec::new(),
        env: Env([("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into()),
        cwd: "/".into(),
        user: Credentials { uid: 1000, gid: 1000, groups: vec![27] },
        root: Root::Host,
        read_only_root: false,
        mounts: Vec::new(),
        shared: Vec::new(),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: Bytes(64 << 20),
        capabilities: vec![12],
        no_new_privileges: true,
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: Stdin::Closed,
        env_files: Vec::new(),
        hostname: "pod".to_owned(),
        as_written: None,
        network: NetworkFiles::default(),
        confinement: Confinement::default(),
        notify: None,
    };
    let container = Container {
        name: ContainerName::new("main").expect("a label"),
        kind: ContainerKind::Regular,
        image: "host".to_owned(),
        preset: "host".to_owned(),
        brought: Brought::default(),
        launch,
        resources: Resources::default(),
        resize_policy: barepod_model::ResizePolicy::default(),
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
    };
    Pod {
        uid: PodUid::new("uid-1").expect("a UID"),
        namespace: Namespace::new("default").expect("a label"),
        name: PodName::new("pod").expect("a name"),
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
        data_paths: Default::default(),
        fs_group: None,
        resources: barepod_model::PodResources::default(),
        volumes: Vec::new(),
        containers: vec![container],
        manifest: Manifest::default(),
    }
}
