//! Nothing that happens to barepod happens to the services: killed at random, and at every effect boundary of the core,
//! under load.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods::{self, IDLE};
use barepod_tests::{Tier, logs, programs, tier};
use serde_json::{Value, json};

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
    kill_at_random(rounds, &[])
}

#[test]
fn a_daemon_with_a_slow_ledger_killed_at_random_touches_no_service_and_loses_no_line() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 10,
        Tier::All => 100,
    };
    kill_at_random(rounds, &["--ledger-sync-delay", "500"])
}

fn kill_at_random(rounds: u64, daemon_args: &[&str]) -> Result {
    let mut host = host_with_numbers()?;
    host.set_daemon_args(daemon_args);
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
    // On a busy machine the lives of the daemons may all have been too short for it.
    host.until("the crasher to have crashed again and again", SOON, |host| {
        (restarts(&host.pod("crasher").ok()?)? > 3).then_some(())
    })?;
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
        let count = host.pod("life").ok().and_then(|pod| restarts(&pod));
        (gone() || count >= Some(2)).then_some(())
    })?;
    host.barepod(&["delete", "life"])?;
    Ok(())
}

/// Whatever became of it: what was acknowledged holds, and a delete ends it.
fn settle(host: &mut Host, boundary: u64) -> Result {
    let listed = host.barepod(&["get", "pods", "-o", "name"])?;
    if listed.contains("pod/life")
        && let Err(error) = host.barepod(&["delete", "life"])
    {
        // A delete from before may have ended it in between.
        assert!(error.to_string().contains("NotFound"), "after effect {boundary}: {error}");
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
        let lines = lines(host, name, 0)?;
        let (last, numbers) = lines.split_last().ok_or("an empty log")?;
        check_sequence(name, numbers);
        assert_eq!(*last, format!("end {}", numbers.len()), "{name}: the last line is missing");
        assert!(numbers.len() > 100, "{name} has written only {} lines", numbers.len());
    }
    Ok(())
}

fn restarts(pod: &Value) -> Option<u64> {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64()
}

/// Every attempt wrote exactly its lines, and every exit code was recorded.
fn check_crasher(host: &Host) -> Result {
    let pod = host.pod("crasher")?;
    let status = &pod["status"]["containerStatuses"][0];
    let attempts = u32::try_from(restarts(&pod).ok_or("no restart count")?)?;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 7, "{status}");
    check_exit_codes(host, attempts, "exit code 7");
    for attempt in attempts.saturating_sub(3)..attempts {
        let lines = lines(host, "crasher", attempt)?;
        assert_eq!(lines.len() as u64, CRASHER_LINES, "attempt {attempt}");
        check_sequence("crasher", &lines);
    }
    Ok(())
}

/// What the daemons said of every attempt of the crasher before the given one.
fn check_exit_codes(host: &Host, attempts: u32, end: &str) {
    let log = host.log();
    for attempt in 0..attempts {
        let record = format!("attempt {attempt} ended with {end} ");
        let said = log.lines().any(|line| line.contains("crasher") && line.contains(&record));
        assert!(said, "no record of the end of attempt {attempt} of {attempts}");
    }
}

fn check_sequence(name: &str, numbers: &[String]) {
    for (index, line) in numbers.iter().enumerate() {
        assert_eq!(*line, (index + 1).to_string(), "{name}: line {} is lost, doubled or torn", index + 1);
    }
}

/// The lines' text, in order. A torn CRI line fails the test.
fn lines(host: &Host, pod: &str, attempt: u32) -> Result<Vec<String>> {
    let lines = logs::lines(host, pod, "main", attempt)?;
    assert!(lines.iter().all(|line| line.stream == "stdout"), "{pod}: nothing was written to stderr");
    Ok(lines.into_iter().map(|line| line.text).collect())
}

// ---- shims ----

/// SIGKILL to a pod's only shim; its pid.
fn kill_shim(host: &Host, pod: &str) -> Result<u32> {
    let [shim] = host.shims(pod)?[..] else { return Err(format!("{pod} has not one shim").into()) };
    signal(shim, "KILL")?;
    Ok(shim)
}

/// Waits until another shim has taken over.
fn another_shim(host: &Host, pod: &str, old: u32) -> Result {
    host.until(format!("another shim of {pod}"), SOON, |host| {
        matches!(host.shims(pod).ok()?[..], [shim] if shim != old).then_some(())
    })?;
    Ok(())
}

#[test]
fn shims_killed_under_load_touch_no_service_and_lose_no_line() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 6,
        Tier::All => 300,
    };
    let mut host = host_with_numbers()?;
    host.start()?;
    let pids = writers(&host)?;
    for round in 0..rounds {
        wait_out(Duration::from_millis(round * 37 % 100));
        let killed = pids.keys().map(|name| Ok((name, kill_shim(&host, name)?))).collect::<Result<Vec<_>>>()?;
        for (name, old) in killed {
            another_shim(&host, name, old)?;
        }
    }
    for (name, pid) in &pids {
        host.until(format!("{name} to be seen running"), SOON, |host| (host.pid(name) == Some(*pid)).then_some(()))?;
        assert_eq!(host.pod(name)?["status"]["containerStatuses"][0]["restartCount"], 0, "{name}");
    }
    end_and_check(&host, pids.keys())
}

#[test]
fn a_daemon_and_all_shims_killed_at_once_touch_no_service_and_lose_no_line() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 3,
        Tier::All => 100,
    };
    let mut host = host_with_numbers()?;
    host.start()?;
    let pids = writers(&host)?;
    for _ in 0..rounds {
        let shims = pids.keys().map(|name| host.shims(name)).collect::<std::result::Result<Vec<_>, _>>()?.concat();
        assert_eq!(shims.len(), WRITERS);
        host.kill_daemon()?;
        for shim in shims {
            signal(shim, "KILL")?;
        }
        host.start()?;
        for (name, pid) in &pids {
            host.until(format!("{name} to be seen"), SOON, |host| (host.pid(name) == Some(*pid)).then_some(()))?;
        }
    }
    end_and_check(&host, pids.keys())
}

/// A pod whose process ends with 7 when the file `end` appears in the directory, and is not started again.
fn ends_when_told(directory: &std::path::Path) -> serde_json::Value {
    let script = "while [ ! -e /dir/end ]; do sleep 0.05; done; exit 7";
    let mut pod = pods::with_directory(pods::shell("told", script), directory, "/dir");
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

#[test]
fn the_exit_code_of_a_process_is_known_though_its_first_shim_was_killed() -> Result {
    let host = Host::started("")?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    host.apply_object(&ends_when_told(&directory))?;
    host.running("told")?;
    let old = kill_shim(&host, "told")?;
    another_shim(&host, "told", old)?;
    std::fs::write(directory.join("end"), "")?;
    let status = host.container("told", "ended", |status| !status["state"]["terminated"].is_null())?;
    assert_eq!(status["state"]["terminated"]["exitCode"], 7, "{status}");
    assert_eq!(status["state"]["terminated"]["reason"], "Error");
    Ok(())
}

#[test]
fn an_exit_while_no_daemon_ran_is_known_to_the_next_one() -> Result {
    let mut host = Host::started("")?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    host.apply_object(&ends_when_told(&directory))?;
    let pid = host.running("told")?;
    host.kill_daemon()?;
    std::fs::write(directory.join("end"), "")?;
    host.until("the process to end", SOON, |_| (!alive(pid)).then_some(()))?;
    host.start()?;
    let status = host.container("told", "ended", |status| !status["state"]["terminated"].is_null())?;
    assert_eq!(status["state"]["terminated"]["exitCode"], 7, "{status}");
    assert!(host.log().contains("attempt 0 ended with exit code 7"));
    Ok(())
}

/// Attempts 0, 1 and 2 end with 40, 41 and 42, the first when the file `go` appears; the next one stays.
const ENDS: &str = "while [ ! -e /dir/go ]; do sleep 0.05; done; n=$(cat /dir/n 2>/dev/null || echo 0); \
                    echo $((n + 1)) > /dir/next; mv /dir/next /dir/n; [ $n -lt 3 ] || exec sleep 1000000; exit $((40 + n))";

#[test]
fn every_exit_code_is_known_though_the_ledger_could_not_be_written_before_the_daemon_died() -> Result {
    let mut host = Host::started(CONFIG)?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    let mut pod = pods::with_directory(pods::shell("ends", ENDS), &directory, "/dir");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    host.running("ends")?;
    let uid = host.pod("ends")?["metadata"]["uid"].as_str().ok_or("no uid")?.to_owned();
    // What a write begins with cannot be made any more.
    let obstacle = host.path("var/lib/barepod/ledger").join(format!("{uid}.tmp"));
    host.until("the ledger to rest", SOON, |_| std::fs::create_dir(&obstacle).ok())?;
    std::fs::write(directory.join("go"), "")?;
    let attempts = || std::fs::read_to_string(directory.join("n")).ok();
    host.until("three ends", SOON, |_| (attempts()?.trim() == "4").then_some(()))?;
    host.container("ends", "the fourth attempt", |status| {
        status["restartCount"] == 3 && !status["state"]["running"].is_null()
    })?;
    host.kill_daemon()?;
    std::fs::remove_dir(&obstacle)?;
    let before = host.log().len();
    host.start()?;
    let status = host.container("ends", "seen", |status| !status["state"]["running"].is_null())?;
    assert_eq!(status["restartCount"], 3, "{status}");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 42, "{status}");
    let log = host.log().split_off(before);
    for attempt in 0..3 {
        let record = format!("attempt {attempt} ended with exit code {}", 40 + attempt);
        assert!(log.contains(&record), "the second daemon said nothing of attempt {attempt}");
    }
    Ok(())
}

#[test]
fn an_end_that_nobody_saw_is_said_to_be_unknown_in_status_and_log() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::shell("unseen", &format!("echo first; {IDLE}")))?;
    let pid = host.running("unseen")?;
    let shims = host.shims("unseen")?;
    host.kill_daemon()?;
    signal(shims[0], "KILL")?;
    host.until("the shim's end", SOON, |_| (!alive(shims[0])).then_some(()))?;
    signal(pid, "KILL")?;
    // Also reaped: a zombie would still tell how it ended.
    let place = format!("/proc/{pid}");
    host.until("the service's end", SOON, |_| (!std::path::Path::new(&place).exists()).then_some(()))?;
    host.start()?;
    let status = host.container("unseen", "another", |status| status["restartCount"] == 1)?;
    assert_eq!(status["lastState"]["terminated"]["reason"], "ContainerStatusUnknown", "{status}");
    let lines = logs::lines(&host, "unseen", "main", 0)?;
    assert_eq!(lines[0].text, "first");
    assert_eq!(
        lines.last().map(|line| line.text.as_str()),
        Some("barepod: output may be missing here: the service ended while no shim was there")
    );
    Ok(())
}

#[test]
fn a_container_of_which_nothing_is_left_but_the_ledgers_word_is_started_again() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("gone"))?;
    let pid = host.running("gone")?;
    let shims = host.shims("gone")?;
    host.kill_daemon()?;
    // As after a teardown that was cut short, or a directory for what runs that somebody has emptied: the process lives.
    signal(shims[0], "KILL")?;
    host.until("the shim's end", SOON, |_| (!alive(shims[0])).then_some(()))?;
    std::fs::remove_dir_all(host.path("run/barepod/shims"))?;
    host.start()?;
    let status = host
        .container("gone", "another", |status| status["restartCount"] == 1 && !status["state"]["running"].is_null())?;
    assert_eq!(status["lastState"]["terminated"]["reason"], "ContainerStatusUnknown", "{status}");
    assert!(!alive(pid), "two attempts at once");
    host.barepod(&["delete", "gone"])?;
    Ok(())
}

#[test]
fn a_shim_killed_while_its_process_ends_never_leaves_two_generations() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 30,
        Tier::All => 300,
    };
    let host = Host::started(CONFIG)?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    // Who finds another one alive says so in a file.
    let script = "exec 9>/dir/lock; flock -n 9 || echo two >> /dir/two; sleep 0.02; exit 7";
    let mut pod = pods::with_directory(pods::shell("crasher", script), &directory, "/dir");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    let mut last = None;
    for round in 0..rounds {
        wait_out(Duration::from_millis(round * 7 % 60));
        let shims = host.until("a shim", SOON, |host| host.shims("crasher").ok().filter(|shims| !shims.is_empty()))?;
        for shim in shims {
            // It may have ended by itself, or not be more than a clone yet.
            signal(shim, "KILL").ok();
        }
        let count = |host: &Host| restarts(&host.pod("crasher").ok()?);
        last = Some(host.until("another attempt", SOON, |host| count(host).filter(|count| Some(*count) > last))?);
    }
    assert!(!directory.join("two").exists(), "two generations at once");
    Ok(())
}
