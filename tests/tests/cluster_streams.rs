//! `kubectl exec`, `attach`, `cp`, `port-forward` and `debug` against a node: through the API server, by the kubelet port, in a
//! container's process and on its ports. By each of the three ways that the bytes may take.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use barepod_streams::{Headers, spdy};
use barepod_tests::cluster::{Connection, Credentials};
use barepod_tests::host::{SOON, alive};
use barepod_tests::joined::{Joined, PORT, shell};
use barepod_tests::pods::IDLE;
use barepod_tests::process::Owned;
use barepod_tests::terminal::Terminal;
use barepod_tests::wait_for;
use serde_json::json;
use sha2::{Digest as _, Sha256};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MEGABYTES: usize = 100;

/// How a client's bytes get to the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// kubectl's WebSocket, which the API server passes on, for the node says that it may.
    WebSocket,
    /// kubectl's WebSocket, translated by the API server.
    Translated,
    /// kubectl's SPDY, passed on.
    Spdy,
}

/// A cluster whose node is reached in one of the ways.
struct Reached {
    cluster: Joined,
    way: Way,
}

impl Reached {
    fn by(way: Way) -> Result<Self> {
        let cluster = Joined::with_streams(way != Way::Translated)?;
        Ok(Self { cluster, way })
    }

    fn kubectl(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.cluster.plane.command(self.cluster.plane.admin(), args)?;
        if self.way == Way::Spdy {
            command
                .envs([("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")]);
        }
        Ok(command)
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.kubectl(args)?.stdin(Stdio::null()).output()?)
    }

    /// Runs kubectl with this as its input.
    fn fed(&self, args: &[&str], input: Vec<u8>) -> Result<Output> {
        let mut command = self.kubectl(args)?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().ok_or("no stdin")?;
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output()?;
        writing.join().map_err(|_| "the writer panicked")?.ok();
        Ok(output)
    }

    fn pod(&self, name: &str, script: &str) -> Result<u32> {
        self.cluster.apply(&shell(name, script))?;
        Ok(self.cluster.ready(name)?)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that repeat nowhere near.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64)
        .step_by(8)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

// ---- exec ----

fn commands_are_run(way: Way) -> Result {
    let reached = Reached::by(way)?;
    reached.pod("db", IDLE)?;
    let exec = |args: &[&str]| reached.run(&[&["exec", "db", "--"], args].concat());

    let ended = exec(&["sh", "-c", "echo out; echo err >&2; exit 42"])?;
    assert_eq!(ended.status.code(), Some(42), "{ended:?}");
    assert_eq!(text(&ended.stdout), "out\n");
    assert_eq!(text(&ended.stderr), "err\ncommand terminated with exit code 42\n");
    assert!(exec(&["true"])?.status.success());

    let missing = exec(&["/no/such/program"])?;
    assert!(!missing.status.success() && text(&missing.stderr).contains("/no/such/program"), "{missing:?}");
    let other = reached.run(&["exec", "db", "-c", "other", "--", "true"])?;
    assert!(text(&other.stderr).contains("container other is not valid for pod db"), "{other:?}");

    let sorted = reached.fed(&["exec", "-i", "db", "--", "sort"], b"b\nc\na\n".to_vec())?;
    assert_eq!(text(&sorted.stdout), "a\nb\nc\n", "{sorted:?}");

    let sent = noise(MEGABYTES << 20);
    let sum = digest(&sent);
    let summed = reached.fed(&["exec", "-i", "db", "--", "sha256sum"], sent.clone())?;
    assert_eq!(text(&summed.stdout), format!("{sum}  -\n"), "{}", text(&summed.stderr));
    let back = reached.fed(&["exec", "-i", "db", "--", "cat"], sent)?;
    assert!(digest(&back.stdout) == sum, "{} bytes came back; {}", back.stdout.len(), text(&back.stderr));

    let mut terminal = Terminal::run(reached.kubectl(&["exec", "-it", "db", "--", "sh"])?, 31, 97)?;
    // Nothing is echoed that could be taken for the answer.
    terminal.write("test -t 0 && echo is-a-$((1+1))-tty; stty size\n")?;
    let shown = terminal.read_until("31 97")?;
    assert!(shown.contains("is-a-2-tty"), "{shown}");
    terminal.resize(44, 80)?;
    terminal.write("until test \"$(stty size)\" = '44 80'; do sleep 0.1; done; echo re$((1+1))sized; exit 5\n")?;
    terminal.read_until("re2sized")?;
    assert_eq!(terminal.child.wait("kubectl", SOON)?.code(), Some(5));
    Ok(())
}

#[test]
fn commands_are_run_by_a_websocket_that_goes_straight_to_the_node() -> Result {
    commands_are_run(Way::WebSocket)
}

#[test]
fn commands_are_run_by_spdy_into_which_the_api_server_translates() -> Result {
    commands_are_run(Way::Translated)
}

#[test]
fn commands_are_run_by_the_spdy_of_an_older_kubectl() -> Result {
    commands_are_run(Way::Spdy)
}

#[test]
fn a_client_that_is_killed_takes_its_process_with_it_even_if_nobody_reads_its_input() -> Result {
    for way in [Way::WebSocket, Way::Spdy] {
        let reached = Reached::by(way)?;
        reached.pod("db", IDLE)?;
        for input in ["/dev/null", "/dev/zero"] {
            let mut command = reached.kubectl(&["exec", "-i", "db", "--", "sh", "-c", "echo $$; exec sleep 515253"])?;
            command.stdin(std::fs::File::open(input)?).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
            assert!(line.trim().parse::<u32>().is_ok(), "{line}");
            let process = wait_for("the process", SOON, || outside("sleep\x00515253\0"))?;
            child.kill()?;
            child.wait()?;
            let what = format!("the process to end with its client, fed by {input}");
            wait_for(what, SOON, || (!alive(process)).then_some(()))?;
        }
    }
    Ok(())
}

/// A process with this command line, seen from here.
fn outside(command: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids =
        pids.filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == command.as_bytes()));
    pids.next()
}

#[test]
fn many_commands_run_at_once_and_one_that_nobody_reads_holds_up_none() -> Result {
    let reached = Reached::by(Way::WebSocket)?;
    reached.pod("db", IDLE)?;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut command = reached.kubectl(&["exec", "db", "--", "cat", "/dev/zero"])?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut first = [0; 1024];
        // It flows, and from now on nobody takes it.
        child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut first)?;
        stalled.push(child);
    }
    let running = (0..16).map(|n| {
        let mut command = reached.kubectl(&["exec", "db", "--", "sh", "-c", &format!("echo {n}; exit {n}")])?;
        Ok((n, command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
    });
    for (n, child) in running.collect::<Result<Vec<_>>>()? {
        let output = child.wait_with_output()?;
        assert_eq!((text(&output.stdout), output.status.code()), (format!("{n}\n"), Some(n)));
    }
    for mut child in stalled {
        child.kill()?;
        child.wait()?;
    }
    reached
        .cluster
        .until("those that were not read to end", |_| outside("cat\0/dev/zero\0").is_none().then_some(()))?;
    Ok(())
}

// ---- cp, attach, debug ----

#[test]
fn files_are_copied_both_ways() -> Result {
    let reached = Reached::by(Way::WebSocket)?;
    let mut pod = shell("db", IDLE);
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    reached.cluster.apply(&pod)?;
    reached.cluster.ready("db")?;
    let files = tempfile::tempdir()?;
    let (there, back) = (files.path().join("there"), files.path().join("back"));
    let sent = noise(3 << 20);
    std::fs::write(&there, &sent)?;
    let copied = reached.run(&["cp", &there.display().to_string(), "db:/data/file"])?;
    assert!(copied.status.success(), "{copied:?}");
    let summed = reached.run(&["exec", "db", "--", "sha256sum", "/data/file"])?;
    assert_eq!(text(&summed.stdout), format!("{}  /data/file\n", digest(&sent)));
    let copied = reached.run(&["cp", "db:/data/file", &back.display().to_string()])?;
    assert!(copied.status.success(), "{copied:?}");
    assert!(std::fs::read(&back)? == sent);
    Ok(())
}

#[test]
fn a_container_s_own_process_is_attached_to_on_its_terminal() -> Result {
    for way in [Way::WebSocket, Way::Translated] {
        let reached = Reached::by(way)?;
        let mut pod = shell("shown", "while read -r line; do echo \"$line $(stty size)\"; done");
        pod["spec"]["containers"][0]["stdin"] = json!(true);
        pod["spec"]["containers"][0]["tty"] = json!(true);
        reached.cluster.apply(&pod)?;
        let pid = reached.cluster.ready("shown")?;
        let mut terminal = Terminal::run(reached.kubectl(&["attach", "-it", "shown"])?, 33, 101)?;
        terminal.write("hello\n")?;
        terminal.read_until("hello 33 101")?;
        terminal.child.kill()?;
        let mut again = Terminal::run(reached.kubectl(&["attach", "-it", "shown"])?, 22, 70)?;
        again.write("again\n")?;
        again.read_until("again 22 70")?;
        assert!(alive(pid), "who detaches ends nothing");
    }
    Ok(())
}

#[test]
fn attached_without_a_terminal_both_streams_are_apart_until_the_container_ends() -> Result {
    let reached = Reached::by(Way::WebSocket)?;
    let mut pod = shell("reader", "while read -r line; do echo \"got $line\"; echo \"saw $line\" >&2; done; echo end");
    pod["spec"]["containers"][0]["stdin"] = json!(true);
    pod["spec"]["containers"][0]["stdinOnce"] = json!(true);
    pod["spec"]["restartPolicy"] = json!("Never");
    reached.cluster.apply(&pod)?;
    reached.cluster.ready("reader")?;
    let attached = reached.fed(&["attach", "-i", "reader"], b"one\n".to_vec())?;
    assert!(text(&attached.stdout).ends_with("got one\nend\n"), "{attached:?}");
    assert!(text(&attached.stderr).contains("saw one\n"), "{attached:?}");
    Ok(())
}

#[test]
fn a_debugger_is_on_the_terminal_that_called_it() -> Result {
    let reached = Reached::by(Way::WebSocket)?;
    reached.pod("db", IDLE)?;
    let debug = reached.kubectl(&["debug", "-it", "db", "--image=host", "--target=main", "--", "sh"])?;
    let mut terminal = Terminal::run(debug, 31, 97)?;
    terminal.write("echo is-a-$((1+1))-tty; stty size; tr '\\0' ' ' < /proc/1/cmdline; exit\n")?;
    let shown = terminal.read_until("sleep 1000000")?;
    assert!(shown.contains("is-a-2-tty"), "{shown}");
    terminal.child.wait("kubectl", SOON)?;
    Ok(())
}

// ---- port-forward ----

/// Answers each connection with the SHA-256 of what it sent, and then with that; on one port.
const SERVER: &str = r#"
import hashlib, socket, threading
def serve(connection):
    received = bytearray()
    while chunk := connection.recv(1 << 16):
        received += chunk
    connection.sendall(hashlib.sha256(received).hexdigest().encode() + received)
    connection.close()
def leave(farewells):
    while True:
        connection = farewells.accept()[0]
        connection.sendall(b"farewell")
        connection.close()
farewells = socket.create_server(("127.0.0.1", PORT + 1))
threading.Thread(target=leave, args=(farewells,), daemon=True).start()
listener = socket.create_server(("127.0.0.1", PORT))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// `kubectl port-forward`, to be asked at a local port.
struct Forwarded {
    _kubectl: Owned,
    port: u16,
    said: tempfile::NamedTempFile,
}

impl Forwarded {
    fn to(reached: &Reached, target: &str) -> Result<Self> {
        // It says what it does all the time: to a file, for nobody reads on.
        let (shown, said) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
        let mut command = reached.kubectl(&["port-forward", "db", &format!(":{target}")])?;
        let kubectl = Owned::spawn(command.stdin(Stdio::null()).stdout(shown.reopen()?).stderr(said.reopen()?))?;
        let port = wait_for("kubectl to say at which port", SOON, || {
            let shown = std::fs::read_to_string(shown.path()).ok()?;
            shown.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(" -> ")?.0.parse().ok()
        })?;
        Ok(Self { _kubectl: kubectl, port, said })
    }

    /// What kubectl complained of.
    fn complaints(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.said.path())?)
    }

    /// Whether what is sent comes back, with its sum before it.
    fn returns(&self, sent: &[u8]) -> Result<bool> {
        let answer = asked(self.port, sent).map_err(|error| format!("{error}; {:?}", self.complaints()))?;
        let (sum, received) =
            answer.split_at_checked(64).ok_or(format!("{} bytes; {:?}", answer.len(), self.complaints()))?;
        Ok(sum == digest(sent).as_bytes() && received == sent)
    }
}

fn asked(port: u16, sent: &[u8]) -> Result<Vec<u8>> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(SOON))?;
    connection.set_write_timeout(Some(SOON))?;
    connection.write_all(sent)?;
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}

fn ports_are_forwarded(way: Way) -> Result {
    let reached = Reached::by(way)?;
    let program = SERVER.replace("PORT", "8086");
    let mut pod = shell("db", "");
    pod["spec"]["containers"][0]["command"] = json!(["/usr/bin/python3", "-c", program]);
    reached.cluster.apply(&pod)?;
    reached.cluster.ready("db")?;
    let listens = || std::fs::read_to_string("/proc/thread-self/net/tcp").ok().filter(|text| text.contains(":1F96 "));
    wait_for("the server to listen", SOON, listens)?;

    let forwarded = Forwarded::to(&reached, "8086")?;
    // Each at once, of different lengths; then much of it.
    let all = std::thread::scope(|scope| {
        let one = |n: usize| {
            scope.spawn({
                let forwarded = &forwarded;
                move || forwarded.returns(&noise(n * 1000)).is_ok_and(|same| same)
            })
        };
        let threads: Vec<_> = (0..20).map(one).collect();
        threads.into_iter().all(|thread| thread.join().is_ok_and(|same| same))
    });
    assert!(all, "{}", forwarded.complaints()?);
    assert!(forwarded.returns(&noise(MEGABYTES << 20))?);

    // A service that ends the connection ends it for a client that has not.
    let forwarded = Forwarded::to(&reached, "8087")?;
    for _ in 0..3 {
        let mut connection = TcpStream::connect(("127.0.0.1", forwarded.port))?;
        connection.set_read_timeout(Some(SOON))?;
        let mut said = String::new();
        connection.read_to_string(&mut said).map_err(|error| format!("{error} after {said:?}"))?;
        assert_eq!(said, "farewell", "{}", forwarded.complaints()?);
    }

    // A service of the host's own, on the same loopback address.
    let host = std::net::TcpListener::bind("127.0.0.1:0")?;
    let forwarded = Forwarded::to(&reached, &host.local_addr()?.port().to_string())?;
    assert!(asked(forwarded.port, b"let me in").map_or(true, |answer| answer.is_empty()));
    let said =
        wait_for("kubectl to say why not", SOON, || forwarded.complaints().ok().filter(|said| !said.is_empty()))?;
    assert!(
        said.contains("no process of the pod listens on TCP port") && said.contains("they listen on 8086, 8087"),
        "{said}"
    );
    host.set_nonblocking(true)?;
    assert!(host.accept().is_err(), "it was reached");
    Ok(())
}

#[test]
fn ports_are_forwarded_by_a_websocket_that_goes_straight_to_the_node() -> Result {
    ports_are_forwarded(Way::WebSocket)
}

#[test]
fn ports_are_forwarded_by_spdy_into_which_the_api_server_translates() -> Result {
    ports_are_forwarded(Way::Translated)
}

#[test]
fn ports_are_forwarded_by_the_spdy_of_an_older_kubectl() -> Result {
    ports_are_forwarded(Way::Spdy)
}

// ---- those who do not keep to the protocol ----

/// As a client opens a stream.
fn open(deflate: &mut spdy::Deflate, stream: u8, kind: &str) -> Vec<u8> {
    let mut body = bytes::BytesMut::from(&[0, 0, 0, stream, 0, 0, 0, 0, 0, 0][..]);
    deflate.block(&Headers::from([("streamtype", kind)]), &mut body);
    let length = u8::try_from(body.len()).expect("a small frame");
    [&[0x80, 3, 0, 1, 0, 0, 0, length][..], &body].concat()
}

/// Resident memory, in KiB.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// A client of the node itself: how it asks for a command, and what it says as soon as it may.
struct Raw<'a> {
    reached: &'a Reached,
    who: Credentials,
    query: &'static str,
}

impl Raw<'_> {
    fn begin(&self, said: &[u8]) -> Result<Connection> {
        let mut connection = self.reached.cluster.plane.connect_to(PORT, &self.who)?;
        let head = format!(
            "POST /exec/default/db/main?{} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
             X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
            self.query
        );
        connection.write_all(head.as_bytes())?;
        let answer = read_until(&mut connection, b"\r\n\r\n")?;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", text(&answer));
        connection.write_all(said)?;
        connection.flush()?;
        Ok(connection)
    }
}

/// All that is said until `end` has been.
fn read_until(connection: &mut Connection, end: &[u8]) -> Result<Vec<u8>> {
    let mut said = Vec::new();
    while !said.ends_with(end) {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(said)
}

/// Data of a stream.
fn data(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a small frame");
    [&[0, 0, 0, stream, 0, 0, 0, length][..], bytes].concat()
}

#[test]
fn a_thousand_commands_are_open_at_once_each_with_its_own_streams() -> Result {
    const CLIENTS: usize = 1000;
    let reached = Reached::by(Way::Spdy)?;
    reached.pod("db", IDLE)?;
    let who = reached.cluster.plane.credentials("kube-apiserver-kubelet-client", None)?;
    let raw = Raw { reached: &reached, who, query: "input=1&output=1&command=cat&command=-u" };
    let mut deflate = spdy::Deflate::default();
    let opened = [("error", 1), ("stdin", 3), ("stdout", 5)].map(|(kind, stream)| open(&mut deflate, stream, kind));
    let opened = opened.concat();
    let processes = [reached.cluster.bridge.pid(), reached.cluster.host.daemon_pid()].map(Option::unwrap_or_default);
    let before = processes.map(memory);

    let mut clients = (0..CLIENTS).map(|_| raw.begin(&opened)).collect::<Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&data(3, format!("I am {number}.\n").as_bytes()))?;
        client.flush()?;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        read_until(client, format!("I am {number}.\n").as_bytes())?;
    }

    let after = processes.map(memory);
    println!("bridge and daemon with {CLIENTS} commands: {before:?} KiB before, {after:?} KiB now");
    for (before, after) in before.into_iter().zip(after) {
        let (before, after) = (before.ok_or("no memory")?, after.ok_or("no memory")?);
        assert!(after < before + (256 << 10), "{before} KiB, {after} KiB");
    }
    assert_eq!(text(&reached.run(&["exec", "db", "--", "echo", "served"])?.stdout), "served\n");
    drop(clients);
    reached.cluster.until("a thousand commands to end", |_| outside("cat\0-u\0").is_none().then_some(()))?;
    Ok(())
}

#[test]
fn clients_that_never_read_or_break_off_anywhere_take_little_and_leave_the_port_to_others() -> Result {
    let reached = Reached::by(Way::Spdy)?;
    reached.pod("db", IDLE)?;
    let who = reached.cluster.plane.credentials("kube-apiserver-kubelet-client", None)?;
    let raw = Raw { reached: &reached, who, query: "output=1&command=cat&command=/dev/zero" };
    let mut deflate = spdy::Deflate::default();
    let opened = [open(&mut deflate, 1, "error"), open(&mut deflate, 3, "stdout")].concat();

    let unread = (0..32).map(|_| raw.begin(&opened)).collect::<Result<Vec<_>>>()?;
    for length in 0..opened.len() {
        drop(raw.begin(&opened[..length])?);
    }
    let nonsense = (0..16_u8).map(|n| raw.begin(&[0x80 | n; 4000])).collect::<Result<Vec<_>>>()?;

    let bridge = reached.cluster.bridge.pid().ok_or("a bridge")?;
    let now = memory(bridge).ok_or("no memory")?;
    assert!(now < 128 << 10, "{now} KiB");
    let other = reached.run(&["exec", "db", "--", "echo", "served"])?;
    assert_eq!(text(&other.stdout), "served\n", "{other:?}");
    drop((unread, nonsense));
    reached.cluster.until("what nobody read to end", |_| outside("cat\0/dev/zero\0").is_none().then_some(()))?;
    Ok(())
}
