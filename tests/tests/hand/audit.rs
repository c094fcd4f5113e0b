//! What is kept of who did what, and of what became of containers.

use std::os::unix::fs::PermissionsExt as _;

use barepod_tests::host::{Host, SOON, signal};
use barepod_tests::pods;
use serde_json::{Value, json};

use crate::Result;

/// Nobody may apply anything.
const NOTHING: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules: []\n";

fn lines(host: &Host) -> Vec<Value> {
    let text = std::fs::read_to_string(host.path("var/log/barepod/audit.log")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for a line with all of this in it.
fn noted(host: &Host, wanted: &Value) -> Result<Value> {
    let wanted = wanted.as_object().ok_or("no object")?;
    let fits = |line: &Value| wanted.iter().all(|(key, value)| line[key] == *value);
    Ok(host.until(format!("a line with {wanted:?}"), SOON, |host| lines(host).into_iter().find(fits))?)
}

#[test]
fn who_asked_for_what_and_what_became_of_it_is_in_the_audit_log_and_secrets_are_not() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("db"))?;
    host.ready("db")?;
    host.barepod(&["exec", "db", "--", "sh", "-c", "true hunter2"])?;
    host.barepod(&["restart", "db"])?;
    host.barepod(&["stop", "db"])?;
    let missing = host.run(&["start", "nobody"])?;
    assert!(!missing.status.success());
    host.apply("secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n")?;
    let path = host.path("etc/barepod/manifests/dropped.yaml");
    std::fs::write(&path, pods::idle("dropped").to_string())?;
    host.until("the dropped pod", SOON, |host| host.pod("dropped").ok())?;
    host.set_policy(Some(NOTHING))?;
    host.until("the policy to hold", SOON, |host| {
        let refused = host.run(&["apply", "-f", &host.path("denied.yaml").display().to_string()]);
        std::fs::write(host.path("denied.yaml"), pods::idle("denied").to_string()).ok()?;
        refused.ok().filter(|output| String::from_utf8_lossy(&output.stderr).contains("[Forbidden]")).map(drop)
    })?;
    host.barepod(&["delete", "db"])?;

    let pod = |name: &str| format!("pod/default/{name}");
    let by_root = json!({"uid": 0, "user": "root"});
    for wanted in [
        json!({"source": "file", "verb": "apply", "object": pod("db"), "verdict": "allowed"}),
        json!({"source": "socket", "verb": "exec", "object": "pod/default/db: sh", "verdict": "allowed"}),
        json!({"source": "socket", "verb": "restart", "object": pod("db"), "verdict": "allowed"}),
        json!({"source": "socket", "verb": "stop", "object": pod("db"), "verdict": "allowed"}),
        json!({"source": "socket", "verb": "start", "object": pod("nobody"), "verdict": "failed", "reason": "NotFound"}),
        json!({"source": "file", "verb": "apply", "object": "secret/default/s", "verdict": "allowed"}),
        json!({"source": "file", "verb": "apply", "object": pod("dropped"), "verdict": "allowed"}),
        json!({"source": "file", "verb": "apply", "object": pod("denied"), "verdict": "denied", "reason": "Forbidden"}),
        json!({"source": "socket", "verb": "delete", "object": pod("db"), "verdict": "allowed"}),
    ] {
        let line = noted(&host, &wanted)?;
        assert_eq!((&line["uid"], &line["user"]), (&by_root["uid"], &by_root["user"]), "{line}");
        assert!(line["source"] != "socket" || line["pid"].as_i64().is_some_and(|pid| pid > 1), "{line}");
    }
    let file = host.path("var/log/barepod/audit.log");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    // Another daemon goes on where this one ended, and what it finds unchanged is no news.
    let before = lines(&host).len();
    host.stop_daemon()?;
    host.start()?;
    host.set_policy(Some(barepod_tests::host::ALLOW_ALL))?;
    host.until("the pods", SOON, |host| host.pod("dropped").ok())?;
    let text = std::fs::read_to_string(&file)?;
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(lines(&host).len(), before);
    Ok(())
}

#[test]
fn why_a_container_stopped_is_told_after_the_daemon_s_death_as_before() -> Result {
    let mut host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.apply_object(&pods::idle("db"))?;
    host.ready("db")?;
    let pid = host.pid("db").ok_or("no pid")?;
    signal(pid, "KILL")?;
    host.until("another process", SOON, |host| host.pid("db").filter(|now| *now != pid))?;
    let events = |host: &Host| host.barepod(&["events", "db"]);
    let before = host.until("the event", SOON, |host| {
        events(host).ok().filter(|text| text.contains("attempt 0 ended with signal 9"))
    })?;
    // Written by a thread of its own: the file is what the next daemon reads.
    let history = host.path("var/lib/barepod/history/events.jsonl");
    host.until("the history", SOON, |_| {
        std::fs::read_to_string(&history).ok().filter(|text| text.contains("attempt 0 ended with signal 9"))
    })?;
    host.kill_daemon()?;
    host.start()?;
    host.ready("db")?;
    let after = events(&host)?;
    assert!(before.lines().all(|line| after.contains(line)), "{before}\n---\n{after}");
    let described = host.barepod(&["describe", "db"])?;
    assert!(described.contains("attempt 0 ended with signal 9") && described.contains("Last state:"), "{described}");
    Ok(())
}

#[test]
fn why_a_container_was_stopped_is_told_with_what_its_probe_said_and_with_who_wanted_it() -> Result {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let mut pod = pods::idle("db");
    let probe = "test ! -e /tmp/sick || { echo replication is 9 s behind; exit 1; }";
    pod["spec"]["containers"][0]["livenessProbe"] =
        json!({"exec": {"command": ["sh", "-c", probe]}, "periodSeconds": 1, "failureThreshold": 1});
    host.apply_object(&pod)?;
    host.ready("db")?;
    let line = |host: &Host, heading: &str, end: &str| {
        host.until(format!("{heading} to end with {end:?}"), SOON, |host| {
            let text = host.barepod(&["describe", "db"]).ok()?;
            let line = text.lines().find(|line| line.trim_start().starts_with(heading))?;
            line.ends_with(end).then_some(())
        })
    };
    let last = |host: &Host, end: &str| line(host, "Last state:", end);
    host.barepod(&["exec", "db", "--", "touch", "/tmp/sick"])?;
    last(&host, "; stopped because its liveness probe failed: exit code 1: replication is 9 s behind")?;
    let events = host.barepod(&["events", "db"])?;
    let killing = events.lines().find(|line| line.contains("Killing: stopping attempt 0 within 20 s"));
    assert!(killing.is_some_and(|line| line.ends_with("replication is 9 s behind")), "{events}");
    host.ready("db")?;
    host.barepod(&["restart", "db"])?;
    last(&host, "; stopped because a restart was asked for")?;
    host.ready("db")?;
    host.barepod(&["stop", "db"])?;
    line(&host, "Stopped:", "because its pod was stopped")?;
    Ok(())
}
