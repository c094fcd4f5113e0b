//! The kubelet port among those who mean it no good, or are many: it is never gone, and never large.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use barepod_tests::cluster::{Connection, Credentials};
use barepod_tests::host::SOON;
use barepod_tests::joined::{Joined, PORT, shell};
use barepod_tests::wait_for;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A node, and who may ask it.
fn cluster() -> Result<(Joined, Credentials)> {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    let own = cluster.plane.credentials("kube-apiserver-kubelet-client", None)?;
    Ok((cluster, own))
}

/// Resident memory of the bridge, in MiB.
fn memory(cluster: &Joined) -> Result<u64> {
    let pid = cluster.bridge.pid().ok_or("a bridge")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("its memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

/// Open files of the bridge.
fn files(cluster: &Joined) -> Result<usize> {
    let pid = cluster.bridge.pid().ok_or("a bridge")?;
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

#[test]
fn those_who_say_nothing_or_never_end_keep_nobody_out() -> Result {
    let (cluster, own) = cluster()?;
    let before = (files(&cluster)?, memory(&cluster)?);
    let silent: Vec<_> = (0..1000).map(|_| TcpStream::connect(PORT)).collect::<std::io::Result<_>>()?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut connection = cluster.plane.connect_to(PORT, &own)?;
        // The oldest of them may have been sent away already.
        connection.write_all(b"GET /healthz HTTP/1.1\r\nX: ").ok();
        slow.push(connection);
        if slow.len() % 50 == 0 {
            assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?, (200, "ok".to_owned()));
        }
    }
    let after = (files(&cluster)?, memory(&cluster)?);
    assert!(after.0 < before.0 + 150, "{before:?}, {after:?}");
    assert!(after.1 < before.1 + 32, "{before:?}, {after:?}");
    assert_eq!(cluster.kubectl(&["get", "--raw", "/api/v1/nodes/host-1/proxy/healthz"])?, "ok");
    drop(silent);
    Ok(())
}

/// What is answered to raw bytes, as far as there is an answer: its first line.
fn say(cluster: &Joined, who: &Credentials, bytes: &[u8]) -> Result<String> {
    let mut connection = cluster.plane.connect_to(PORT, who)?;
    // Whoever is refused in the midst of it need not be able to say all.
    connection.write_all(bytes).and_then(|()| connection.flush()).ok();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).ok();
    Ok(line.trim_end().to_owned())
}

#[test]
fn absurd_requests_are_refused_and_the_port_stays() -> Result {
    let (cluster, own) = cluster()?;
    let head = |more: &str| format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let many: String = (0..5000).map(|number| format!("X-{number}: y\r\n")).collect();
    for (bytes, wanted) in [
        (head(""), "HTTP/1.1 200 OK"),
        (head(&format!("X: {}\r\n", "y".repeat(1 << 20))), "HTTP/1.1 431 Request Header Fields Too Large"),
        (head(&many), "HTTP/1.1 431 Request Header Fields Too Large"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 20)), "HTTP/1.1 4"),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET /pods%FF HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("POST /pods HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_owned(), "HTTP/1.1 405 Method Not Allowed"),
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "HTTP/1.1 "),
    ] {
        let said = say(&cluster, &own, bytes.as_bytes())?;
        let shown = &bytes[..bytes.len().min(80)];
        // What is on its way when the connection is closed makes the kernel throw the answer away.
        let may_be_cut_off = bytes.len() > 64 << 10;
        assert!(said.starts_with(wanted) || (may_be_cut_off && said.is_empty()), "{shown:?}: {said:?}");
        assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?.0, 200, "after {shown:?}");
    }
    // No TLS at all.
    let mut plain = TcpStream::connect(PORT)?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n")?;
    let mut said = Vec::new();
    plain.read_to_end(&mut said).ok();
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
    assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?.0, 200);
    Ok(())
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client of HTTP/2 says first, and one that asks for `/healthz` by a stream.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GET_HEALTHZ: &[u8] = b"\x82\x87\x04\x08/healthz\x01\x01a";
/// How long it is tried to say more.
const PUSHING: Duration = Duration::from_secs(2);

fn asking(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, GET_HEALTHZ)
}

/// Whether a server has said that it will hear no more (GOAWAY), or has hung up.
fn is_sent_away(connection: &mut Connection) -> bool {
    connection.sock.set_read_timeout(Some(PUSHING)).ok();
    let mut said = Vec::new();
    let ended = connection.read_to_end(&mut said);
    let mut left = said.as_slice();
    while let [high, middle, low, kind, ..] = *left {
        if kind == 7 {
            return true;
        }
        let length = 9 + usize::from(high) * 65_536 + usize::from(middle) * 256 + usize::from(low);
        left = left.get(length..).unwrap_or_default();
    }
    !ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn who_asks_by_http_2_without_end_is_sent_away_or_held_up_and_the_port_stays_small() -> Result {
    /// What is tried to be said: several times what the port may grow by.
    const MUCH: usize = 32 << 20;
    const GROWTH: u64 = 10;
    let (cluster, own) = cluster()?;
    let before = memory(&cluster)?;
    let odd = |number: u32| 2 * number + 1;
    let reset = |stream| frame(3, 0, stream, &8_u32.to_be_bytes());
    let resets: Vec<u8> = (0..200_000).flat_map(|n| [asking(odd(n)), reset(odd(n))].concat()).collect();
    let field = |number: u32| frame(9, 0, 1, &[&[0x40, 6], format!("x{number:05}").as_bytes(), &[1], b"y"].concat());
    let fields: Vec<u8> = (0..99_999).flat_map(field).collect();
    let attacks: [(&str, Vec<u8>, Vec<u8>, bool); 5] = [
        ("streams that are reset at once", Vec::new(), resets, true),
        ("a head that never ends", frame(1, 1, 1, GET_HEALTHZ), fields, true),
        ("settings without end", Vec::new(), frame(4, 0, 0, &[]).repeat(100_000), false),
        ("pings without end", Vec::new(), frame(6, 0, 0, &[0; 8]).repeat(100_000), false),
        ("empty data without end", frame(1, 4, 1, GET_HEALTHZ), frame(0, 0, 1, &[]).repeat(100_000), false),
    ];
    for (what, first, again, must_go) in attacks {
        let mut connection = cluster.plane.connect_to(PORT, &own)?;
        // It stops hearing who does not read.
        connection.sock.set_write_timeout(Some(PUSHING))?;
        connection.write_all(&[PREFACE, &first].concat())?;
        let rounds = if must_go { 1 } else { MUCH / again.len() };
        let pushed = (0..rounds).all(|_| connection.write_all(&again).is_ok());
        let after = memory(&cluster)?;
        println!("{what}: {before} MiB before, {after} MiB after; all of it said: {pushed}");
        assert!(after < before + GROWTH, "{what}: {before} MiB, {after} MiB");
        assert!(!must_go || is_sent_away(&mut connection), "{what}");
        assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?, (200, "ok".to_owned()), "{what}");
    }
    let whole = [PREFACE, &asking(1)].concat();
    for length in 0..whole.len() {
        let mut connection = cluster.plane.connect_to(PORT, &own)?;
        connection.write_all(&whole[..length])?;
        connection.flush()?;
    }
    assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?, (200, "ok".to_owned()));
    Ok(())
}

/// Begins to follow a log.
fn follow(cluster: &Joined, who: &Credentials, pod: &str) -> Result<BufReader<Connection>> {
    let mut connection = cluster.plane.connect_to(PORT, who)?;
    let head = format!("GET /containerLogs/default/{pod}/main?follow=true HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    Ok(BufReader::new(connection))
}

/// Reads until a line.
fn reads(follower: &mut BufReader<Connection>, wanted: &str) -> Result {
    for line in follower.lines() {
        if line? == wanted {
            return Ok(());
        }
    }
    Err(format!("it ends before {wanted}").into())
}

#[test]
fn a_thousand_followers_of_a_log_all_see_it_grow_and_the_node_stays_well() -> Result {
    let (cluster, own) = cluster()?;
    let script = "echo hello; while ! [ -e /go/now ]; do sleep 0.1; done; echo bye; exec sleep 1000";
    let mut pod = shell("talks", script);
    pod["spec"]["volumes"] = serde_json::json!([{"name": "go", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "go", "mountPath": "/go"}]);
    cluster.apply(&pod)?;
    cluster.ready("talks")?;
    let before = memory(&cluster)?;
    let mut followers = Vec::new();
    for _ in 0..1000 {
        let mut follower = follow(&cluster, &own, "talks")?;
        reads(&mut follower, "hello")?;
        followers.push(follower);
    }
    let after = memory(&cluster)?;
    println!("the bridge: {before} MiB before, {after} MiB with 1000 followers");
    assert!(after < before + 200, "{before} MiB, {after} MiB");
    assert_eq!(cluster.ask_port(&own, ("GET", "/healthz"))?.0, 200);
    cluster.apply(&shell("another", "echo there; exec sleep 1000"))?;
    cluster.ready("another")?;
    assert_eq!(cluster.kubectl(&["logs", "another"])?, "there\n");

    cluster.host.asked("talks", "main", "touch /go/now")?;
    for follower in &mut followers {
        reads(follower, "bye")?;
    }
    drop(followers);
    wait_for("the bridge to let them go", SOON, || files(&cluster).ok().filter(|files| *files < 100))?;
    Ok(())
}

#[test]
fn followers_that_read_nothing_hold_up_neither_each_other_nor_the_node() -> Result {
    let (cluster, own) = cluster()?;
    cluster.apply(&shell("loud", "yes $(printf %0999d 0) | head -c 20000000; echo done; exec sleep 1000"))?;
    cluster.ready("loud")?;
    let unread: Vec<_> = (0..20).map(|_| follow(&cluster, &own, "loud")).collect::<Result<_>>()?;
    let mut reader = follow(&cluster, &own, "loud")?;
    reads(&mut reader, "done")?;
    assert!(memory(&cluster)? < 100, "{} MiB", memory(&cluster)?);
    cluster.apply(&shell("another", "echo there; exec sleep 1000"))?;
    cluster.ready("another")?;
    drop(unread);
    Ok(())
}
