//! What it costs to ask two hundred services three questions a second each: the daemon, and the prober that asks.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use barepod_statistics::Sample;
use barepod_tests::host::{Host, SOON, is_ready};
use serde_json::{Value, json};

use super::supervisor::Barepod;
use super::table::{Arm, Line};
use super::{Course, process};

const PODS: usize = 200;
/// A minute, in pieces.
const PIECES: usize = 12;
const PIECE: Duration = Duration::from_secs(5);

/// Whom everybody asks: answers HTTP, in this process, whose time is not counted.
struct Service {
    port: u16,
    asked: Arc<AtomicU64>,
}

/// The daemon, and its prober.
#[derive(Default)]
struct Spent {
    daemon: Vec<f64>,
    prober: Vec<f64>,
}

/// barepod alone: no peer of this machine probes over the network.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let service = Service::start()?;
    let barepod = Barepod::start(&course.built)?;
    let host = barepod.host();
    for number in 0..PODS {
        host.apply_object(&pod(number, service.port))?;
    }
    host.until("all pods to be ready", 4 * SOON, |host| {
        let pods: Value = serde_json::from_str(&host.barepod(&["get", "pods", "-o", "json"]).ok()?).ok()?;
        let pods = pods["items"].as_array()?;
        (pods.len() == PODS && pods.iter().all(is_ready)).then_some(())
    })?;
    let daemon = host.daemon_pid().context("the daemon is gone")?;
    let prober = *host.probers().first().context("there is no prober")?;
    let (before, begin) = (service.asked.load(Ordering::Relaxed), Instant::now());
    let spent = watch(daemon, prober)?;
    let asked = (service.asked.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64();
    anyhow::ensure!(host.probers() == [prober], "the prober was replaced in the meantime");
    unharmed(host)?;
    lines(spent, [daemon, prober], asked)
}

/// Liveness and readiness of one container and readiness of another: three that go on, for a startup probe does not.
fn pod(number: usize, port: u16) -> Value {
    let http = |path: &str| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": 1});
    let container = |name: &str| json!({"name": name, "image": "host", "command": ["sleep", "1000000"]});
    let (mut first, mut second) = (container("first"), container("second"));
    first["livenessProbe"] = http("/live");
    first["readinessProbe"] = http("/ready");
    second["readinessProbe"] = json!({"tcpSocket": {"port": port}, "periodSeconds": 1});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": format!("probed-{number}")},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [first, second]},
    })
}

fn watch(daemon: u32, prober: u32) -> anyhow::Result<Spent> {
    let mut spent = Spent::default();
    for _ in 0..PIECES {
        let begin = Instant::now();
        let before = [process::processor_time_of_all_threads(daemon)?, process::processor_time_of_all_threads(prober)?];
        std::thread::sleep(PIECE);
        for (pid, before, figures) in [(daemon, before[0], &mut spent.daemon), (prober, before[1], &mut spent.prober)] {
            let spent = process::processor_time_of_all_threads(pid)?.saturating_sub(before);
            figures.push(spent.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0);
        }
    }
    Ok(spent)
}

/// A probe that failed under this load would make the figures worthless.
fn unharmed(host: &Host) -> anyhow::Result<()> {
    let events = host.barepod(&["events"])?;
    let failed = events.lines().find(|line| line.contains("Unhealthy"));
    failed.map_or(Ok(()), |line| Err(anyhow::anyhow!("a probe failed: {line}")))
}

fn lines(spent: Spent, [daemon, prober]: [u32; 2], asked: f64) -> anyhow::Result<Vec<Line>> {
    let sample = |figures| Sample::new(figures).context("no figures");
    let arm = |name: &str, figures| anyhow::Ok(Arm { name: name.to_owned(), sample: sample(figures)? });
    let processor = Line {
        title: format!("processor time with {PODS} pods of three probes a second each"),
        unit: "% of a core".into(),
        notes: format!(
            "Two by HTTP, one by TCP, of one service on the loopback, for a minute in pieces of {} s. It was connected to {asked:.0} \
             times a second. No peer on this machine probes over the network.",
            PIECE.as_secs()
        ),
        goals: Vec::new(),
        arms: vec![arm("barepodd", spent.daemon)?, arm("barepod-prober", spent.prober)?],
    };
    let memory = Line {
        title: format!("resident memory with {PODS} pods of three probes a second each"),
        unit: "kB".into(),
        notes: format!(
            "After that minute. Of the prober's, {} kB are private and dirty.",
            process::private_dirty(prober)?
        ),
        goals: Vec::new(),
        arms: vec![
            arm("barepodd", vec![process::resident(daemon)?])?,
            arm("barepod-prober", vec![process::resident(prober)?])?,
        ],
    };
    Ok(vec![processor, memory])
}

impl Service {
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, asked) = (listener.local_addr()?.port(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                answer(stream);
            }
        });
        Ok(Self { port, asked })
    }
}

/// A TCP probe says nothing and is told nothing; whoever is gone is not waited for.
fn answer(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok();
    if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
    }
}
