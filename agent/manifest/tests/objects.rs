//! Objects beside pods, workloads that become pods, and what pods refer to.

use std::collections::BTreeSet;
use std::path::Path;

use barepod_manifest::{Assembled, Context, HostFacts, ManifestError, Manifests, Objects, read_all};
use barepod_model::{
    Bytes, ContainerRequest, Credentials, HostPathType, Launch, MilliCpu, NamespaceUse, Pod, PodUid, Reason,
    RequestError, Resolved, Root, Source, StopPlan, VolumeKind,
};

fn all(text: &str) -> Manifests {
    read_all("all.yaml", text).expect("valid")
}

/// What stands in for any image: the request as it is.
fn plain(request: &ContainerRequest) -> Result<Resolved, RequestError> {
    let launch = Launch {
        argv: request.command.iter().chain(&request.args).cloned().collect(),
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: request.env.clone(),
        cwd: "/".into(),
        user: Credentials { uid: 1, gid: 1, groups: Vec::new() },
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
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: request.hostname.clone(),
        as_written: None,
        network: request.network.clone(),
        confinement: request.confinement.clone(),
        notify: None,
    };
    Ok(Resolved {
        preset: "plain 1".to_owned(),
        brought: barepod_model::Brought::default(),
        launch,
        fs_group: None,
        stop: StopPlan::default(),
        startup: None,
        readiness: None,
        liveness: None,
        data_paths: Vec::new(),
        pids_limit: None,
        oom_group: true,
        warnings: Vec::new(),
    })
}

fn host() -> HostFacts {
    HostFacts {
        labels: Default::default(),
        name: "node-1".to_owned(),
        addresses: vec!["192.0.2.7".parse().expect("IPv4"), "2001:db8::7".parse().expect("IPv6")],
        cpu: MilliCpu(3_500),
        memory: Bytes(10 << 30),
        ephemeral_storage: Bytes(1 << 30),
        ..HostFacts::default()
    }
}

fn assemble(
    text: &str,
    lives: bool,
    resolve: impl FnMut(&ContainerRequest) -> Result<Resolved, RequestError>,
) -> Result<Assembled, Vec<ManifestError>> {
    let mut found = all(text);
    let mut objects = Objects::default();
    found.objects.drain(..).for_each(|object| drop(objects.insert(object)));
    let context = Context { claims_root: Path::new("/claims"), objects: &objects, host: &host(), cluster: None, lives };
    let uid = PodUid::new("0-1-2").expect("a UID");
    found.pods.remove(0).into_pod(Source::File, uid, &context, resolve)
}

fn pod(text: &str) -> Pod {
    assemble(text, false, plain).expect("valid").pod
}

const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: shop}
data: {plain: "1", a.b: dots}
binaryData: {bytes: "/w=="}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
data: {password: "aHVudGVy\nMg=="}
stringData: {user: me}
---
"#;

fn with(container: &str, spec: &str) -> String {
    format!(
        "{OBJECTS}apiVersion: v1\nkind: Pod\nmetadata: {{name: db, namespace: shop, labels: {{b: x, a: \"y\"}}}}\nspec:\n  \
         containers:\n  - {{name: main, image: host, command: [run, \"$(PASSWORD)\"], {container}}}\n{spec}"
    )
}

#[test]
fn a_variable_of_each_kind_has_its_value_and_the_words_keep_the_reference() {
    let pod = pod(&with(
        "resources: {limits: {cpu: 1500m}}, envFrom: [{configMapRef: {name: c}, prefix: C_}], env: [
           {name: PASSWORD, valueFrom: {secretKeyRef: {name: s, key: password}}},
           {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},
           {name: MILLI, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}},
           {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Gi}}},
           {name: DISK, valueFrom: {resourceFieldRef: {resource: limits.ephemeral-storage}}},
           {name: IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}},
           {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
           {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
           {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}},
           {name: LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['a']\"}}},
           {name: NONE, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['a']\"}}},
           {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}},
           {name: GONE, valueFrom: {secretKeyRef: {name: nobody, key: k, optional: true}}},
         ]",
        "",
    ));
    let container = &pod.containers[0];
    let env: Vec<_> = container.launch.env.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "ACCOUNT=default",
        "CPU=2",
        "C_a.b=dots",
        "C_plain=1",
        "DISK=1073741824",
        "IP=192.0.2.7",
        "IPS=192.0.2.7,2001:db8::7",
        "LABEL=y",
        "MEMORY=10",
        "MILLI=1500",
        "NODE=node-1",
        "NONE=",
        "PASSWORD=hunter2",
        "UID=0-1-2",
    ];
    assert_eq!(env, expected);
    assert_eq!(container.launch.argv, ["run", "hunter2"]);
    let words = container.launch.as_written.as_ref().expect("references");
    assert_eq!(words.command, ["run", "$(PASSWORD)"]);
    assert_eq!(words.env.0["PASSWORD"], "$(secret s/password)");
    assert_eq!(words.sources, ["C_$(configmap c)"]);
    assert!(!format!("{pod:?}").contains("hunter2"), "no value is shown");
}

#[test]
fn volumes_hold_the_files_that_kubernetes_would_put_there() {
    let pod = pod(&with(
        "",
        "  volumes:
  - {name: all, configMap: {name: c}}
  - {name: some, secret: {secretName: s, defaultMode: 0400, items: [{key: user, path: a/b, mode: 0444}, {key: password, path: p}]}}
  - {name: fields, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: none, projected: {sources: [{secret: {name: nobody, optional: true}}, {configMap: {name: c, items: [{key: gone, path: x}], optional: true}}]}}
",
    ));
    let files = |name: &str| match &pod.volumes.iter().find(|v| v.name == name).expect("the volume").kind {
        VolumeKind::Projected(projected) => {
            assert_eq!((projected.missing.as_deref(), projected.in_memory), (None, name != "all"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let files = projected.files.iter();
            files.map(|f| (f.path.display().to_string(), text(&f.contents.0), f.mode)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let file = |path: &str, text: &str, mode: u32| (path.to_owned(), text.to_owned(), mode);
    assert_eq!(files("all"), [file("a.b", "dots", 0o644), file("bytes", "\u{fffd}", 0o644), file("plain", "1", 0o644)]);
    assert_eq!(files("some"), [file("a/b", "me", 0o444), file("p", "hunter2", 0o400)]);
    assert_eq!(files("fields"), [file("labels", "a=\"y\"\nb=\"x\"", 0o644)]);
    assert_eq!(files("none"), []);
}

#[test]
fn what_is_missing_is_named_and_does_not_refuse_the_pod() {
    let refer = |kind: &str, name: &str, key: &str| {
        let env = format!("env: [{{name: PASSWORD, valueFrom: {{{kind}: {{name: {name}, key: {key}}}}}}}]");
        pod(&with(&env, "")).containers[0].missing.clone()
    };
    assert_eq!(refer("secretKeyRef", "nobody", "k").as_deref(), Some("secret \"nobody\" not found"));
    assert_eq!(refer("configMapKeyRef", "c", "k").as_deref(), Some("couldn't find key k in configmap shop/c"));
    let bytes = refer("configMapKeyRef", "c", "bytes");
    assert_eq!(bytes.as_deref(), Some("couldn't find key bytes in configmap shop/c"), "binaryData is for volumes");
    let pod =
        pod(&with("envFrom: [{secretRef: {name: nobody}}]", "  volumes: [{name: v, configMap: {name: nobody}}]\n"));
    assert_eq!(pod.containers[0].missing.as_deref(), Some("secret \"nobody\" not found"));
    let VolumeKind::Projected(volume) = &pod.volumes[0].kind else { panic!("made of files") };
    assert_eq!(volume.missing.as_deref(), Some("configmap \"nobody\" not found"));
}

#[test]
fn a_preset_that_lacks_a_missing_value_keeps_a_new_pod_waiting_and_leaves_a_living_one_alone() {
    let refuse = |request: &ContainerRequest| match request.env.0.contains_key("NEEDED") {
        true => plain(request),
        false => {
            let (reason, field) = (Reason::InvalidConfiguration, "env".to_owned());
            Err(RequestError { reason, field, message: "no NEEDED".to_owned(), hint: None })
        }
    };
    let text = with("envFrom: [{secretRef: {name: nobody}}]", "");
    let waiting = assemble(&text, false, refuse).expect("accepted");
    assert!(waiting.pod.containers[0].missing.is_some() && waiting.warnings.len() == 1);
    assert_eq!(assemble(&text, true, refuse).expect_err("refused")[0].reason, Reason::InvalidConfiguration);
    assert!(assemble(&with("", ""), false, refuse).is_err(), "with nothing missing it is refused as ever");
}

const STATEFUL_SET: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, labels: {own: x}}
spec:
  serviceName: db-headless
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {note: "y"}}
    spec:
      containers:
        - {name: main, image: host, command: ["true"], volumeMounts: [{name: data, mountPath: /data}], volumeDevices: [{name: d, devicePath: /d}]}
      volumes: [{name: data, emptyDir: {}}, {name: other, emptyDir: {}}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce]}
"#;

#[test]
fn a_stateful_set_becomes_its_pod_number_0_with_its_claims() {
    let pod = pod(&STATEFUL_SET.replace(", volumeDevices: [{name: d, devicePath: /d}]", ""));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("shop", "db-0"));
    assert_eq!(pod.labels["statefulset.kubernetes.io/pod-name"], "db-0");
    assert_eq!((pod.labels["app"].as_str(), pod.labels.contains_key("own")), ("db", false));
    assert_eq!(pod.annotations["note"], "y");
    let volumes: Vec<_> = pod.volumes.iter().map(|volume| (volume.name.as_str(), &volume.kind)).collect();
    let claim = VolumeKind::Claim { claim: "data-db-0".to_owned(), read_only: false };
    assert_eq!(volumes[1], ("data", &claim), "the claim takes the place of the template's volume: {volumes:?}");
    let object: serde_json::Value = serde_json::from_str(&pod.manifest.0).expect("JSON");
    assert_eq!(object["spec"]["hostname"], "db-0");
    assert_eq!(object["spec"]["subdomain"], "db-headless");
}

#[test]
fn what_is_wrong_in_a_template_has_its_own_path_and_line() {
    let errors = read_all("s.yaml", STATEFUL_SET).expect_err("volumeDevices");
    assert!(errors[0].to_string().starts_with("s.yaml:12:"), "{}", errors[0]);
    assert!(errors[0].field.starts_with("spec.template.spec.containers[0].volumeDevices"), "{}", errors[0]);
}

#[test]
fn a_workload_scaled_to_nothing_has_no_pod_and_foreign_kinds_are_warnings() {
    let nothing = all(&STATEFUL_SET
        .replace(", volumeDevices: [{name: d, devicePath: /d}]", "")
        .replace("spec:\n  serviceName", "spec:\n  replicas: 0\n  serviceName"));
    assert_eq!((nothing.pods.len(), nothing.warnings.len()), (0, 1), "{:?}", nothing.warnings);
    let foreign = all("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {whatever: [1]}\n");
    assert_eq!(foreign.warnings.iter().map(|w| w.reason).collect::<Vec<_>>(), [Reason::UnsupportedKind]);
}

#[test]
fn a_claim_lies_where_its_volume_is() {
    let text = r#"
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {local: {path: /srv/disk}, persistentVolumeReclaimPolicy: Retain, accessModes: [ReadWriteOnce]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {volumeName: disk, accessModes: [ReadWriteOnce]}
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers: [{name: a, image: host, command: ["true"], volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data, readOnly: true}}]
"#;
    let found = pod(text);
    let expected = VolumeKind::HostPath { path: "/srv/disk".into(), kind: HostPathType::Directory };
    assert_eq!(found.volumes[0].kind, expected);
    assert!(found.containers[0].launch.mounts[0].read_only);
    let kinds: BTreeSet<_> = all(text).objects.iter().map(|object| object.id.to_string()).collect();
    assert_eq!(kinds, BTreeSet::from(["persistentvolume/disk".to_owned(), "persistentvolumeclaim/data".to_owned()]));
    let without = text.split_once("---\n").expect("two").1;
    let missing = match &pod(without).volumes[0].kind {
        VolumeKind::Projected(volume) => volume.missing.clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    assert!(missing.contains("\"disk\""), "{missing}");
    assert!(assemble(without, true, plain).is_err(), "a pod that lives stays as it is");
}
