//! Standard input, terminals, and those who attach to them: what stays open, who may write, what survives a death.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods::{self, sh};
use barepod_tests::terminal::Terminal;
use barepod_tests::wait_for;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Says what it reads, and when that is at its end.
const READER: &str = "while read -r line; do echo \"got $line\"; done; echo end";
/// On a terminal: its name, then its size whenever a line comes.
const SHOWER: &str = "tty; while read -r line; do echo \"$line $(stty size)\"; done";

fn with(name: &str, script: &str, fields: Value) -> Value {
    let mut container = sh("main", script);
    for (key, value) in fields.as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    let mut pod = pods::pod(name, [container]);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

fn running(pod: &Value) -> Result<(Host, u32)> {
    let host = Host::started("")?;
    host.apply_object(pod)?;
    let pid = host.running("pod")?;
    Ok((host, pid))
}

/// Attaches, writes this, and closes its side; what was shown until the session's end.
fn attach(host: &Host, written: &str) -> Result<std::process::Output> {
    let mut child = attached(host, &["attach", "-i", "pod"])?;
    child.stdin.take().ok_or("no stdin")?.write_all(written.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn attached(host: &Host, args: &[&str]) -> Result<Child> {
    let mut command = host.command(args)?;
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn logged(host: &Host, wanted: &str) -> Result<String> {
    let has = |host: &Host| host.barepod(&["logs", "pod"]).ok().filter(|text| text.contains(wanted));
    Ok(host.until(format!("the log to say {wanted:?}"), SOON, has)?)
}

fn phase(host: &Host, wanted: &str) -> Result {
    Ok(host.until(format!("the pod to be {wanted}"), SOON, |host| {
        (host.pod("pod").ok()?["status"]["phase"] == wanted).then_some(())
    })?)
}

/// SIGKILL to the pod's shim, and another one in its place.
fn replace_shim(host: &Host) -> Result {
    let old = host.shims("pod")?;
    old.iter().try_for_each(|shim| signal(*shim, "KILL"))?;
    host.until("another shim", SOON, |host| {
        let now = host.shims("pod").ok()?;
        (!now.is_empty() && now.iter().all(|shim| !old.contains(shim))).then_some(())
    })?;
    Ok(host.until("it to have the process", SOON, |host| host.log().contains("has a new shim").then_some(()))?)
}

/// The process that keeps a pod's terminal or input.
fn keeper(host: &Host) -> Result<u32> {
    let uid = host.pod("pod")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let group = host.group_of_pod(&host.unified(), &uid).join("shim/cgroup.procs");
    let is_keeper = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "barepod-keeper")
    };
    Ok(wait_for("a keeper", SOON, || {
        let pids = std::fs::read_to_string(&group).ok()?;
        pids.lines().filter_map(|pid| pid.parse().ok()).find(is_keeper)
    })?)
}

// ---- standard input ----

#[test]
fn without_stdin_a_container_reads_the_end_at_once_and_nobody_writes_to_it() -> Result {
    let host = Host::started("")?;
    host.apply_object(&with("pod", READER, json!({"stdin": false, "stdinOnce": true})))?;
    phase(&host, "Succeeded")?;
    assert_eq!(host.barepod(&["logs", "pod"])?, "end\n");
    let idle = with("idle", pods::IDLE, json!({}));
    host.apply_object(&idle)?;
    host.running("idle")?;
    let refused = host.run(&["attach", "-i", "idle"])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stdin: true"), "{refused:?}");
    Ok(())
}

#[test]
fn stdin_is_open_from_session_to_session() -> Result {
    let (host, pid) = running(&with("pod", READER, json!({"stdin": true})))?;
    for word in ["one", "two"] {
        assert!(attach(&host, &format!("{word}\n"))?.status.success());
        logged(&host, &format!("got {word}\n"))?;
    }
    assert!(alive(pid), "the end of a session is not the end of its input");
    Ok(())
}

#[test]
fn stdin_once_ends_with_the_first_session_that_may_write() -> Result {
    let (host, _) = running(&with("pod", READER, json!({"stdin": true, "stdinOnce": true})))?;
    let mut watcher = attached(&host, &["attach", "pod"])?;
    let output = attach(&host, "one\n")?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got one\nend\n", "and goes on to the container's end");
    phase(&host, "Succeeded")?;
    let mut seen = String::new();
    watcher.stdout.take().ok_or("no stdout")?.read_to_string(&mut seen)?;
    watcher.wait()?;
    assert!(seen.ends_with("got one\nend\n") || seen.is_empty(), "{seen}");
    Ok(())
}

#[test]
fn both_streams_are_shown_apart_and_megabytes_arrive_unharmed() -> Result {
    let script = "head -c 3000000 | cksum; echo late >&2";
    let (host, _) = running(&with("pod", script, json!({"stdin": true, "stdinOnce": true})))?;
    let sent: String =
        (0..3_000_000_u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8)).collect();
    let output = attach(&host, &sent)?;
    let file = host.path("sent");
    std::fs::write(&file, &sent)?;
    let wanted = Command::new("cksum").stdin(std::fs::File::open(file)?).output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&wanted.stdout));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "late\n");
    Ok(())
}

#[test]
fn input_and_a_session_survive_the_death_of_shim_and_daemon() -> Result {
    let (mut host, pid) = running(&with("pod", READER, json!({"stdin": true})))?;
    keeper(&host)?;
    let mut session = attached(&host, &["attach", "-i", "pod"])?;
    let mut stdin = session.stdin.take().ok_or("no stdin")?;
    stdin.write_all(b"before\n")?;
    logged(&host, "got before\n")?;
    replace_shim(&host)?;
    stdin.write_all(b"after\n")?;
    logged(&host, "got after\n")?;

    signal(keeper(&host)?, "KILL")?;
    keeper(&host)?;
    let shims = host.shims("pod")?;
    host.kill_daemon()?;
    shims.iter().try_for_each(|shim| signal(*shim, "KILL"))?;
    host.start()?;
    host.until("the pod to be known", SOON, |host| host.pid("pod").filter(|now| *now == pid))?;
    assert!(attach(&host, "last\n")?.status.success());
    let log = logged(&host, "got last\n")?;
    assert!(!log.contains("end"), "it never read an end: {log}");
    session.kill()?;
    session.wait()?;
    Ok(())
}

// ---- terminals ----

#[test]
fn a_terminal_has_a_name_in_its_view_and_the_size_of_who_attaches() -> Result {
    let (host, pid) = running(&with("pod", SHOWER, json!({"tty": true, "stdin": true})))?;
    logged(&host, "/dev/pts/0")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let tty: u32 = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').nth(4).ok_or("no tty")?.parse()?;
    assert_ne!(tty, 0, "it is the controlling terminal");
    let mut terminal = Terminal::run(host.command(&["attach", "-it", "pod"])?, 33, 101)?;
    terminal.write("hello\n")?;
    terminal.read_until("hello 33 101")?;
    terminal.resize(44, 80)?;
    terminal.write("again\n")?;
    terminal.read_until("again 44 80")?;
    Ok(())
}

#[test]
fn a_container_on_a_terminal_survives_the_death_of_shim_keeper_and_daemon() -> Result {
    let (mut host, pid) = running(&with("pod", SHOWER, json!({"tty": true, "stdin": true})))?;
    logged(&host, "/dev/pts/0")?;
    keeper(&host)?;
    replace_shim(&host)?;
    assert_eq!(host.pid("pod"), Some(pid));
    attach(&host, "first\n")?;
    logged(&host, "first 0 0")?;

    signal(keeper(&host)?, "KILL")?;
    keeper(&host)?;
    let shims = host.shims("pod")?;
    host.kill_daemon()?;
    shims.iter().try_for_each(|shim| signal(*shim, "KILL"))?;
    host.start()?;
    host.until("the pod to be known", SOON, |host| host.pid("pod").filter(|now| *now == pid))?;
    attach(&host, "second\n")?;
    logged(&host, "second 0 0")?;
    assert!(alive(pid));
    let keeper = keeper(&host)?;
    signal(pid, "KILL")?;
    phase(&host, "Failed")?;
    wait_for("the keeper's end", SOON, || (!alive(keeper)).then_some(()))?;
    Ok(())
}
