//! What is honoured arrives as it was written; what has no effect is said; data are found on the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use barepod_manifest::{Context, HostFacts, ManifestError, Objects, ParsedPod, read};
use barepod_model::{
    AppArmor, Bytes, Confinement, ContainerKind, ContainerRequest, Credentials, HostPort, Launch, MilliCpu, OnResize,
    PodUid, Probe, ProbeHandler, Reason, RequestError, Resolved, RestartPolicy, Root, SeLinux, Seccomp, Source,
    StopPlan,
};

const FULL: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: db-0.east, namespace: shop, labels: {app.kubernetes.io/name: db}, annotations: {Note: x}}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 0
  hostPID: true
  hostNetwork: true
  tolerations: [{key: disk, operator: Exists}]
  dnsPolicy: ClusterFirst
  securityContext: {runAsUser: 999, supplementalGroups: [7], fsGroup: 999}
  initContainers:
    - {name: first, image: host, command: ["true"]}
  containers:
    - name: main
      image: postgres:15
      imagePullPolicy: Always
      command: [run, $(A), $$(A), $(NONE)]
      args: ["$(B)"]
      workingDir: /srv/
      tty: true
      env:
        - {name: A, value: one}
        - {name: B, value: $(A)-two}
        - {name: A, value: three}
      ports: [{containerPort: 5432, name: sql}]
      resources: {limits: {cpu: 1500m, memory: 1Gi}, requests: {cpu: 0.5}}
      volumeMounts:
        - {name: deep, mountPath: /data/deep, readOnly: true}
        - {name: data, mountPath: /data/, subPath: ./a//b}
      securityContext:
        runAsUser: 70
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL], add: [IPC_LOCK]}
      livenessProbe: {exec: {command: ["true"]}, periodSeconds: 5}
  volumes:
    - {name: data, persistentVolumeClaim: {claimName: pgdata}}
    - {name: deep, hostPath: {path: /srv/deep, type: Directory}}
    - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
"#;

fn parse(text: &str) -> ParsedPod {
    read("pod.yaml", text).expect("valid").remove(0)
}

#[test]
fn every_honoured_field_arrives() {
    let pod = parse(FULL);
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("shop", "db-0.east"));
    assert_eq!((pod.restart_policy, pod.grace), (RestartPolicy::OnFailure, Duration::ZERO));
    assert_eq!(pod.containers[0].request.kind, ContainerKind::Init);
    let main = &pod.containers[1];
    let request = &main.request;
    assert_eq!(request.command, ["run", "three", "$(A)", "$(NONE)"]);
    assert_eq!(request.args, ["one-two"]);
    assert_eq!(request.working_dir.as_deref(), Some(Path::new("/srv")));
    assert_eq!(request.hostname, "db-0.east");
    assert!(request.tty && request.read_only_root && request.namespaces.host_pid && !request.namespaces.host_ipc);
    assert_eq!(request.allow_privilege_escalation, Some(false));
    assert_eq!((request.user.uid, request.user.gid, &request.user.groups[..]), (Some(70), None, &[7][..]));
    assert_eq!((&request.capabilities.add[..], request.capabilities.drop_all), (&[14][..], true));
    assert_eq!(request.resources.cpu_limit, Some(MilliCpu(1_500)));
    assert_eq!(request.resources.cpu_request, Some(MilliCpu(500)));
    assert_eq!(request.resources.memory_request, Some(Bytes(1 << 30)), "the limit is also the request");
    let paths: Vec<_> = request.mounts.iter().map(|m| (m.path.clone(), m.sub_path.clone(), m.read_only)).collect();
    let data = (PathBuf::from("/data"), PathBuf::from("a/b"), false);
    assert_eq!(paths, [data, (PathBuf::from("/data/deep"), PathBuf::new(), true)], "parents first");
    assert_eq!((main.ports[0].number, main.ports[0].protocol.as_str()), (5432, "TCP"));
    let probe = main.liveness.as_ref().expect("a probe");
    assert_eq!((probe.period, probe.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
}

#[test]
fn what_has_no_effect_is_said_once_and_what_changes_nothing_is_not() {
    let said: Vec<String> = parse(FULL).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "pod.yaml:10:3: spec.tolerations: accepted without effect: the pod is already where it runs; only that of \
             pressure on memory is asked for, of pods of a cluster [UnsupportedField]",
            "pod.yaml:26:18: spec.containers[0].env[2].name: \"A\" is given twice; this one counts; remove the other \
             [Duplicate]",
        ]
    );
}

#[test]
fn json_is_read_as_well() {
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "image": "host", "command": ["true"]}]}
    });
    let pod = parse(&serde_json::to_string_pretty(&text).expect("JSON"));
    assert_eq!(pod.namespace.as_str(), "default");
    assert_eq!(pod.grace, Duration::from_secs(30));
    let back: serde_json::Value = serde_json::from_str(&pod.manifest.0).expect("kept as JSON");
    assert_eq!(back, text);
}

#[test]
fn debug_output_shows_no_secret() {
    let text = FULL.replace("one", "hunter2");
    let mut pod = parse(&text);
    // Commands are for anybody to see on the host; the environment and the object are not.
    pod.containers.iter_mut().for_each(|c| (c.request.args, c.request.command) = Default::default());
    assert!(!format!("{pod:?}").contains("hunter2"));
}

/// Nothing but the place of claims.
fn around(claims_root: &str) -> Context<'_> {
    static NOTHING: LazyLock<(Objects, HostFacts)> = LazyLock::new(Default::default);
    Context { claims_root: Path::new(claims_root), objects: &NOTHING.0, host: &NOTHING.1, cluster: None, lives: false }
}

/// A preset that keeps its data in `data`.
fn preset(data: &str) -> impl FnMut(&ContainerRequest) -> Result<Resolved, RequestError> {
    move |request| {
        let readiness = Probe {
            handler: ProbeHandler::Exec { command: vec!["ready".to_owned()] },
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 1,
            termination_grace: None,
        };
        Ok(Resolved {
            preset: "test 1".to_owned(),
            brought: barepod_model::Brought::default(),
            launch: Launch {
                argv: vec!["true".to_owned()],
                init: Vec::new(),
                follows_resources: barepod_model::FollowsResources::default(),
                env: request.env.clone(),
                cwd: "/".into(),
                user: Credentials { uid: request.user.uid.unwrap_or(0), gid: 0, groups: Vec::new() },
                root: Root::Host,
                read_only_root: false,
                mounts: request.mounts.clone(),
                shared: Vec::new(),
                files: Vec::new(),
                owned_dirs: Vec::new(),
                shm_size: Bytes(0),
                capabilities: Vec::new(),
                no_new_privileges: true,
                rlimits: Vec::new(),
                oom_score_adj: 0,
                namespaces: request.namespaces,
                tty: false,
                stdin: barepod_model::Stdin::Closed,
                env_files: Vec::new(),
                hostname: request.hostname.clone(),
                as_written: None,
                network: barepod_model::NetworkFiles::default(),
                confinement: barepod_model::Confinement::default(),
                notify: None,
            },
            stop: StopPlan::default(),
            startup: None,
            liveness: Some(readiness.clone()),
            readiness: Some(readiness),
            pids_limit: None,
            oom_group: true,
            data_paths: if request.kind == ContainerKind::Regular { vec![data.into()] } else { Vec::new() },
            fs_group: None,
            warnings: Vec::new(),
        })
    }
}

fn data_paths(text: &str, data: &str) -> Result<Vec<PathBuf>, Vec<ManifestError>> {
    let uid = PodUid::new("0-1-2").expect("a UID");
    let assembled = parse(text).into_pod(Source::File, uid, &around("/var/lib/barepod/volumes"), preset(data))?;
    // Of a pod on the host's network its ports are held as well.
    Ok(assembled.pod.data_paths.into_iter().filter(|path| HostPort::of(path).is_none()).collect())
}

#[test]
fn data_are_found_where_they_really_lie() {
    let at = |path: &str| Ok(vec![PathBuf::from(path)]);
    assert_eq!(data_paths(FULL, "/data"), at("/var/lib/barepod/volumes/shop/pgdata/a/b"));
    assert_eq!(data_paths(FULL, "/data/pg/15"), at("/var/lib/barepod/volumes/shop/pgdata/a/b/pg/15"));
    let host = FULL.replace(", readOnly: true", "");
    assert_eq!(data_paths(&host, "/data/deep/x"), at("/srv/deep/x"), "the innermost mount counts");
    let own = FULL.replace("persistentVolumeClaim: {claimName: pgdata}", "emptyDir: {}");
    assert_eq!(data_paths(&own, "/data"), Ok(Vec::new()), "nobody else can reach a pod's own directory");
}

#[test]
fn data_that_would_be_lost_or_shared_are_refused() {
    let said = |text: &str, data: &str| data_paths(text, data).expect_err("refused")[0].to_string();
    assert_eq!(
        said(FULL, "/elsewhere"),
        "pod.yaml:30:9: spec.containers[0].volumeMounts: /elsewhere lies on no volume, so the data would be lost with the \
         container; mount a volume at /elsewhere [InvalidConfiguration]"
    );
    assert!(said(FULL, "/data/deep").contains("mounted read-only"));
    let twice = FULL.replace(
        "  volumes:",
        "    - {name: b, image: host, volumeMounts: [{name: data, mountPath: /data, subPath: a/b}]}\n  volumes:",
    );
    let errors = data_paths(&twice, "/data").expect_err("two on one");
    assert_eq!(errors[0].reason, Reason::DataPathInUse);
}

#[test]
fn the_manifests_probes_take_the_place_of_the_presets_one_by_one() {
    let uid = PodUid::new("0-1-2").expect("a UID");
    let pod = parse(FULL).into_pod(Source::File, uid, &around("/v"), preset("/data")).expect("valid").pod;
    let main = &pod.containers[1];
    assert_eq!(main.liveness.as_ref().map(|p| p.period), Some(Duration::from_secs(5)), "its own");
    assert_eq!(main.readiness.as_ref().map(|p| p.period), Some(Duration::from_secs(1)), "the preset's");
}

#[test]
fn what_a_preset_refuses_has_the_line_of_the_field_it_blames() {
    let blame = |field: &'static str| {
        let uid = PodUid::new("0-1-2").expect("a UID");
        let refuse = move |_: &ContainerRequest| {
            let hint = Some("h".to_owned());
            Err(RequestError { reason: Reason::InvalidConfiguration, field: field.into(), message: "m".into(), hint })
        };
        let errors = parse(FULL).into_pod(Source::File, uid, &around("/v"), refuse).expect_err("refused");
        errors[1].to_string()
    };
    let tail = "m; h [InvalidConfiguration]";
    assert_eq!(blame("image"), format!("pod.yaml:17:14: spec.containers[0].image: {tail}"));
    assert_eq!(blame("env[B]"), format!("pod.yaml:25:11: spec.containers[0].env[1]: {tail}"));
    assert_eq!(blame("env[A]"), format!("pod.yaml:26:11: spec.containers[0].env[2]: {tail}"), "the one that counts");
    assert_eq!(blame("env[MISSING]"), format!("pod.yaml:24:9: spec.containers[0].env: {tail}"));
}

#[test]
fn root_is_not_run_where_the_manifest_forbids_it() {
    let text = FULL.replace("runAsUser: 70", "runAsNonRoot: true").replace("runAsUser: 999, ", "");
    let errors = data_paths(&text, "/data").expect_err("root");
    assert_eq!(errors[0].reason, Reason::InvalidConfiguration);
}

/// A pod whose `spec.resources` and containers are these.
fn whole(resources: &str, containers: &[&str]) -> ParsedPod {
    let containers: Vec<String> = containers
        .iter()
        .enumerate()
        .map(|(i, resources)| format!("  - {{name: c{i}, image: host, command: [sleep], resources: {resources}}}\n"))
        .collect();
    let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: db}\nspec:\n";
    parse(&format!("{head}  resources: {resources}\n  containers:\n{}", containers.join("")))
}

#[test]
fn a_pod_that_limits_itself_asks_for_what_its_containers_ask_for_or_for_its_limits() {
    let limits = "{limits: {cpu: 2, memory: 1Gi}}";
    let pod = whole(limits, &["{requests: {cpu: 100m}}", "{limits: {cpu: 200m}}"]);
    let level = pod.resources.level.expect("resources");
    assert_eq!((level.cpu_request, level.cpu_limit), (Some(MilliCpu(300)), Some(MilliCpu(2000))));
    assert_eq!(level.memory_request, Some(Bytes(1 << 30)), "no container asks for memory");
    let asked = whole("{requests: {cpu: 1}}", &["{}"]).resources.level.expect("resources");
    assert_eq!((asked.cpu_request, asked.memory_request, asked.cpu_limit), (Some(MilliCpu(1000)), None, None));
    assert_eq!(whole("{}", &["{}"]).resources.level, None);
    let huge = whole("{limits: {memory: 1Gi}}", &["{limits: {memory: 1Mi, hugepages-2Mi: 4Mi}}"]);
    let pages = huge.resources.level.expect("resources").huge_pages;
    assert_eq!(pages.two_mi, Some(Bytes(4 << 20)), "what containers have is the pod's, too");
}

#[test]
fn disk_space_huge_pages_and_policies_of_resizing_arrive() {
    let text = "apiVersion: v1
kind: Pod
metadata:
  name: db
  annotations:
    barepod.dev/io-weight: '250'
    barepod.dev/io-max: |
      /srv rbps=10M wiops=100
      8:16 wbps=1Mi
spec:
  containers:
  - name: main
    image: host
    command: [sleep]
    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]
    resources: {limits: {memory: 1Gi, ephemeral-storage: 2Gi, hugepages-2Mi: 6Mi}}
  volumes:
  - {name: huge, emptyDir: {medium: HugePages}}
  - {name: sized, emptyDir: {medium: HugePages-2Mi, sizeLimit: 2Mi}}
";
    let pod = parse(text);
    let resources = pod.containers[0].request.resources;
    assert_eq!((resources.storage_limit, resources.storage_request), (Some(Bytes(2 << 30)), Some(Bytes(2 << 30))));
    assert_eq!(resources.huge_pages.two_mi, Some(Bytes(6 << 20)));
    assert_eq!(pod.containers[0].resize_policy.memory, OnResize::RestartContainer);
    assert_eq!(pod.containers[0].resize_policy.cpu, OnResize::NotRequired);
    let io = &pod.resources.io;
    assert_eq!((io.weight, io.max.len()), (Some(250), 2));
    assert_eq!((io.max[0].device.as_str(), io.max[0].rbps, io.max[0].wiops), ("/srv", Some(10_000_000), Some(100)));
    assert_eq!((io.max[1].device.as_str(), io.max[1].wbps, io.max[1].rbps), ("8:16", Some(1 << 20), None));
}

#[test]
fn what_confines_a_container_arrives_and_its_own_word_counts_more_than_its_pods() {
    let text = r#"
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  securityContext:
    seccompProfile: {type: RuntimeDefault}
    appArmorProfile: {type: Unconfined}
    seLinuxOptions: {type: db_t}
    sysctls: [{name: kernel/shm_rmid_forced, value: "1"}]
  containers:
    - name: own
      image: host
      command: ["true"]
      securityContext:
        privileged: true
        procMount: Unmasked
        seccompProfile: {type: Localhost, localhostProfile: team/./a.json}
        appArmorProfile: {type: Localhost, localhostProfile: mine}
        seLinuxOptions: {level: "s0:c1"}
        capabilities: {add: [all], drop: [chown]}
    - {name: pods, image: host, command: ["true"]}
    - name: unset
      image: host
      command: ["true"]
      securityContext: {privileged: false, procMount: Default, seccompProfile: {type: Unconfined}}
"#;
    let pod = parse(text);
    let of = |i: usize| &pod.containers[i].request.confinement;
    let sysctls = BTreeMap::from([("kernel.shm_rmid_forced".to_owned(), "1".to_owned())]);
    let own = Confinement {
        privileged: true,
        unmasked_proc: true,
        seccomp: Seccomp::Localhost("team/a.json".into()),
        app_armor: AppArmor::Localhost("mine".to_owned()),
        se_linux: Some(SeLinux { level: Some("s0:c1".to_owned()), ..SeLinux::default() }),
        sysctls: sysctls.clone(),
        landlock: false,
    };
    assert_eq!(of(0), &own);
    let pods = Confinement {
        seccomp: Seccomp::RuntimeDefault,
        app_armor: AppArmor::Unconfined,
        se_linux: Some(SeLinux { kind: Some("db_t".to_owned()), ..SeLinux::default() }),
        sysctls,
        ..Confinement::default()
    };
    assert_eq!(of(1), &pods);
    assert_eq!(of(2).seccomp, Seccomp::Unconfined);
    let capabilities = &pod.containers[0].request.capabilities;
    assert_eq!((capabilities.add_all, &capabilities.drop[..]), (true, &[0][..]), "letters may be small");
    let silent = parse(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: host, command: [x]}]}",
    );
    assert_eq!(silent.containers[0].request.confinement, Confinement::default());
}
