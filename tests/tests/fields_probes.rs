//! Each field of a probe, in each of the three probes of a regular container and of a sidecar: what it asks whom, how and
//! when. The test itself is the service that is asked.

use std::time::Duration;

use barepod_tests::host::{Host, SOON};
use barepod_tests::listen::{Listener, Manner};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";
const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
const CONTAINERS: [&str; 2] = ["main", "side"];
/// Not where probes ask that name no host.
const ELSEWHERE: &str = "127.0.0.2";

/// A pod of a regular container, `main`, and a sidecar, `side`, each with the probes that this makes for it.
fn pod(mut probe: impl FnMut(&str, &str) -> Option<Value>) -> Value {
    let mut side = sh("side", IDLE);
    side["restartPolicy"] = json!("Always");
    let mut containers = [sh("main", IDLE), side];
    for container in &mut containers {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        for kind in PROBES {
            if let Some(probe) = probe(&name, kind) {
                container[kind] = probe;
            }
        }
    }
    let [main, side] = containers;
    let mut pod = pods::pod("pod", [main]);
    pod["spec"]["initContainers"] = json!([side]);
    pod
}

/// A probe that asks every second and gives up at once.
fn often(mut probe: Value) -> Value {
    for (key, value) in [("periodSeconds", json!(1)), ("failureThreshold", json!(1))] {
        if probe.get(key).is_none() {
            probe[key] = value;
        }
    }
    probe
}

/// One listener for each of the probes, by container and probe.
struct Listeners(Vec<(String, Listener)>);

impl Listeners {
    fn new(manner: impl Fn(&str) -> Manner) -> Result<Self> {
        let mut all = Vec::new();
        for container in CONTAINERS {
            for kind in PROBES {
                all.push((format!("{container}-{kind}"), Listener::new(ELSEWHERE, manner(kind))?));
            }
        }
        Ok(Self(all))
    }

    fn port(&self, container: &str, kind: &str) -> u16 {
        let name = format!("{container}-{kind}");
        self.0.iter().find(|(found, _)| *found == name).map_or(0, |(_, listener)| listener.port())
    }

    /// Waits until each has been asked so often.
    fn asked(&self, host: &Host, times: usize) -> Result {
        for (name, listener) in &self.0 {
            host.until(format!("{name} to ask {times} times"), SOON, |_| {
                (listener.seen().len() >= times).then_some(())
            })?;
        }
        Ok(())
    }
}

fn restarts(host: &Host, list: &str) -> u64 {
    host.pod("pod").ok().and_then(|pod| pod["status"][list][0]["restartCount"].as_u64()).unwrap_or(0)
}

// ---- whom and how ----

#[test]
fn an_http_probe_asks_this_host_and_port_for_this_path_with_these_headers() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|_| Manner::Answers(200))?;
    host.apply_object(&pod(|container, kind| {
        let headers = json!([{"name": "X-Kind", "value": kind}, {"name": "Host", "value": "name.example"}]);
        let port = listeners.port(container, kind);
        let path = format!("/{container}/{kind}?q=1");
        let get = json!({"host": ELSEWHERE, "port": port, "path": path, "httpHeaders": headers, "scheme": "HTTP"});
        Some(often(json!({"httpGet": get})))
    }))?;
    host.ready("pod")?;
    listeners.asked(&host, 1)?;
    for (name, listener) in &listeners.0 {
        let (container, kind) = name.split_once('-').ok_or("two words")?;
        let text = listener.first().unwrap_or_default().to_lowercase();
        let kind = kind.to_lowercase();
        assert!(text.starts_with(&format!("get /{container}/{kind}?q=1 http/1.1\r\n")), "{text}");
        assert!(text.contains(&format!("\r\nx-kind: {kind}\r\n")), "{text}");
        assert!(text.contains("\r\nhost: name.example\r\n"), "{text}");
    }
    Ok(())
}

#[test]
fn an_https_probe_speaks_tls() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|_| Manner::Answers(200))?;
    // One that fails at startup lets no other be asked, so each stands alone.
    for kind in PROBES {
        let mut pod = pod(|container, probe| {
            let get = json!({"host": ELSEWHERE, "port": listeners.port(container, kind), "scheme": "HTTPS"});
            (probe == kind).then(|| json!({"httpGet": get, "periodSeconds": 1, "failureThreshold": 1000}))
        });
        // A sidecar that has not started keeps the other from starting.
        if kind == "startupProbe" {
            let mut side = pod.clone();
            side["metadata"]["name"] = json!("side-startup");
            host.apply_object(&side)?;
            pod["spec"]["initContainers"] = json!([]);
        }
        pod["metadata"]["name"] = json!(kind.to_lowercase());
        host.apply_object(&pod)?;
    }
    listeners.asked(&host, 1)?;
    for (name, listener) in &listeners.0 {
        let first = listener.first().unwrap_or_default();
        assert!(first.starts_with('\u{16}'), "{name} begins with a handshake: {first:?}");
    }
    Ok(())
}

#[test]
fn a_tcp_probe_connects_to_this_host_and_port() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|_| Manner::Hangs)?;
    host.apply_object(&pod(|container, kind| {
        Some(often(json!({"tcpSocket": {"host": ELSEWHERE, "port": listeners.port(container, kind)}})))
    }))?;
    host.ready("pod")?;
    listeners.asked(&host, 1)?;
    assert!(listeners.0.iter().all(|(_, listener)| listener.first().as_deref() == Some("")), "nothing is said");
    Ok(())
}

#[test]
fn a_probe_runs_its_command_in_the_container() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pod(|container, kind| {
        Some(often(json!({"exec": {"command": ["sh", "-c", format!("touch /tmp/{container}-{kind}")]}})))
    }))?;
    host.ready("pod")?;
    for container in CONTAINERS {
        for kind in PROBES {
            host.until(format!("{kind} of {container} to run"), SOON, |host| {
                host.asked("pod", container, &format!("ls /tmp/{container}-{kind}")).ok()
            })?;
        }
    }
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

#[test]
fn a_grpc_probe_asks_this_port_for_the_health_of_this_service() -> Result {
    let host = Host::started(CONFIG)?;
    let health = Health::start()?;
    // Whoever asked for the server as a whole would hear the worst.
    health.set("", ServingStatus::NotServing);
    let names = || CONTAINERS.iter().flat_map(|container| PROBES.iter().map(move |kind| format!("{container}-{kind}")));
    names().for_each(|name| health.set(&name, ServingStatus::Serving));
    host.apply_object(&pod(|container, kind| {
        Some(often(json!({"grpc": {"port": health.port, "service": format!("{container}-{kind}")}})))
    }))?;
    host.ready("pod")?;
    assert_eq!((restarts(&host, "containerStatuses"), restarts(&host, "initContainerStatuses")), (0, 0));
    for (container, list) in [("main", "containerStatuses"), ("side", "initContainerStatuses")] {
        health.set(&format!("{container}-readinessProbe"), ServingStatus::NotServing);
        host.until(format!("{container} not to be ready"), SOON, |host| {
            (host.pod("pod").ok()?["status"][list][0]["ready"] == false).then_some(())
        })?;
        health.set(&format!("{container}-livenessProbe"), ServingStatus::NotServing);
        host.until(format!("{container} to be restarted"), SOON, |host| (restarts(host, list) > 0).then_some(()))?;
    }
    Ok(())
}

// ---- when ----

#[test]
fn a_probe_waits_at_first_and_from_time_to_time_as_it_says() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|kind| Manner::Answers(if kind == "startupProbe" { 500 } else { 200 }))?;
    // Startup probes go on asking while they fail; the others are asked only without one.
    let mut asking = pod(|container, kind| {
        let get = json!({"host": ELSEWHERE, "port": listeners.port(container, kind)});
        let probe = json!({"httpGet": get, "initialDelaySeconds": 2, "periodSeconds": 3, "failureThreshold": 1000});
        (kind != "startupProbe").then_some(probe)
    });
    asking["metadata"]["name"] = json!("asking");
    host.apply_object(&asking)?;
    let mut at_startup = Vec::new();
    for container in CONTAINERS {
        let mut starting = pods::idle(&format!("starting-{container}"));
        let get = json!({"host": ELSEWHERE, "port": listeners.port(container, "startupProbe")});
        let probe = json!({"httpGet": get, "initialDelaySeconds": 2, "periodSeconds": 3, "failureThreshold": 1000});
        if container == "main" {
            starting["spec"]["containers"][0]["startupProbe"] = probe;
        } else {
            let mut side = sh("side", IDLE);
            side["restartPolicy"] = json!("Always");
            side["startupProbe"] = probe;
            starting["spec"]["initContainers"] = json!([side]);
        }
        at_startup.push(starting);
    }
    let begun = std::time::Instant::now();
    at_startup.iter().try_for_each(|pod| host.apply_object(pod).map(drop))?;
    listeners.asked(&host, 3)?;
    for (name, listener) in &listeners.0 {
        let seen = listener.seen();
        let gap = seen[2].at - seen[1].at;
        assert!(gap > Duration::from_millis(2500) && gap < Duration::from_secs(8), "{name}: {gap:?} for 3 s");
        if name.ends_with("startupProbe") {
            let first = seen[0].at - begun;
            assert!(first > Duration::from_millis(1900), "{name}: asked after {first:?}");
        }
    }
    Ok(())
}

#[test]
fn a_probe_gives_up_after_its_timeout_and_a_container_after_so_many_failures() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|_| Manner::Hangs)?;
    for kind in PROBES {
        for container in CONTAINERS {
            let mut pod = pods::idle(&format!("{container}-{}", kind.to_lowercase()));
            let get = json!({"host": ELSEWHERE, "port": listeners.port(container, kind)});
            let probe = json!({"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2});
            if container == "main" {
                pod["spec"]["containers"][0][kind] = probe;
            } else {
                let mut side = sh("side", IDLE);
                side["restartPolicy"] = json!("Always");
                side[kind] = probe;
                pod["spec"]["initContainers"] = json!([side]);
            }
            host.apply_object(&pod)?;
        }
    }
    listeners.asked(&host, 2)?;
    for (name, listener) in &listeners.0 {
        let stayed = listener.seen()[0].stayed;
        assert!(stayed > Duration::from_millis(1700) && stayed < Duration::from_secs(7), "{name}: {stayed:?} for 2 s");
    }
    for container in CONTAINERS {
        let list = if container == "main" { "containerStatuses" } else { "initContainerStatuses" };
        for kind in ["startupprobe", "livenessprobe"] {
            let name = format!("{container}-{kind}");
            host.until(format!("{name} to be restarted"), SOON, |host| {
                host.pod(&name).ok()?["status"][list][0]["restartCount"].as_u64().filter(|count| *count > 0)
            })?;
            let events = host.barepod(&["events", &name])?;
            let failures = events.split("Killing").next().unwrap_or_default().matches("probe failed").count();
            assert!(failures >= 1, "{events}");
        }
        let status = host.pod(&format!("{container}-readinessprobe"))?["status"][list][0].take();
        assert_eq!((&status["ready"], &status["restartCount"]), (&json!(false), &json!(0)), "{status}");
    }
    Ok(())
}

#[test]
fn success_thresholds_above_one_are_for_readiness_alone() -> Result {
    let host = Host::started(CONFIG)?;
    let listeners = Listeners::new(|_| Manner::Answers(200))?;
    let with = |kind: &str| {
        pod(|container, probe| {
            let get = json!({"host": ELSEWHERE, "port": listeners.port(container, probe)});
            (probe == kind).then(|| json!({"httpGet": get, "periodSeconds": 1, "successThreshold": 3}))
        })
    };
    for kind in ["startupProbe", "livenessProbe"] {
        let refused = host.apply_object(&with(kind)).map_err(|error| error.to_string()).err().unwrap_or_default();
        for list in ["containers", "initContainers"] {
            assert!(refused.contains(&format!("spec.{list}[0].{kind}.successThreshold")), "{refused}");
        }
    }
    host.apply_object(&with("readinessProbe"))?;
    host.ready("pod")?;
    for (name, listener) in listeners.0.iter().filter(|(name, _)| name.ends_with("readinessProbe")) {
        assert!(listener.seen().len() >= 3, "{name} was asked three times before it counted");
    }
    Ok(())
}

#[test]
fn the_grace_of_a_probe_goes_before_the_pods_and_readiness_stops_nothing() -> Result {
    let host = Host::started(CONFIG)?;
    for kind in ["startupProbe", "livenessProbe"] {
        for container in CONTAINERS {
            let name = format!("{container}-{}", kind.to_lowercase());
            let stubborn = "trap '' TERM; while :; do sleep 1000000 & wait; done";
            let mut pod = pods::idle(&name);
            pod["spec"]["terminationGracePeriodSeconds"] = json!(600);
            let probe = json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1,
                "terminationGracePeriodSeconds": 1});
            let mut stubborn = sh(container, stubborn);
            stubborn[kind] = probe;
            if container == "main" {
                pod["spec"]["containers"] = json!([stubborn]);
            } else {
                stubborn["restartPolicy"] = json!("Always");
                pod["spec"]["initContainers"] = json!([stubborn]);
            }
            host.apply_object(&pod)?;
        }
    }
    for container in CONTAINERS {
        let list = if container == "main" { "containerStatuses" } else { "initContainerStatuses" };
        for kind in ["startupprobe", "livenessprobe"] {
            let name = format!("{container}-{kind}");
            host.until(format!("{name} to be killed long before 600 s"), SOON, |host| {
                host.pod(&name).ok()?["status"][list][0]["restartCount"].as_u64().filter(|count| *count > 0)
            })?;
        }
        // Nothing of it has to be waited for at the end.
        for kind in ["startupprobe", "livenessprobe"] {
            host.barepod(&["delete", &format!("{container}-{kind}"), "--grace-period", "0"])?;
        }
    }
    let refused = pod(|_, kind| {
        let probe = json!({"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 1});
        (kind == "readinessProbe").then_some(probe)
    });
    let refused = host.apply_object(&refused).map_err(|error| error.to_string()).err().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        let field = format!("spec.{list}[0].readinessProbe.terminationGracePeriodSeconds");
        assert!(refused.contains(&field), "{refused}");
    }
    Ok(())
}
