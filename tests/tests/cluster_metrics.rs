//! What a node measures, as those who watch a cluster ask for it: kubelet's summary, cAdvisor's series, `kubectl top` and an
//! autoscaler by way of the real metrics-server.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barepod_tests::cluster::{Recipe, SOON};
use barepod_tests::joined::{ADDRESS, Joined, NODE, PORT, shell};
use barepod_tests::peers::METRICS_SERVER;
use barepod_tests::pods::IDLE;
use barepod_tests::process::{Owned, tail};
use barepod_tests::{steady_port, wait_for};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the API server asks of a node, by the node's proxy: the body.
fn ask(cluster: &Joined, path: &str) -> Result<String> {
    Ok(cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{NODE}/proxy{path}")])?)
}

/// Two containers, one with a limit, and two volumes that lie on the disk.
fn busy(name: &str) -> Value {
    let mut pod = shell(name, "dd if=/dev/zero of=/data/file bs=1M count=3 2>&1; while :; do :; done");
    let idle = json!({"name": "idle", "image": "host", "command": ["/bin/sh", "-c", IDLE]});
    pod["spec"]["containers"] = json!([pod["spec"]["containers"][0], idle]);
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "300m", "memory": "200Mi"}});
    pod
}

/// The one of a list that has this name.
fn named<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    let found = list.as_array().into_iter().flatten().find(|it| it["name"] == name || it["podRef"]["name"] == name);
    Ok(found.ok_or_else(|| format!("no {name} in {list}"))?)
}

/// A number that is there.
fn number(of: &Value, path: &str) -> Result<u64> {
    Ok(of.pointer(path).and_then(Value::as_u64).ok_or_else(|| format!("no {path} in {of}"))?)
}

#[test]
fn a_summary_says_what_the_node_its_pods_and_containers_use() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    cluster.apply(&busy("busy"))?;
    cluster.ready("busy")?;
    cluster.until("the file to be written", |cluster| {
        let size = cluster.host.asked("busy", "main", "du -k /data/file").ok()?;
        size.starts_with("30").then_some(())
    })?;

    // A rate needs two measurements.
    let summary = cluster.until("a container's CPU to be busy", |cluster| {
        let summary: Value = serde_json::from_str(&ask(cluster, "/stats/summary").ok()?).ok()?;
        let pod = named(&summary["pods"], "busy").ok()?;
        let main = named(&pod["containers"], "main").ok()?;
        number(main, "/cpu/usageNanoCores").is_ok_and(|nanos| nanos > 100_000_000).then_some(summary)
    })?;
    let (node, pod) = (&summary["node"], named(&summary["pods"], "busy")?);
    let (main, idle) = (named(&pod["containers"], "main")?, named(&pod["containers"], "idle")?);
    assert_eq!((&node["nodeName"], &pod["podRef"]["namespace"]), (&json!(NODE), &json!("default")));
    assert!(number(main, "/cpu/usageNanoCores")? < 400_000_000, "its limit: {main}");
    for of in [node, pod, main, idle] {
        assert!(number(of, "/cpu/usageCoreNanoSeconds")? > 0, "{of}");
        assert!(number(of, "/memory/workingSetBytes")? > 0, "{of}");
        assert!(number(of, "/memory/usageBytes")? >= number(of, "/memory/workingSetBytes")?, "{of}");
        assert!(of["memory"]["rssBytes"].is_u64() && of["memory"]["pageFaults"].is_u64(), "{of}");
        assert!(of["startTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{of}");
    }
    assert!(number(main, "/memory/availableBytes")? < 200 << 20);
    assert!(idle["memory"]["availableBytes"].is_null(), "it has no limit");
    let data = named(&pod["volume"], "data")?;
    assert!((3 << 20..4 << 20).contains(&number(data, "/usedBytes")?), "{data}");
    assert!(number(pod, "/ephemeral-storage/usedBytes")? >= number(data, "/usedBytes")?);
    assert!(number(pod, "/process_stats/process_count")? >= 2);
    for path in ["/fs/capacityBytes", "/fs/availableBytes", "/rlimit/maxpid", "/rlimit/curproc"] {
        assert!(number(node, path)? > 0, "{path}");
    }
    assert!(pod["network"].is_null(), "it is the host's");

    let less: Value = serde_json::from_str(&ask(&cluster, "/stats/summary?only_cpu_and_memory=true")?)?;
    let pod = named(&less["pods"], "busy")?;
    assert!(number(pod, "/cpu/usageNanoCores")? > 0 && pod["volume"].is_null() && less["node"]["fs"].is_null());
    Ok(())
}

/// A page of Prometheus: each family's kind, and the values of its series.
struct Page {
    kinds: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

/// Reads a page as strictly as Prometheus does: a family's samples lie together, and no series is there twice.
fn page(text: &str) -> Result<Page> {
    let mut page = Page { kinds: BTreeMap::new(), series: BTreeMap::new() };
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("a kind")?;
            name.clone_into(&mut family);
            if page.kinds.insert(family.clone(), kind.to_owned()).is_some() {
                return Err(format!("{name} is there twice").into());
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let end = line.rfind('}').map_or_else(|| line.find(' ').unwrap_or(0), |at| at + 1);
        let (series, value) = line.split_at(end);
        assert_eq!(series.split('{').next(), Some(family.as_str()), "{line}");
        let value = value.split_whitespace().next().ok_or("a value")?.parse()?;
        if page.series.insert(series.to_owned(), value).is_some() {
            return Err(format!("{series} is there twice").into());
        }
    }
    Ok(page)
}

impl Page {
    /// The one series of a family whose labels hold all these.
    fn series(&self, family: &str, labels: &[&str]) -> Result<&str> {
        let fits = |series: &&String| {
            series.split('{').next() == Some(family) && labels.iter().all(|label| series.contains(label))
        };
        let found: Vec<_> = self.series.keys().filter(fits).collect();
        let [one] = found[..] else { return Err(format!("{family}{labels:?} is {found:?}").into()) };
        Ok(one)
    }

    fn one(&self, family: &str, labels: &[&str]) -> Result<f64> {
        Ok(self.series[self.series(family, labels)?])
    }
}

#[test]
fn pages_of_prometheus_say_of_whom_their_figures_are() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    cluster.apply(&busy("busy"))?;
    cluster.ready("busy")?;

    let cadvisor = page(&ask(&cluster, "/metrics/cadvisor")?)?;
    let main = [r#"namespace="default""#, r#"pod="busy""#, r#"container="main""#];
    assert!(cadvisor.one("container_cpu_usage_seconds_total", &main)? > 0.0);
    assert_eq!(cadvisor.one("container_spec_memory_limit_bytes", &main)?, f64::from(200 << 20));
    let (quota, period) =
        (cadvisor.one("container_spec_cpu_quota", &main)?, cadvisor.one("container_spec_cpu_period", &main)?);
    assert_eq!(quota / period, 0.3);
    assert_eq!(cadvisor.kinds["container_cpu_usage_seconds_total"], "counter");
    let of_pod = [r#"pod="busy""#, r#"container="""#];
    assert!(cadvisor.one("container_memory_working_set_bytes", &of_pod)? > 0.0);
    assert!(cadvisor.one("container_memory_usage_bytes", &[r#"id="/""#])? > 0.0, "the host's");

    let resource = page(&ask(&cluster, "/metrics/resource")?)?;
    for family in
        ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds"]
    {
        assert!(resource.one(family, &main)? > 0.0);
    }
    assert!(resource.one("node_cpu_usage_seconds_total", &[])? > 0.0);
    assert_eq!(resource.one("resource_scrape_error", &[])?, 0.0);

    let own = page(&ask(&cluster, "/metrics")?)?;
    assert_eq!(own.one("kubelet_node_name", &[r#"node="host-1""#])?, 1.0);
    assert_eq!(own.one("kubelet_running_pods", &[])?, 1.0);
    assert_eq!(own.one("kubelet_running_containers", &[r#"container_state="running""#])?, 2.0);
    assert!(own.one("kubelet_http_requests_total", &[r#"path="metrics/cadvisor""#, r#"method="GET""#])? >= 1.0);
    assert!(own.one("process_resident_memory_bytes", &[])? < f64::from(60 << 20));
    let slis = page(&ask(&cluster, "/metrics/slis")?)?;
    assert_eq!(slis.one("kubernetes_healthcheck", &[r#"name="syncloop""#])?, 1.0);
    assert!(page(&ask(&cluster, "/metrics/probes")?)?.one("process_start_time_seconds", &[])? > 0.0);
    Ok(())
}

/// A directory on which something lies that has none of its files.
struct Covered<'a>(&'a Path);

impl<'a> Covered<'a> {
    fn over(directory: &'a Path) -> Result<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(directory).status()?;
        assert!(mounted.success() && std::fs::read_dir(directory)?.next().is_none(), "{}", directory.display());
        Ok(Self(directory))
    }
}

impl Drop for Covered<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_group_that_cannot_be_read_leaves_a_hole_and_the_rest_is_there() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    for name in ["busy", "other"] {
        cluster.apply(&busy(name))?;
        cluster.ready(name)?;
    }
    let before = page(&ask(&cluster, "/metrics/cadvisor")?)?;
    let of = |pod: &str| [format!("pod=\"{pod}\""), "container=\"main\"".to_owned()];
    let main = of("busy");
    let memory = |page: &Page, of: &[String; 2]| {
        page.one("container_memory_working_set_bytes", &of.each_ref().map(String::as_str))
    };
    assert!(memory(&before, &main)? > 0.0);

    let pod = cluster.get(&["pod", "busy"]).ok_or("no pod")?;
    let uid = pod["metadata"]["uid"].as_str().ok_or("no UID")?;
    let group = cluster.host.group_of_pod(&cluster.host.cgroup_of("memory"), uid).join("main");
    let _covered = Covered::over(&group)?;
    let after = page(&ask(&cluster, "/metrics/cadvisor")?)?;
    assert!(memory(&after, &main).is_err(), "it was read after all");
    assert!(after.one("container_cpu_usage_seconds_total", &main.each_ref().map(String::as_str))? > 0.0);
    assert!(memory(&after, &of("other"))? > 0.0);
    let summary: Value = serde_json::from_str(&ask(&cluster, "/stats/summary")?)?;
    let main = named(&named(&summary["pods"], "busy")?["containers"], "main")?;
    assert!(main["memory"]["workingSetBytes"].is_null() && number(main, "/cpu/usageCoreNanoSeconds")? > 0, "{main}");
    assert_eq!(page(&ask(&cluster, "/metrics/resource")?)?.one("resource_scrape_error", &[])?, 0.0);
    Ok(())
}

/// The name of who scrapes.
const SCRAPER: &str = "prometheus";

/// A real Prometheus that scrapes the node's port itself, as kube-prometheus sets it up.
struct Scraper {
    _process: Owned,
    url: String,
    log: PathBuf,
}

impl Scraper {
    fn start(cluster: &Joined) -> Result<Self> {
        let plane = &cluster.plane;
        let rules = json!([{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}]);
        let rbac = "rbac.authorization.k8s.io";
        let objects = [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SCRAPER, "namespace": "default"}}),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": SCRAPER}, "rules": rules,
            }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": SCRAPER},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": SCRAPER},
                "subjects": [{"kind": "ServiceAccount", "name": SCRAPER, "namespace": "default"}],
            }),
        ];
        plane.kubectl_apply(&objects.map(|object| object.to_string()).join("\n---\n"))?;
        let (token, authority) = (plane.path("scraper.token"), plane.path("ca-for-prometheus.crt"));
        std::fs::write(&token, plane.kubectl(&["create", "token", SCRAPER])?.trim())?;
        std::fs::write(&authority, plane.ca())?;
        let jobs = ["/metrics", "/metrics/cadvisor", "/metrics/probes", "/metrics/resource"].map(|path| {
            json!({
                "job_name": format!("kubelet{}", path.replace('/', "-")),
                "scheme": "https",
                "metrics_path": path,
                "authorization": {"credentials_file": token},
                "tls_config": {"ca_file": authority},
                "static_configs": [{"targets": [PORT.to_string()], "labels": {"job": "kubelet"}}],
                "relabel_configs": [{"source_labels": ["__metrics_path__"], "target_label": "metrics_path"}],
            })
        });
        let config = plane.path("prometheus.yml");
        let text = json!({"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": jobs});
        std::fs::write(&config, text.to_string())?;
        let (port, log) = (steady_port(ADDRESS.into())?, plane.path("prometheus.log"));
        let mut command = Command::new("/usr/bin/prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", plane.path("prometheus").display()));
        command.arg(format!("--web.listen-address={ADDRESS}:{port}"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { _process: Owned::spawn(&mut command)?, url: format!("http://{ADDRESS}:{port}"), log })
    }

    /// What a query finds: a line for each series.
    fn finds(&self, query: &str) -> Result<Vec<String>> {
        let output = Command::new("/usr/bin/promtool").args(["query", "instant", &self.url, query]).output()?;
        if !output.status.success() {
            return Err(format!("{query}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

/// A row of the list: what for, the query, and why it finds nothing.
struct Asked {
    what: &'static str,
    query: &'static str,
    nothing: &'static str,
}

fn dashboards() -> Result<Vec<Asked>> {
    let rows = include_str!("../dashboards.tsv").lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| match row.split('\t').collect::<Vec<_>>()[..] {
        [what, query, nothing] => Ok(Asked { what, query, nothing }),
        _ => Err(format!("three columns are wanted: {row:?}").into()),
    })
    .collect()
}

/// A disk of the host as a PersistentVolume, and its claim.
fn disk(at: &Path) -> [Value; 2] {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "disk-1"});
    let (mut volume, mut claim) = (spec.clone(), spec);
    volume["capacity"] = json!({"storage": "1Gi"});
    volume["hostPath"] = json!({"path": at, "type": "Directory"});
    volume.as_object_mut().map(|spec| spec.remove("volumeName"));
    claim["resources"] = json!({"requests": {"storage": "1Gi"}});
    [
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk-1"}, "spec": volume}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk"}, "spec": claim}),
    ]
}

#[test]
fn a_prometheus_that_scrapes_the_node_answers_what_common_dashboards_and_alerts_ask() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    // The cluster's own network has but a loopback, of which nobody counts anything.
    let ip = ["link", "add", "uplink", "type", "veth", "peer", "name", "switch"];
    assert!(Command::new("ip").args(ip).status()?.success());
    let place = cluster.host.path("srv/disk");
    std::fs::create_dir_all(&place)?;
    for object in disk(&place) {
        cluster.apply(&object)?;
    }
    let mut pod = busy("busy");
    pod["metadata"]["annotations"] = json!({"barepod.dev/io-weight": "200"});
    let probe = json!({"exec": {"command": ["/bin/true"]}, "periodSeconds": 1});
    (pod["spec"]["containers"][0]["readinessProbe"], pod["spec"]["containers"][0]["livenessProbe"]) =
        (probe.clone(), probe);
    pod["spec"]["volumes"] = json!([
        {"name": "data", "emptyDir": {}}, {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}},
    ]);
    cluster.apply(&pod)?;
    cluster.ready("busy")?;
    let scraper = Scraper::start(&cluster)?;
    let words = || tail(&std::fs::read_to_string(&scraper.log).unwrap_or_default(), 20);

    let rows = dashboards()?;
    assert!(rows.len() > 40, "the list is read");
    let mut missing: Vec<_> = rows.iter().filter(|row| row.nothing.is_empty()).collect();
    // A rate needs two scrapes.
    let found = wait_for("every query to find something", 2 * SOON, || {
        missing.retain(|row| !scraper.finds(row.query).is_ok_and(|found| !found.is_empty()));
        missing.is_empty().then_some(())
    });
    found.map_err(|error| {
        let missing: Vec<_> = missing.iter().map(|row| format!("{}: {}", row.what, row.query)).collect();
        format!("{error}; these find nothing:\n{}\n{}", missing.join("\n"), words())
    })?;
    for Asked { what, query, nothing } in rows.iter().filter(|row| !row.nothing.is_empty()) {
        assert_eq!(scraper.finds(query)?, Vec::<String>::new(), "{what} is there, though the list says: {nothing}");
    }
    Ok(())
}

/// The name of who runs the metrics-server.
const MEASURER: &str = "metrics-server";

/// What metrics-server's own manifests give it, for a server that is no pod.
fn metrics_manifests(port: u16) -> String {
    let user = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": MEASURER}]);
    let role = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let rules = json!([
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    ]);
    let rbac = "rbac.authorization.k8s.io/v1";
    let objects = [
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": MEASURER}, "rules": rules}),
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": MEASURER},
            "roleRef": role("ClusterRole", MEASURER), "subjects": user,
        }),
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "metrics-server:auth-delegator"},
            "roleRef": role("ClusterRole", "system:auth-delegator"), "subjects": user,
        }),
        json!({
            "apiVersion": rbac, "kind": "RoleBinding",
            "metadata": {"name": "metrics-server-auth-reader", "namespace": "kube-system"},
            "roleRef": role("Role", "extension-apiserver-authentication-reader"), "subjects": user,
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": MEASURER, "namespace": "kube-system"},
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "metrics-server-1", "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": MEASURER},
            },
            "ports": [{"name": "https", "port": port}],
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {"name": MEASURER, "namespace": "kube-system"},
            },
        }),
    ];
    objects.map(|object| object.to_string()).join("\n---\n")
}

/// The real metrics-server, beside the cluster; and its log.
fn metrics_server(cluster: &Joined) -> Result<(Owned, PathBuf)> {
    let plane = &cluster.plane;
    let port = steady_port(ADDRESS.into())?;
    let kubeconfig = plane.kubeconfig_of_user_at(MEASURER, None, &plane.server())?.display().to_string();
    plane.kubectl_apply(&metrics_manifests(port))?;
    let (authority, log) = (plane.path("ca-for-metrics.crt"), plane.path("metrics-server.log"));
    std::fs::write(&authority, plane.ca())?;
    let mut command = Command::new(METRICS_SERVER.program("metrics-server")?);
    command.args(
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|flag| format!("--{flag}={kubeconfig}")),
    );
    command.arg(format!("--bind-address={ADDRESS}")).arg(format!("--secure-port={port}"));
    command.arg(format!("--cert-dir={}", plane.path("metrics-server").display()));
    command.arg(format!("--kubelet-certificate-authority={}", authority.display()));
    command.args([
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-use-node-status-port",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]);
    let file = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    Ok((Owned::spawn(&mut command)?, log))
}

/// Waits for something that metrics-server has to do with; with its last words.
fn until<T>(cluster: &Joined, log: &Path, what: &str, look: impl FnMut(&Joined) -> Option<T>) -> Result<T> {
    let mut look = look;
    let words = || tail(&std::fs::read_to_string(log).unwrap_or_default(), 20);
    let found = cluster.plane.until(what, 2 * SOON, |_| look(cluster));
    found.map_err(|error| {
        format!("{error}\n--- metrics-server:\n{}\n--- bridge:\n{}", words(), cluster.bridge.last_words()).into()
    })
}

#[test]
fn kubectl_top_shows_and_an_autoscaler_scales_what_is_busy() -> Result {
    let arguments = [
        "--horizontal-pod-autoscaler-sync-period=2s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
    ];
    let recipe = Recipe { controller_manager: arguments.map(str::to_owned).into(), ..Recipe::default() };
    let cluster = Joined::with(&recipe, "")?;
    cluster.approve_serving_certificate()?;
    let (_server, log) = metrics_server(&cluster)?;
    cluster.apply(&busy("busy"))?;
    cluster.ready("busy")?;
    let container = json!({
        "name": "work", "image": "host", "command": ["/bin/sh", "-c", "while :; do :; done"],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "200m"}},
    });
    let labels = json!({"app": "work"});
    cluster.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "work"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"runtimeClassName": "barepod", "terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }))?;
    cluster.apply(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "work"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "work"},
            "minReplicas": 1, "maxReplicas": 2,
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }],
        },
    }))?;

    let top = until(&cluster, &log, "kubectl top to show a busy pod", |cluster| {
        let top = cluster.kubectl(&["top", "pod", "--containers", "--no-headers"]).ok()?;
        let is_there = |container: &str| top.lines().any(|line| line.split_whitespace().nth(1) == Some(container));
        (is_there("main") && is_there("idle")).then_some(top)
    })?;
    let main = top.lines().find(|line| line.contains("main")).ok_or("the busy container")?;
    let cpu: u64 =
        main.split_whitespace().nth(2).and_then(|it| it.strip_suffix('m')?.parse().ok()).ok_or("millicores")?;
    // It may have 300; how much of that it gets is for those to say who run beside it.
    assert!((20..450).contains(&cpu), "{top}");
    let node = until(&cluster, &log, "kubectl top to show the node", |cluster| {
        cluster.kubectl(&["top", "node", "--no-headers"]).ok().filter(|top| !top.contains("<unknown>"))
    })?;
    assert!(node.starts_with(NODE) && node.contains("Mi"), "{node}");
    until(&cluster, &log, "the autoscaler to add a replica", |cluster| {
        let work = cluster.get(&["deployment", "work"])?;
        (work["status"]["readyReplicas"] == 2).then_some(())
    })?;
    Ok(())
}
