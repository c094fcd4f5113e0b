//! ConfigMaps, Secrets and what pods make of them: variables, volumes that follow their objects, workloads; on real processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How soon a change of an object is seen in a volume.
const LIVE: Duration = Duration::from_secs(2);

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// As an administrator writes a file.
fn write(host: &Host, file: &str, object: &Value) -> Result<PathBuf> {
    let path = host.path(&format!("etc/barepod/manifests/{file}.yaml"));
    // Never half a file: the directory is watched.
    let aside = host.path(file);
    std::fs::write(&aside, object.to_string())?;
    std::fs::rename(aside, &path)?;
    Ok(path)
}

fn exec(host: &Host, pod: &str, script: &str) -> Result<String> {
    Ok(host.barepod(&["exec", pod, "--", "sh", "-c", script])?.trim_end().to_owned())
}

/// Waits until a command in the pod says this.
fn says(host: &Host, pod: &str, script: &str, wanted: &str, limit: Duration) -> Result {
    let what = format!("{script:?} in {pod} to say {wanted:?}");
    Ok(host.until(what, limit, |host| (exec(host, pod, script).ok()? == wanted).then_some(()))?)
}

/// Waits until the first container waits for this reason, and gives what is said about it.
fn waits(host: &Host, pod: &str, reason: &str) -> Result<String> {
    let status = host.container(pod, reason, |status| status["state"]["waiting"]["reason"] == reason)?;
    Ok(status["state"]["waiting"]["message"].as_str().unwrap_or_default().to_owned())
}

/// A pod with one container that runs on, and these fields of container and spec.
fn pod(name: &str, container: Value, spec: Value) -> Value {
    let mut pod = pods::pod(name, [sh("main", IDLE)]);
    merge(&mut pod["spec"]["containers"][0], container);
    merge(&mut pod["spec"], spec);
    pod
}

fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

// ---- variables ----

#[test]
fn variables_come_from_all_their_sources_in_kubernetes_order() -> Result {
    let host = Host::started("")?;
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let key = |kind: &str, name: &str, key: &str, optional: bool| json!({kind: {"name": name, "key": key, "optional": optional}});
    let mut pod = pod(
        "vars",
        json!({
            "envFrom": [
                {"configMapRef": {"name": "c"}},
                {"secretRef": {"name": "s"}, "prefix": "S_"},
                {"configMapRef": {"name": "none", "optional": true}},
            ],
            "env": [
                {"name": "SHARED", "value": "from env"},
                {"name": "PASSWORD", "valueFrom": key("secretKeyRef", "s", "password", false)},
                {"name": "URL", "value": "db://$(S_user):$(PASSWORD)@$(ONLY)"},
                {"name": "ABSENT", "valueFrom": key("configMapKeyRef", "c", "absent", true)},
                {"name": "UID", "valueFrom": field("metadata.uid")},
                {"name": "NAME", "valueFrom": field("metadata.name")},
                {"name": "APP", "valueFrom": field("metadata.labels['app']")},
                {"name": "NODE", "valueFrom": field("spec.nodeName")},
                {"name": "IP", "valueFrom": field("status.podIP")},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "resources": {"limits": {"memory": "65Mi"}},
        }),
        json!({}),
    );
    pod["metadata"]["labels"] = json!({"app": "shop"});
    let text = format!(
        "{}\n---\n{}\n---\n{}\n",
        pod,
        config_map("c", json!({"SHARED": "from map", "ONLY": "host"})),
        secret("s", json!({"user": "me", "password": "hunter2"}))
    );
    assert_eq!(host.apply("all", &text)?, "configmap/c created\nsecret/s created\npod/vars created\n");
    host.running("vars")?;

    let env = exec(&host, "vars", "cat /proc/1/environ | tr '\\0' '\\n'")?;
    let of = |name: &str| env.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
    let expected = [
        ("SHARED", "from env"),
        ("ONLY", "host"),
        ("S_password", "hunter2"),
        ("PASSWORD", "hunter2"),
        ("URL", "db://me:hunter2@host"),
        ("NAME", "vars"),
        ("APP", "shop"),
        ("MEMORY", "65"),
    ];
    for (name, value) in expected {
        assert_eq!(of(name).as_deref(), Some(value), "{name}: {env}");
    }
    assert_eq!(of("ABSENT"), None);
    assert_eq!(of("UID").as_deref(), host.pod("vars")?["metadata"]["uid"].as_str(), "the living pod's own");
    assert_eq!(of("CPU"), Some(std::thread::available_parallelism()?.to_string()), "what the host has");
    assert!(
        of("NODE").is_some_and(|node| !node.is_empty())
            && of("IP").is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok())
    );

    for said in [host.barepod(&["describe", "vars"])?, host.barepod(&["get", "pod", "vars", "-o", "json"])?, host.log()]
    {
        assert!(!said.contains("hunter2"), "a secret is told: {said}");
    }
    Ok(())
}

#[test]
fn a_container_waits_for_what_it_refers_to_and_another_value_touches_no_process() -> Result {
    let host = Host::started("")?;
    let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    host.apply_object(&pod("late", json!({"env": [{"name": "V", "valueFrom": from}]}), json!({})))?;
    assert_eq!(waits(&host, "late", "CreateContainerConfigError")?, "secret \"s\" not found");
    write(&host, "s", &secret("s", json!({"other": "x"})))?;
    host.until("the key to be missed", SOON, |host| {
        (waits(host, "late", "CreateContainerConfigError").ok()? == "couldn't find key k in secret default/s")
            .then_some(())
    })?;
    write(&host, "s", &secret("s", json!({"k": "first"})))?;
    let first = host.running("late")?;
    says(&host, "late", "tr '\\0' '\\n' < /proc/1/environ | grep ^V=", "V=first", SOON)?;

    write(&host, "s", &secret("s", json!({"k": "second"})))?;
    host.until("the new value to be accepted", SOON, |host| {
        (host.pod("late").ok()?["metadata"]["generation"].as_u64()? >= 4).then_some(())
    })?;
    assert_eq!(host.pid("late"), Some(first), "the process is untouched");
    host.barepod(&["restart", "late"])?;
    says(&host, "late", "tr '\\0' '\\n' < /proc/1/environ | grep ^V=", "V=second", SOON)?;

    let second = host.running("late")?;
    std::fs::remove_file(host.path("etc/barepod/manifests/s.yaml"))?;
    host.said("secret/s was removed")?;
    assert!(alive(second) && host.pid("late") == Some(second), "a pod keeps what it has of it");
    Ok(())
}

// ---- volumes ----

/// One of each kind at `/v/<kind>`, and a file of the first by itself.
fn volumes() -> (Value, Value) {
    let fields = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]);
    let volumes = json!([
        {"name": "config-map", "configMap": {"name": "c", "items": [{"key": "k", "path": "dir/file", "mode": 0o444}, {"key": "k", "path": "plain"}]}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o444}},
        {"name": "downward", "downwardAPI": {"items": fields}},
        {"name": "projected", "projected": {"sources": [
            {"configMap": {"name": "c"}}, {"secret": {"name": "s"}},
            {"downwardAPI": {"items": [{"path": "memory", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}}]}},
        ]}},
    ]);
    let mounts = json!([
        {"name": "config-map", "mountPath": "/v/config-map"},
        {"name": "secret", "mountPath": "/v/secret"},
        {"name": "downward", "mountPath": "/v/downward"},
        {"name": "projected", "mountPath": "/v/projected"},
        {"name": "config-map", "mountPath": "/v/alone", "subPath": "plain"},
    ]);
    (volumes, mounts)
}

fn pod_with_volumes(label: &str) -> Value {
    let (volumes, mounts) = volumes();
    let container = json!({"volumeMounts": mounts, "resources": {"limits": {"memory": "64Mi"}}});
    let mut pod = pod("files", container, json!({"volumes": volumes}));
    pod["metadata"]["labels"] = json!({"app": label});
    pod
}

#[test]
fn volumes_follow_their_objects_within_two_seconds_and_touch_no_process() -> Result {
    let host = Host::started("")?;
    write(&host, "c", &config_map("c", json!({"k": "one"})))?;
    write(&host, "s", &secret("s", json!({"token": "red"})))?;
    write(&host, "files", &pod_with_volumes("before"))?;
    let pid = host.running("files")?;
    let read = |script: &str, wanted: &str, limit| says(&host, "files", script, wanted, limit);
    read("cat /v/config-map/dir/file /v/config-map/plain /v/alone", "oneoneone", SOON)?;
    read("cat /v/secret/token /v/projected/token /v/projected/k /v/projected/memory", "redredone67108864", SOON)?;
    read("cat /v/downward/labels", "app=\"before\"", SOON)?;

    write(&host, "c", &config_map("c", json!({"k": "two", "new": "x"})))?;
    read("cat /v/config-map/dir/file /v/config-map/plain /v/projected/new", "twotwox", LIVE)?;
    write(&host, "s", &secret("s", json!({"token": "blue"})))?;
    read("cat /v/secret/token /v/projected/token", "blueblue", LIVE)?;
    write(&host, "files", &pod_with_volumes("after"))?;
    read("cat /v/downward/labels", "app=\"after\"", LIVE)?;
    assert_eq!(exec(&host, "files", "cat /v/alone")?, "one", "a file by itself stays as it was, as in Kubernetes");
    assert_eq!(host.pid("files"), Some(pid), "the process is untouched");

    assert_eq!(
        exec(&host, "files", "stat -Lc %a,%u:%g /v/config-map/dir/file /v/config-map/plain /v/secret/token")?,
        "444,0:0\n644,0:0\n444,0:0"
    );
    for volume in ["secret", "downward", "projected"] {
        assert_eq!(exec(&host, "files", &format!("stat -fc %T /v/{volume}"))?, "tmpfs", "{volume}");
    }
    for volume in ["config-map", "secret", "downward", "projected"] {
        assert!(exec(&host, "files", &format!("touch /v/{volume}/x")).is_err(), "{volume} is read-only");
    }
    let inside = host.path("var/lib/barepod/pods");
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(inside)?) & 0o777,
        0o700,
        "closed to the host's users"
    );

    host.barepod(&["restart", "files"])?;
    read("cat /v/alone", "two", SOON)?;
    std::fs::remove_file(host.path("etc/barepod/manifests/files.yaml"))?;
    host.gone("files")?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(&host.path("var").display().to_string()), "nothing stays mounted");
    Ok(())
}

#[test]
fn a_pod_waits_for_its_volume_and_goes_on_by_itself() -> Result {
    let host = Host::started("")?;
    let volumes = json!([
        {"name": "v", "configMap": {"name": "c"}},
        {"name": "optional", "secret": {"secretName": "none", "optional": true}},
    ]);
    let mounts = json!([{"name": "v", "mountPath": "/v"}, {"name": "optional", "mountPath": "/optional"}]);
    host.apply_object(&pod("late", json!({"volumeMounts": mounts}), json!({"volumes": volumes})))?;
    let shown = host.reason("late", "ContainerCreating")?;
    let message = shown["status"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("configmap \"c\" not found"), "{message}");
    assert_eq!(shown["status"]["phase"], "Pending");
    host.until("the event", SOON, |host| {
        host.barepod(&["describe", "late"]).ok()?.contains("FailedMount").then_some(())
    })?;
    host.apply_object(&config_map("c", json!({"k": "there"})))?;
    host.running("late")?;
    assert_eq!(exec(&host, "late", "cat /v/k; ls /optional")?, "there");
    Ok(())
}

#[test]
fn what_was_there_when_the_daemon_died_is_there_when_it_is_back() -> Result {
    let mut host = Host::started("")?;
    write(&host, "c", &config_map("c", json!({"k": "one"})))?;
    write(&host, "s", &secret("s", json!({"token": "red"})))?;
    write(&host, "files", &pod_with_volumes("x"))?;
    let pid = host.running("files")?;
    host.kill_daemon()?;
    write(&host, "s", &secret("s", json!({"token": "green"})))?;
    host.start()?;
    says(&host, "files", "cat /v/secret/token", "green", SOON)?;
    assert_eq!(host.pid("files"), Some(pid));
    Ok(())
}

#[test]
fn of_two_files_with_one_object_the_earlier_stands_and_an_immutable_one_keeps_its_contents() -> Result {
    let host = Host::started("")?;
    let first = write(&host, "first", &config_map("c", json!({"k": "first"})))?;
    let volumes = json!([{"name": "v", "configMap": {"name": "c"}}]);
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    write(&host, "reader", &pod("reader", json!({"volumeMounts": mounts}), json!({"volumes": volumes})))?;
    host.running("reader")?;
    write(&host, "another", &config_map("c", json!({"k": "second"})))?;
    host.said("configmap/c is defined in")?;
    assert_eq!(exec(&host, "reader", "cat /v/k")?, "first");
    std::fs::remove_file(first)?;
    says(&host, "reader", "cat /v/k", "second", SOON)?;

    let mut fixed = config_map("fixed", json!({"k": "a"}));
    fixed["immutable"] = json!(true);
    assert_eq!(host.apply_object(&fixed)?, "configmap/fixed created\n");
    assert_eq!(host.apply_object(&fixed)?, "configmap/fixed unchanged\n");
    fixed["data"]["k"] = json!("b");
    let refused = host.apply_object(&fixed).expect_err("immutable").to_string();
    assert!(refused.contains("[Immutable]"), "{refused}");
    Ok(())
}

// ---- workloads ----

const CHART: &str = include_str!("../../examples/statefulset/postgresql.yaml");

#[test]
fn a_chart_like_manifest_of_postgresql_runs() -> Result {
    let host = Host::started("")?;
    let port = barepod_tests::free_port()?;
    assert!(CHART.contains("5432"), "the example has changed: mend this test");
    let text = CHART.replace("5432", &port.to_string());
    let path = host.path("chart.yaml");
    std::fs::write(&path, &text)?;
    let output = host.run(&["apply", "-f", &path.display().to_string()])?;
    let (out, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let created =
        ["serviceaccount/shop", "secret/shop-postgresql", "configmap/shop-postgresql", "pod/shop-postgresql-0"];
    assert_eq!(out, created.map(|name| format!("{name} created\n")).concat(), "{said}");
    assert!(said.contains("kind: accepted without effect") && !said.contains("error:"), "{said}");
    host.ready("shop-postgresql-0")?;
    let sql = "psql -X -A -t -h /var/run/postgresql -p $PGPORT -U shop -d shop -c 'show work_mem' 2>&1";
    assert_eq!(exec(&host, "shop-postgresql-0", sql)?, "7MB", "the ConfigMap's setting is in force");
    let claim = host.path("var/lib/barepod/volumes/default/data-shop-postgresql-0");
    assert!(Path::new(&claim).join("pgdata/PG_VERSION").exists(), "the claim is named as Kubernetes names it");
    assert_eq!(exec(&host, "shop-postgresql-0", "hostname")?, "shop-postgresql-0");

    let pid = host.pid("shop-postgresql-0");
    let again = host.barepod(&["apply", "-f", &path.display().to_string()])?;
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    assert_eq!(host.pid("shop-postgresql-0"), pid);
    Ok(())
}

#[test]
fn a_job_runs_to_its_end_and_a_deployment_keeps_its_name() -> Result {
    let host = Host::started("")?;
    let template = |policy: Option<&str>, script: &str| {
        let mut spec = json!({"containers": [sh("main", script)]});
        policy.into_iter().for_each(|policy| spec["restartPolicy"] = json!(policy));
        json!({"metadata": {"labels": {"app": "x"}}, "spec": spec})
    };
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
                     "spec": {"template": template(Some("OnFailure"), "true")}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template(None, IDLE)}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [job, deployment]});
    assert_eq!(host.apply_object(&list)?, "pod/once created\npod/web created\n");
    host.until("the job to succeed", SOON, |host| {
        (host.pod("once").ok()?["status"]["phase"] == "Succeeded").then_some(())
    })?;
    host.running("web")?;
    assert_eq!(host.pod("web")?["metadata"]["labels"]["app"], "x");
    Ok(())
}
