//! What goes through the kubelet port: bytes out of a container and through a forwarded port, and the time of a small command.
//!
//! No kubelet runs without containers; the arm beside ours is socat with TLS, which does with one hop what takes kubectl, API
//! server and node two hops and a protocol of streams.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use barepod_tests::cluster::Recipe;
use barepod_tests::joined::{ADDRESS, Joined, NODE, shell};
use barepod_tests::process::Owned;
use barepod_tests::{free_port, wait_for};
use serde_json::json;

use super::Course;
use super::table::{Arm, Line};
use barepod_statistics::Sample;

const MEGABYTES: usize = 100;
/// Each takes some seconds.
const ROUNDS: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);
/// The port on which a pod serves the bytes.
const PORT: u16 = 8086;
const POD: &str = "source";

/// In a thread of its own, whose network is its own.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let bench = Bench::new(course)?;
            Ok(vec![bench.exec()?, bench.port_forward()?, bench.small()?])
        });
        measured.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
    })
}

/// How kubectl's bytes get to the node.
#[derive(Clone, Copy)]
enum Way {
    WebSocket,
    Spdy,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "kubectl, WebSocket",
            Self::Spdy => "kubectl, SPDY",
        }
    }
}

const WAYS: [Way; 2] = [Way::WebSocket, Way::Spdy];

struct Bench {
    joined: Joined,
    rounds: usize,
    gap: Duration,
    /// What is sent.
    file: PathBuf,
    /// A certificate with its key, for socat.
    certificate: PathBuf,
}

impl Bench {
    fn new(course: &Course) -> anyhow::Result<Self> {
        let joined = Joined::of(course.built.clone(), &Recipe::default(), "", &[])?;
        joined.approve_serving_certificate()?;
        joined.until("the node to say where its port is", |joined| {
            let node = joined.get(&["node", NODE])?;
            node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().filter(|port| *port > 0)
        })?;
        let file = joined.host.path("srv/bytes");
        let directory = file.parent().context("it lies somewhere")?;
        fs_err::create_dir_all(directory)?;
        let noise = (0..(MEGABYTES << 20) as u64).step_by(8).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        fs_err::write(&file, noise.flat_map(u64::to_le_bytes).collect::<Vec<_>>())?;
        let mut pod =
            shell(POD, &format!("exec socat TCP-LISTEN:{PORT},fork,reuseaddr OPEN:{},rdonly", file.display()));
        pod["spec"]["volumes"] = json!([{"name": "bytes", "hostPath": {"path": directory, "type": "Directory"}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "bytes", "mountPath": directory}]);
        joined.apply(&pod)?;
        joined.ready(POD)?;
        let certificate = certificate(&joined)?;
        Ok(Self { joined, rounds: course.rounds.min(ROUNDS), gap: course.gap, file, certificate })
    }

    fn kubectl(&self, way: Way, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.joined.plane.command(self.joined.plane.admin(), args)?;
        if matches!(way, Way::Spdy) {
            command
                .envs([("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")]);
        }
        Ok(command)
    }

    /// Arms in turns: a figure of each a round, the first round's for nothing.
    fn rounds(&self, arms: &mut [(String, &mut dyn FnMut() -> anyhow::Result<f64>)]) -> anyhow::Result<Vec<Arm>> {
        let mut figures = vec![Vec::new(); arms.len()];
        for round in 0..=self.rounds {
            for ((_, measure), figures) in arms.iter_mut().zip(&mut figures) {
                std::thread::sleep(self.gap);
                let figure = measure()?;
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        let arms = arms.iter().zip(figures);
        arms.map(|((name, _), figures)| {
            Ok(Arm { name: name.clone(), sample: Sample::new(figures).context("no figures")? })
        })
        .collect()
    }

    fn exec(&self) -> anyhow::Result<Line> {
        let file = self.file.display().to_string();
        let port = free_port()?;
        let served = format!("EXEC:cat {file}");
        let _server = self.socat_server(port, &served)?;
        let by = |way: Way| {
            let mut command = self.kubectl(way, &["exec", POD, "--", "cat", &file])?;
            rate(command.stdin(Stdio::null()))
        };
        let mut web_socket = || by(WAYS[0]);
        let mut spdy = || by(WAYS[1]);
        let mut socat = || rate(Command::new("socat").args(["-u", &tls_to(port), "-"]));
        let arms = self.rounds(&mut [
            (WAYS[0].name().to_owned(), &mut web_socket),
            (WAYS[1].name().to_owned(), &mut spdy),
            ("socat, TLS".to_owned(), &mut socat),
        ])?;
        Ok(Line {
            title: "Kubernetes: bytes out of a container by kubectl exec, more is better".to_owned(),
            unit: "MB/s".into(),
            notes: format!(
                "{MEGABYTES} MiB of `cat`, from before kubectl begins to its end; none was missing. kubectl, API server, \
                 node and service share the cores. socat runs the same `cat` behind one hop of TLS."
            ),
            goals: Vec::new(),
            arms,
        })
    }

    fn port_forward(&self) -> anyhow::Result<Line> {
        let port = free_port()?;
        let _server = self.socat_server(port, &format!("TCP:127.0.0.1:{PORT}"))?;
        let local = free_port()?;
        let mut tunnel = Command::new("socat");
        tunnel.arg(format!("TCP-LISTEN:{local},bind=127.0.0.1,fork,reuseaddr")).arg(tls_to(port));
        let _tunnel = Owned::spawn(&mut tunnel)?;
        let forwarded =
            WAYS.map(|way| Forwarded::start(self.kubectl(way, &["port-forward", POD, &format!(":{PORT}")])?));
        let [web_socket, spdy] = forwarded;
        let (web_socket, spdy) = (web_socket?, spdy?);
        let mut by_web_socket = || read_all(web_socket.port);
        let mut by_spdy = || read_all(spdy.port);
        let mut socat = || read_all(local);
        let arms = self.rounds(&mut [
            (WAYS[0].name().to_owned(), &mut by_web_socket),
            (WAYS[1].name().to_owned(), &mut by_spdy),
            ("socat, TLS".to_owned(), &mut socat),
        ])?;
        Ok(Line {
            title: "Kubernetes: bytes through a port forwarded by kubectl, more is better".to_owned(),
            unit: "MB/s".into(),
            notes: format!(
                "{MEGABYTES} MiB from a service in a pod, from the connection to its end; none was missing. socat: two of \
                 them with TLS between, which is one hop less."
            ),
            goals: Vec::new(),
            arms,
        })
    }

    fn small(&self) -> anyhow::Result<Line> {
        let by = |way: Way, args: &[&str]| {
            let begin = Instant::now();
            let output = self.kubectl(way, args)?.stdin(Stdio::null()).output()?;
            anyhow::ensure!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
            Ok(begin.elapsed().as_secs_f64() * 1e3)
        };
        let exec = ["exec", POD, "--", "true"];
        let mut web_socket = || by(WAYS[0], &exec);
        let mut spdy = || by(WAYS[1], &exec);
        let mut nothing = || by(WAYS[0], &["get", "--raw", "/readyz"]);
        let arms = self.rounds(&mut [
            (WAYS[0].name().to_owned(), &mut web_socket),
            (WAYS[1].name().to_owned(), &mut spdy),
            ("kubectl get --raw /readyz".to_owned(), &mut nothing),
        ])?;
        Ok(Line {
            title: "Kubernetes: kubectl exec of `true`, to its end".to_owned(),
            unit: "ms".into(),
            notes: "The last arm is what kubectl and the API server take for a question that no node has to do with."
                .to_owned(),
            goals: Vec::new(),
            arms,
        })
    }

    fn socat_server(&self, port: u16, to: &str) -> anyhow::Result<Owned> {
        let certificate = self.certificate.display();
        let listen = format!("OPENSSL-LISTEN:{port},bind={ADDRESS},cert={certificate},verify=0,fork,reuseaddr");
        let server = Owned::spawn(Command::new("socat").arg(listen).arg(to).stdin(Stdio::null()))?;
        wait_for("socat to listen", LIMIT, || TcpStream::connect((ADDRESS, port)).ok())?;
        Ok(server)
    }
}

fn tls_to(port: u16) -> String {
    format!("OPENSSL:{ADDRESS}:{port},verify=0")
}

/// A certificate that nobody has to trust.
fn certificate(joined: &Joined) -> anyhow::Result<PathBuf> {
    let path = joined.plane.path("socat.pem");
    let (key, certificate) = (joined.plane.path("socat.key"), joined.plane.path("socat.crt"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]);
    openssl.args(["-subj", "/CN=socat", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    let output = openssl.output().context("openssl")?;
    anyhow::ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    fs_err::write(&path, [fs_err::read(key)?, fs_err::read(certificate)?].concat())?;
    Ok(path)
}

/// Megabytes a second of what a command writes.
fn rate(command: &mut Command) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let read = count(child.stdout.take().context("no output")?)?;
    anyhow::ensure!(child.wait()?.success() && read == MEGABYTES << 20, "{read} bytes came");
    Ok((MEGABYTES << 20) as f64 / 1e6 / begin.elapsed().as_secs_f64())
}

/// Of what comes from a port.
fn read_all(port: u16) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.flush()?;
    let read = count(&mut connection)?;
    anyhow::ensure!(read == MEGABYTES << 20, "{read} bytes came");
    Ok((MEGABYTES << 20) as f64 / 1e6 / begin.elapsed().as_secs_f64())
}

fn count(mut from: impl Read) -> anyhow::Result<usize> {
    let (mut buffer, mut all) = (vec![0; 1 << 16], 0);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(all),
            some => all += some,
        }
    }
}

/// `kubectl port-forward`, and where it listens.
struct Forwarded {
    _kubectl: Owned,
    port: u16,
}

impl Forwarded {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let said = tempfile::NamedTempFile::new()?;
        let kubectl = Owned::spawn(command.stdin(Stdio::null()).stdout(said.reopen()?).stderr(Stdio::null()))?;
        let port = wait_for("kubectl to say at which port", LIMIT, || {
            let said = std::fs::read_to_string(said.path()).ok()?;
            said.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(" -> ")?.0.parse().ok()
        })?;
        Ok(Self { _kubectl: kubectl, port })
    }
}
