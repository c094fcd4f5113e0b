//! Probes and hooks over the network: thresholds and figures, who asks, and what its death does to services.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_tests::free_port;
use barepod_tests::host::{Host, Programs, SOON, is_ready, signal};
use barepod_tests::pods::{self, IDLE, sh};
use barepod_tests::programs;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// A host and a service to be probed, told by files what to answer.
struct Service {
    host: Host,
    directory: PathBuf,
    port: u16,
}

impl Service {
    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let host = Host::started(CONFIG)?;
        let directory = host.path("dir");
        std::fs::create_dir(&directory)?;
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
        std::fs::copy(programs::musl("answers")?, directory.join("answers"))?;
        Ok(Self { host, directory, port: free_port()? })
    }

    /// What it answers from now on: a status, or `hang`.
    fn answers(&self, status: &str) -> Result {
        // Renamed into place, so that half a number is never an answer.
        let new = self.directory.join("status.new");
        std::fs::write(&new, status)?;
        Ok(std::fs::rename(new, self.directory.join("status"))?)
    }

    /// A pod of it with these probes.
    fn apply(&self, probes: Value) -> Result {
        let port = self.port.to_string();
        let mut pod = pods::with_directory(pods::idle("pod"), &self.directory, "/dir");
        // As the first process of its PID namespace it does not hear SIGTERM.
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
        let container = &mut pod["spec"]["containers"][0];
        container["command"] = json!(["/dir/answers", port, "/dir"]);
        for (name, probe) in probes.as_object().into_iter().flatten() {
            container[name] = probe.clone();
        }
        self.host.apply_object(&pod)?;
        Ok(())
    }

    fn http(&self, path: &str) -> Value {
        json!({"path": path, "port": self.port})
    }

    /// What it was asked: milliseconds after its start, path, user agent.
    fn requests(&self) -> Vec<(u64, String, String)> {
        let text = std::fs::read_to_string(self.directory.join("requests")).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            Some((words.next()?.parse().ok()?, words.next()?, words.next()?))
        };
        text.lines().filter_map(line).collect()
    }

    fn paths(&self) -> BTreeSet<String> {
        self.requests().into_iter().map(|(_, path, _)| path).collect()
    }

    fn asked_for(&self, path: &str) -> Result {
        let what = format!("the service to be asked for {path}");
        Ok(self.host.until(what, SOON, |_| self.paths().contains(path).then_some(()))?)
    }
}

fn unready(host: &Host, name: &str) -> Result<Value> {
    Ok(host.until(format!("{name} not to be ready"), SOON, |host| host.pod(name).ok().filter(|pod| !is_ready(pod)))?)
}

fn restarts(pod: &Value) -> Option<u64> {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64()
}

fn restarted(host: &Host, name: &str) -> Result {
    Ok(host.until(format!("{name} to be restarted"), SOON, |host| {
        restarts(&host.pod(name).ok()?).filter(|count| *count > 0).map(drop)
    })?)
}

fn event(host: &Host, name: &str, text: &str) -> Result {
    Ok(host.until(format!("an event of {name} that says {text:?}"), SOON, |host| {
        host.barepod(&["events", name]).ok()?.contains(text).then_some(())
    })?)
}

// ---- the three ways to ask ----

#[test]
fn http_readiness_follows_the_status_both_ways() -> Result {
    let service = Service::new()?;
    service.answers("503")?;
    let probe = json!({"httpGet": service.http("/ready"), "periodSeconds": 1, "failureThreshold": 2});
    service.apply(json!({"readinessProbe": probe}))?;

    event(&service.host, "pod", "Readiness probe failed: HTTP probe failed with statuscode: 503")?;
    service.answers("204")?;
    service.host.ready("pod")?;
    service.answers("400")?;
    let pod = unready(&service.host, "pod")?;

    assert_eq!(restarts(&pod), Some(0));
    let (_, _, agent) = service.requests().swap_remove(0);
    assert!(agent.starts_with("kube-probe/1.36 barepod/"), "{agent}");
    Ok(())
}

#[test]
fn a_service_that_stops_listening_fails_its_tcp_liveness_and_is_restarted() -> Result {
    let host = Host::started(CONFIG)?;
    let port = free_port()?;
    let mut pod = pods::idle("pod");
    pod["spec"]["containers"][0]["livenessProbe"] =
        json!({"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 2});

    host.apply_object(&pod)?;

    let refused = format!("Liveness probe failed: dial tcp 127.0.0.1:{port}: connect: connection refused");
    event(&host, "pod", &refused)?;
    restarted(&host, "pod")
}

#[test]
fn grpc_readiness_follows_the_health_service() -> Result {
    let host = Host::started(CONFIG)?;
    let health = Health::start()?;
    let mut pod = pods::idle("pod");
    let grpc = json!({"port": health.port, "service": "db"});
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"grpc": grpc, "periodSeconds": 1, "failureThreshold": 1});
    host.apply_object(&pod)?;

    event(&host, "pod", "code = NotFound")?;
    health.set("db", ServingStatus::NotServing);
    event(&host, "pod", "service unhealthy (responded with \"NOT_SERVING\")")?;
    health.set("db", ServingStatus::Serving);
    host.ready("pod")?;
    health.set("db", ServingStatus::NotServing);
    unready(&host, "pod")?;
    Ok(())
}

/// A gRPC health service of this test.
struct Health {
    port: u16,
    runtime: tokio::runtime::Runtime,
    reporter: HealthReporter,
    _end: oneshot::Sender<()>,
}

impl Health {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (reporter, service) = health_reporter();
        let (end, ended) = oneshot::channel();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let serving = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(serving.serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            ended.await.ok();
        }));
        Ok(Self { port, runtime, reporter, _end: end })
    }

    fn set(&self, service: &str, status: ServingStatus) {
        self.runtime.block_on(self.reporter.set_service_status(service, status));
    }
}

// ---- figures ----

#[test]
fn an_answer_that_does_not_come_in_time_is_a_failure() -> Result {
    let service = Service::new()?;
    service.answers("hang")?;
    let probe = json!({"httpGet": service.http("/"), "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1});
    service.apply(json!({"livenessProbe": probe}))?;

    event(&service.host, "pod", "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")?;
    service.answers("200")?;
    restarted(&service.host, "pod")
}

#[test]
fn until_the_startup_probe_succeeds_nothing_else_is_asked() -> Result {
    let service = Service::new()?;
    service.answers("503")?;
    let probe =
        |path: &str, failures| json!({"httpGet": service.http(path), "periodSeconds": 1, "failureThreshold": failures});
    service.apply(json!({
        "startupProbe": probe("/startup", 1000),
        "livenessProbe": probe("/live", 1),
        "readinessProbe": probe("/ready", 1),
    }))?;

    service.host.until("three startup probes", SOON, |_| (service.requests().len() >= 3).then_some(()))?;
    assert_eq!(service.paths(), BTreeSet::from(["/startup".to_owned()]));

    service.answers("200")?;
    let pod = service.host.ready("pod")?;
    service.asked_for("/live")?;
    service.asked_for("/ready")?;
    assert_eq!(restarts(&pod), Some(0));
    Ok(())
}

#[test]
fn nobody_asks_before_the_initial_delay_is_over() -> Result {
    let service = Service::new()?;
    let probe = json!({"httpGet": service.http("/"), "initialDelaySeconds": 3, "periodSeconds": 1});
    service.apply(json!({"readinessProbe": probe}))?;

    service.host.ready("pod")?;

    // The service counts from its own start, which is a little later than that of its process.
    let (first, ..) = service.requests().swap_remove(0);
    assert!(first > 2500, "asked {first} ms after the start");
    Ok(())
}

#[test]
fn a_probes_own_grace_goes_before_the_pods() -> Result {
    let service = Service::new()?;
    let mut pod = pods::with_directory(pods::shell("pod", "trap '' TERM; sleep 1000000"), &service.directory, "/dir");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1000);
    pod["spec"]["containers"][0]["livenessProbe"] = json!({
        "tcpSocket": {"port": service.port},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    });

    service.host.apply_object(&pod)?;

    // It ignores SIGTERM: with the pod's own grace it would outlast this test.
    restarted(&service.host, "pod")
}

// ---- hooks ----

#[test]
fn hooks_by_http_are_asked_once_and_any_answer_will_do() -> Result {
    let service = Service::new()?;
    service.answers("500")?;
    // Asked by another pod, for a pod's own service may not listen yet when its hook runs.
    service.apply(json!({}))?;
    service.host.running("pod")?;
    let listening = || std::net::TcpStream::connect(("127.0.0.1", service.port)).ok().map(drop);
    service.host.until("the service to listen", SOON, |_| listening())?;
    let mut hooked = pods::idle("hooked");
    hooked["spec"]["containers"][0]["lifecycle"] =
        json!({"postStart": {"httpGet": service.http("/begin")}, "preStop": {"httpGet": service.http("/end")}});

    service.host.apply_object(&hooked)?;
    service.host.ready("hooked")?;
    service.host.barepod(&["delete", "pod", "hooked"])?;
    service.host.gone("hooked")?;

    let asked: Vec<_> = service.requests().into_iter().map(|(_, path, agent)| (path, agent)).collect();
    let agent = format!("kube-lifecycle/1.36 barepod/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(asked, [("/begin".to_owned(), agent.clone()), ("/end".to_owned(), agent)]);
    Ok(())
}

#[test]
fn a_post_start_hook_that_nobody_answers_restarts_the_container() -> Result {
    let host = Host::started(CONFIG)?;
    let mut pod = pods::idle("pod");
    let nobody = json!({"httpGet": {"port": free_port()?, "path": "/"}});
    pod["spec"]["containers"][0]["lifecycle"] = json!({"postStart": nobody});

    host.apply_object(&pod)?;

    event(&host, "pod", "connection refused")?;
    restarted(&host, "pod")
}

// ---- the prober ----

#[test]
fn a_prober_that_is_killed_over_and_over_fails_no_probe() -> Result {
    // From the ninth on they come a second apart: who dies at once is not replaced at once for ever.
    const KILLS: usize = 20;
    let service = Service::new()?;
    let health = Health::start()?;
    let with = |question: &str, value: Value| json!({question: value, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 2});
    service.apply(json!({
        "startupProbe": with("tcpSocket", json!({"port": service.port})),
        "livenessProbe": with("httpGet", service.http("/live")),
        "readinessProbe": with("grpc", json!({"port": health.port})),
    }))?;
    // The service may not listen yet at the first startup probe; what counts is what comes from here on.
    service.host.ready("pod")?;
    let before = restarts(&service.host.pod("pod")?);
    let told = service.host.barepod(&["events", "pod"])?.matches("Unhealthy").count();

    // So late that its askers die while they wait.
    service.answers("slow")?;
    let asked = service.requests().len();
    let mut killed = BTreeSet::new();
    service.host.until(format!("{KILLS} probers to be killed"), 2 * SOON, |host| {
        killed.extend(host.probers().into_iter().filter(|pid| signal(*pid, "KILL").is_ok()));
        (killed.len() >= KILLS || !host.pod("pod").is_ok_and(|pod| is_ready(&pod))).then_some(())
    })?;
    assert!(service.requests().len() > asked, "nothing was asked in the meantime");
    let asked = service.requests().len();
    service.host.until("probes to go on", SOON, |_| (service.requests().len() > asked + 1).then_some(()))?;

    assert!(killed.len() >= KILLS, "not ready after {} probers were killed", killed.len());
    let pod = service.host.pod("pod")?;
    assert!(is_ready(&pod) && restarts(&pod) == before, "{pod}");
    let events = service.host.barepod(&["events", "pod"])?;
    assert_eq!(events.matches("Unhealthy").count(), told, "{events}");
    Ok(())
}

#[test]
fn a_prober_that_hangs_is_replaced_and_fails_no_probe() -> Result {
    let service = Service::new()?;
    let probe = json!({"httpGet": service.http("/"), "periodSeconds": 1, "failureThreshold": 1});
    service.apply(json!({"readinessProbe": probe}))?;
    service.host.ready("pod")?;
    let told = service.host.barepod(&["events", "pod"])?.matches("Unhealthy").count();
    let first = service.host.probers();
    let pid = *first.first().ok_or("no prober")?;

    signal(pid, "STOP")?;

    service.host.until("another prober", SOON, |host| {
        let now = host.probers();
        (!now.is_empty() && !now.contains(&pid)).then_some(())
    })?;
    let asked = service.requests().len();
    service.host.until("probes to go on", SOON, |_| (service.requests().len() > asked + 1).then_some(()))?;
    assert!(is_ready(&service.host.pod("pod")?));
    assert_eq!(service.host.barepod(&["events", "pod"])?.matches("Unhealthy").count(), told);
    Ok(())
}

#[test]
fn without_a_prober_nothing_fails_and_people_are_told() -> Result {
    let mut host = Host::new(CONFIG)?;
    host.set_programs(Programs { prober: Some(host.path("no-such-prober")), ..Programs::default() });
    host.start()?;
    let mut pod = pods::idle("pod");
    let probe = json!({"tcpSocket": {"port": free_port()?}, "periodSeconds": 1, "failureThreshold": 1});
    pod["spec"]["containers"][0]["livenessProbe"] = probe.clone();
    pod["spec"]["containers"][0]["readinessProbe"] = probe;

    host.apply_object(&pod)?;

    event(&host, "pod", "Readiness probe decided nothing: there is no prober: ")?;
    event(&host, "pod", "Liveness probe decided nothing: there is no prober: ")?;
    let pod = host.pod("pod")?;
    assert!(!is_ready(&pod) && restarts(&pod) == Some(0), "{pod}");
    Ok(())
}

/// A program in the prober's place, whose socket to the daemon is its standard input.
fn impostor(host: &mut Host, says: &str) -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    let program = host.path("impostor");
    std::fs::write(&program, format!("#!/bin/sh\nprintf '{says}' >&0\nexec sleep 1000000\n"))?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    host.set_programs(Programs { prober: Some(program), ..Programs::default() });
    Ok(())
}

#[test]
fn a_prober_that_speaks_nonsense_harms_nobody() -> Result {
    // A length over the limit; a frame that is no message; another version's first word; an answer before the first word.
    for (says, told) in [
        ("\\377\\377\\377\\377", "the prober died while it asked"),
        ("\\002\\000\\000\\000\\377\\377", "the prober died while it asked"),
        ("\\004\\000\\000\\000\\012\\002\\010\\002", "speaks version 2 of the wire"),
        ("\\004\\000\\000\\000\\022\\002\\020\\003", "does not answer"),
    ] {
        let mut host = Host::new(CONFIG)?;
        impostor(&mut host, says)?;
        host.start()?;
        let mut pod = pods::idle("pod");
        pod["spec"]["containers"][0]["livenessProbe"] =
            json!({"tcpSocket": {"port": free_port()?}, "periodSeconds": 1, "failureThreshold": 1});

        host.apply_object(&pod)?;

        event(&host, "pod", told)?;
        assert_eq!(restarts(&host.pod("pod")?), Some(0), "{says}");
    }
    Ok(())
}

#[test]
fn the_prober_comes_with_the_first_question_and_goes_with_the_daemon() -> Result {
    let service = Service::new()?;
    service.host.apply_object(&pods::idle("silent"))?;
    service.host.running("silent")?;
    assert!(service.host.probers().is_empty(), "a prober before there is a question");

    service.apply(json!({"readinessProbe": {"httpGet": service.http("/"), "periodSeconds": 1}}))?;
    service.host.ready("pod")?;
    let pid = *service.host.probers().first().ok_or("no prober")?;
    assert_ne!(user(pid)?, "0", "the prober is root");

    let Service { mut host, .. } = service;
    host.kill_daemon()?;
    host.until("the prober to end", SOON, |_| (!barepod_tests::host::alive(pid)).then_some(()))?;
    Ok(())
}

fn user(pid: u32) -> Result<String> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).ok_or("no Uid")?;
    Ok(line.split_whitespace().next().ok_or("no Uid")?.to_owned())
}

#[test]
fn who_names_no_host_means_the_configured_address() -> Result {
    // All of 127/8 is this host's.
    let host = Host::started("probeAddress: 127.9.8.7\n")?;
    let mut pod = pods::pod("pod", [sh("main", IDLE)]);
    let port = free_port()?;
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": port}, "periodSeconds": 1});

    host.apply_object(&pod)?;

    event(&host, "pod", &format!("dial tcp 127.9.8.7:{port}: connect: connection refused"))?;
    let _listener = std::net::TcpListener::bind(("127.9.8.7", port))?;
    host.ready("pod")?;
    Ok(())
}

/// A second is the shortest period there is.
#[test]
fn success_threshold_wants_so_many_in_a_row() -> Result {
    let service = Service::new()?;
    let probe = json!({"httpGet": service.http("/"), "periodSeconds": 1, "successThreshold": 3});
    service.apply(json!({"readinessProbe": probe}))?;

    service.host.ready("pod")?;

    let requests = service.requests();
    assert!(requests.len() >= 3, "ready after {} answers", requests.len());
    let (first, third) = (requests[0].0, requests[2].0);
    assert!(Duration::from_millis(third - first) > Duration::from_millis(1500), "{requests:?}");
    Ok(())
}
