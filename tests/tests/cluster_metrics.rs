//! What a node measures, as those who watch a cluster ask for it: kubelet's summary, cAdvisor's series, `kubectl top` and an
//! autoscaler by way of the real metrics-server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Command, Stdio};

use barepod_tests::cluster::{Recipe, SOON};
use barepod_tests::joined::{ADDRESS, Joined, NODE, shell};
use barepod_tests::peers::METRICS_SERVER;
use barepod_tests::pods::IDLE;
use barepod_tests::process::{Owned, tail};
use barepod_tests::steady_port;
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
    /// The one value of a family whose labels hold all these.
    fn one(&self, family: &str, labels: &[&str]) -> Result<f64> {
        let fits = |series: &&String| {
            series.split('{').next() == Some(family) && labels.iter().all(|label| series.contains(label))
        };
        let found: Vec<_> = self.series.keys().filter(fits).collect();
        let [one] = found[..] else { return Err(format!("{family}{labels:?} is {found:?}").into()) };
        Ok(self.series[one])
    }
}

/// Series that the common dashboards of kubelet and cAdvisor ask for, of what a process of the host has.
const DASHBOARDS: [&str; 12] = [
    "container_cpu_usage_seconds_total",
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_memory_working_set_bytes",
    "container_memory_usage_bytes",
    "container_memory_rss",
    "container_memory_cache",
    "container_memory_failures_total",
    "container_spec_memory_limit_bytes",
    "container_start_time_seconds",
    "container_oom_events_total",
    "machine_memory_bytes",
];

#[test]
fn dashboards_find_their_series() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    cluster.apply(&busy("busy"))?;
    cluster.ready("busy")?;

    let cadvisor = page(&ask(&cluster, "/metrics/cadvisor")?)?;
    let missing: BTreeSet<_> = DASHBOARDS.iter().filter(|name| !cadvisor.kinds.contains_key(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let main = [r#"namespace="default""#, r#"pod="busy""#, r#"container="main""#];
    assert!(cadvisor.one("container_cpu_usage_seconds_total", &main)? > 0.0);
    assert_eq!(cadvisor.one("container_spec_memory_limit_bytes", &main)?, f64::from(200 << 20));
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
fn metrics_server(cluster: &Joined) -> Result<(Owned, std::path::PathBuf)> {
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
fn until<T>(cluster: &Joined, log: &std::path::Path, what: &str, look: impl FnMut(&Joined) -> Option<T>) -> Result<T> {
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
