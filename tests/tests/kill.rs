//! Nothing that happens to barepod happens to the services: killed at random, and at every effect boundary of the core,
//! under load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::{Tier, programs, tier};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes; small logs, so that they rotate.
const CONFIG: &str = "\
crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}
containerLogMaxSize: 256Ki
containerLogMaxFiles: 1000
";

/// Writers of 2,000 lines a second each.
const WRITERS: usize = 10;
const RATE: u64 = 2_000;
/// The crasher ends after so many lines, about once a second.
const CRASHER_LINES: u64 = 500;

fn pod(host: &Host, name: &str, args: &[u64]) -> String {
    let bin = host.path("bin").display().to_string();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: main
    image: host
    command: [/opt/test/numbers]
    args: {args:?}
    volumeMounts: [{{name: bin, mountPath: /opt/test, readOnly: true}}]
  volumes: [{{name: bin, hostPath: {{path: {bin}, type: Directory}}}}]
",
        args = args.iter().map(u64::to_string).collect::<Vec<_>>()
    )
}

fn host_with_numbers() -> Result<Host> {
    let host = Host::new(CONFIG)?;
    std::fs::create_dir(host.path("bin"))?;
    std::fs::copy(programs::musl("numbers")?, host.path("bin/numbers"))?;
    Ok(host)
}

fn writers(host: &Host) -> Result<BTreeMap<String, u32>> {
    for n in 0..WRITERS {
        host.apply("writer", &pod(host, &format!("writer-{n}"), &[RATE]))?;
    }
    let mut pids = BTreeMap::new();
    for n in 0..WRITERS {
        let name = format!("writer-{n}");
        let pid = host.until(format!("{name} to run"), SOON, |host| host.pid(&name))?;
        pids.insert(name, pid);
    }
    Ok(pids)
}

#[test]
fn a_daemon_killed_at_random_touches_no_service_and_loses_no_line() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 20,
        Tier::All => 300,
    };
    let mut host = host_with_numbers()?;
    host.start()?;
    let pids = writers(&host)?;
    host.apply("crasher", &pod(&host, "crasher", &[CRASHER_LINES, CRASHER_LINES, 7]))?;
    for round in 0..rounds {
        // Somewhere between the first instruction and well after the daemon is ready: spread evenly, the same each time.
        let moment = Duration::from_millis(round * 37 % 400);
        wait_out(moment);
        host.kill_daemon()?;
        host.launch()?;
    }
    host.kill_daemon()?;
    host.start()?;
    for (name, pid) in &pids {
        host.until(format!("{name} to be seen running"), SOON, |host| (host.pid(name) == Some(*pid)).then_some(()))?;
    }
    end_and_check(&host, pids.keys())?;
    check_crasher(&host)
}

#[test]
fn a_daemon_killed_at_each_effect_boundary_ends_up_the_same() -> Result {
    let mut host = host_with_numbers()?;
    host.start()?;
    host.apply("writer", &pod(&host, "writer-0", &[RATE]))?;
    let pid = host.until("the writer to run", SOON, |host| host.pid("writer-0"))?;
    let mut boundary = 1;
    loop {
        host.kill_daemon()?;
        host.set_daemon_args(&["--die-at-effect", &boundary.to_string()]);
        host.launch()?;
        // A whole life: created, crashed, restarted, deleted.
        let survived = life(&host).is_ok();
        assert!(alive(pid), "effect {boundary}");
        host.kill_daemon()?;
        host.set_daemon_args(&[]);
        host.start()?;
        assert_eq!(host.until("the writer to be seen", SOON, |host| host.pid("writer-0"))?, pid, "effect {boundary}");
        settle(&mut host, boundary)?;
        if survived {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 20, "a life has more than {boundary} effects");
    end_and_check(&host, [&"writer-0".to_owned()])
}

/// Fails at once where the daemon has died.
fn life(host: &Host) -> Result {
    let gone = || host.daemon_pid().is_none_or(|pid| !alive(pid));
    host.until("the daemon to answer or die", SOON, |host| {
        (gone() || host.barepod(&["version"]).is_ok()).then_some(())
    })?;
    host.apply("life", &pod(host, "life", &[100, 10, 3]))?;
    host.until("two restarts, or the daemon's death", SOON, |host| {
        let count = host.pod("life").ok().and_then(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64());
        (gone() || count >= Some(2)).then_some(())
    })?;
    host.barepod(&["delete", "life"])?;
    Ok(())
}

/// Whatever became of it: what was acknowledged holds, and a delete ends it.
fn settle(host: &mut Host, boundary: u64) -> Result {
    let listed = host.barepod(&["get", "pods", "-o", "name"])?;
    if listed.contains("pod/life") {
        host.barepod(&["delete", "life"]).map_err(|e| format!("after effect {boundary}: {e}"))?;
    }
    assert!(!host.barepod(&["get", "pods", "-o", "name"])?.contains("pod/life"), "effect {boundary}");
    Ok(())
}

fn wait_out(duration: Duration) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < duration {
        std::thread::yield_now();
        std::thread::park_timeout(duration.saturating_sub(begin.elapsed()));
    }
}

fn end_and_check<'a>(host: &Host, names: impl IntoIterator<Item = &'a String>) -> Result {
    for name in names {
        host.barepod(&["delete", name])?;
        let lines = lines(&log_files(host, name, 0)?)?;
        let (last, numbers) = lines.split_last().ok_or("an empty log")?;
        check_sequence(name, numbers);
        assert_eq!(*last, format!("end {}", numbers.len()), "{name}: the last line is missing");
        assert!(numbers.len() > 100, "{name} has written only {} lines", numbers.len());
    }
    Ok(())
}

/// Every attempt wrote exactly its lines, and every exit code was recorded.
fn check_crasher(host: &Host) -> Result {
    let pod = host.pod("crasher")?;
    let status = &pod["status"]["containerStatuses"][0];
    let attempts = status["restartCount"].as_u64().ok_or("no restart count")?;
    assert!(attempts > 3, "the crasher crashed {attempts} times");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 7, "{status}");
    for attempt in attempts.saturating_sub(3)..attempts {
        let lines = lines(&log_files(host, "crasher", attempt)?)?;
        assert_eq!(lines.len() as u64, CRASHER_LINES, "attempt {attempt}");
        check_sequence("crasher", &lines);
    }
    Ok(())
}

fn check_sequence(name: &str, numbers: &[String]) {
    for (index, line) in numbers.iter().enumerate() {
        assert_eq!(*line, (index + 1).to_string(), "{name}: line {} is lost, doubled or torn", index + 1);
    }
}

/// The log files of one attempt, oldest first: the rotated ones by their time, then the current one.
fn log_files(host: &Host, pod: &str, attempt: u64) -> Result<Vec<PathBuf>> {
    let logs = host.path("var/log/barepod/pods");
    let prefix = format!("default_{pod}_");
    let directory = std::fs::read_dir(&logs)?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .ok_or_else(|| format!("no logs of {pod}"))?
        .path()
        .join("main");
    let current = directory.join(format!("{attempt}.log"));
    let rotated = format!("{attempt}.log.");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&rotated)))
        .collect();
    files.sort();
    files.push(current);
    Ok(files)
}

/// The lines' text, in order. A torn CRI line fails the test.
fn lines(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        lines.extend(lines_of(file)?);
    }
    Ok(lines)
}

fn lines_of(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    assert!(text.is_empty() || text.ends_with('\n'), "{}: the last line is torn", file.display());
    let parse = |line: &str| -> Result<String> {
        let mut parts = line.splitn(4, ' ');
        let (_, stream, tag) = (parts.next(), parts.next(), parts.next());
        assert_eq!((stream, tag), (Some("stdout"), Some("F")), "{}: {line:?}", file.display());
        Ok(parts.next().unwrap_or_default().to_owned())
    };
    text.lines().map(parse).collect()
}
