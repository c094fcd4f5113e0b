//! The process that stands by for a container's next attempt: used when it is right, in nobody's way when it is not.

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods::{self, IDLE};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// The processes in the group of an attempt.
fn members(host: &Host, uid: &str, attempt: u32) -> Vec<u32> {
    let group = host.group_of_pod(&host.unified(), uid).join(format!("main/{attempt}/cgroup.procs"));
    let text = std::fs::read_to_string(group).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn uid(host: &Host) -> Result<String> {
    Ok(host.pod("pod")?["metadata"]["uid"].as_str().ok_or("no uid")?.to_owned())
}

/// Waits until one stands by, and gives its pid.
fn standby(host: &Host, attempt: u32) -> Result<u32> {
    let uid = uid(host)?;
    Ok(host.until(format!("a process to stand by for attempt {attempt}"), SOON, |host| {
        members(host, &uid, attempt).first().copied()
    })?)
}

/// Kills the service and waits for its next attempt; that one's pid.
fn restarted(host: &Host, attempt: u32) -> Result<u32> {
    signal(host.pid("pod").ok_or("it does not run")?, "KILL")?;
    host.container("pod", "running again", |status| {
        status["restartCount"] == attempt && !status["state"]["running"].is_null()
    })?;
    Ok(host.pid("pod").ok_or("it does not run")?)
}

#[test]
fn the_replacement_is_the_process_that_stood_by() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pods::shell("pod", &format!("echo begin $$$$; {IDLE}")))?;
    host.running("pod")?;
    for attempt in 1..=2 {
        let waiting = standby(&host, attempt)?;
        assert_eq!(restarted(&host, attempt)?, waiting);
    }
    host.until("the log", SOON, |host| (host.barepod(&["logs", "pod"]).ok()? == "begin 1\n").then_some(()))?;
    standby(&host, 3)?;
    host.barepod(&["delete", "pod"])?;
    Ok(host.gone("pod")?)
}

#[test]
fn a_service_is_restarted_though_what_stood_by_was_killed() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pods::shell("pod", IDLE))?;
    let service = host.running("pod")?;
    let waiting = standby(&host, 1)?;
    signal(waiting, "KILL")?;
    host.until("its end", SOON, |_| (!alive(waiting)).then_some(()))?;
    assert!(alive(service), "it is nothing to the attempt that runs");
    assert_ne!(restarted(&host, 1)?, waiting);
    Ok(())
}

#[test]
fn what_stood_by_for_an_older_wish_is_not_used() -> Result {
    let host = Host::started(CONFIG)?;
    let pod = |limit: &str| {
        let mut pod = pods::shell("pod", IDLE);
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": limit}});
        pod
    };
    host.apply_object(&pod("1"))?;
    let service = host.running("pod")?;
    let waiting = standby(&host, 1)?;
    host.apply_object(&pod("2"))?;
    assert_eq!(host.pid("pod"), Some(service), "new limits need no new process");

    assert_ne!(restarted(&host, 1)?, waiting);
    assert!(!alive(waiting));
    Ok(())
}

#[test]
fn it_outlives_neither_its_shim_nor_what_a_daemon_knew_of_it() -> Result {
    let mut host = Host::started(CONFIG)?;
    host.apply_object(&pods::shell("pod", IDLE))?;
    let service = host.running("pod")?;
    let first = standby(&host, 1)?;
    host.kill_daemon()?;
    assert!(alive(first), "a shim without a daemon keeps what it has");
    host.start()?;
    host.until("the new daemon to have it ended", SOON, |_| (!alive(first)).then_some(()))?;
    let second = standby(&host, 1)?;
    let [shim] = host.shims("pod")?[..] else { return Err("not one shim".into()) };
    signal(shim, "KILL")?;
    host.until("it to end with its shim", SOON, |_| (!alive(second)).then_some(()))?;
    assert_eq!(host.running("pod")?, service);
    let third = standby(&host, 1)?;
    assert_eq!(restarted(&host, 1)?, third);
    Ok(())
}

#[test]
fn nothing_stands_by_where_nothing_is_restarted() -> Result {
    let host = Host::started(CONFIG)?;
    let mut once = pods::shell("pod", IDLE);
    once["spec"]["restartPolicy"] = json!("Never");
    host.apply_object(&once)?;
    host.running("pod")?;
    host.apply_object(&pods::shell("other", IDLE))?;
    host.running("other")?;
    let other = host.pod("other")?["metadata"]["uid"].as_str().ok_or("no uid")?.to_owned();
    // What began later has one by now.
    host.until("one for the other", SOON, |host| members(host, &other, 1).first().copied())?;
    assert!(members(&host, &uid(&host)?, 1).is_empty());
    Ok(())
}
