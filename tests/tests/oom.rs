//! Memory: who allocates more than the limit is killed, and it is said why.

use std::path::Path;

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Keeps all that it reads until a line ends, which none does.
const EATER: &str = "tail /dev/zero";

/// A service that lives through the loss of a process.
const PRESET: &str = r#"
apiVersion: barepod.dev/v1alpha1
kind: Preset
name: survivor
title: survivor
images: [survivor]
user: {name: nobody}
env: {PATH: "/usr/bin:/bin"}
service:
  program: sh
  argv: [/bin/sh, -c, "{{ env.SCRIPT }}"]
  oomKillsAlone: true
  pidsLimit: 50
"#;

fn limited(name: &str, mut container: Value) -> Value {
    container["resources"] = json!({"limits": {"memory": "32Mi"}});
    pods::pod(name, [container])
}

/// Its child is killed for memory.
fn script() -> String {
    format!("({EATER}); echo child ended with $?; {}", pods::IDLE)
}

#[test]
fn a_main_process_beyond_its_limit_is_oom_killed_and_started_again() -> Result {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.apply_object(&limited("eater", sh("main", &format!("exec {EATER}"))))?;
    let status = host.container("eater", "killed and started", |status| status["restartCount"].as_u64() >= Some(1))?;
    let end = &status["lastState"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(137)), "{status}");
    let figures = "its memory limit is 32Mi, and it had 3";
    let events = host.barepod(&["events", "eater", "--types=Warning"])?;
    assert!(
        events.contains(&format!("OOMKilling: the kernel killed its main process for memory: {figures}")),
        "{events}"
    );
    host.until("the figures in the history", SOON, |host| {
        host.barepod(&["describe", "eater"]).ok()?.contains(&format!(": {figures}")).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_child_beyond_the_limit_is_killed_alone_where_the_preset_says_so_and_it_is_told() -> Result {
    let mut host = Host::new("")?;
    std::fs::create_dir_all(host.path("etc/barepod/presets"))?;
    std::fs::write(host.path("etc/barepod/presets/survivor.yaml"), PRESET)?;
    host.start()?;
    let container = json!({"name": "main", "image": "survivor", "env": [{"name": "SCRIPT", "value": script()}]});
    host.apply_object(&limited("parent", container))?;
    let pid = host.running("parent")?;
    host.until("the child's end", SOON, |host| {
        host.barepod(&["logs", "parent"]).ok()?.contains("child ended with 137").then_some(())
    })?;
    host.until("the kill to be told", SOON, |host| {
        let events = host.barepod(&["events"]).ok()?;
        events
            .lines()
            .any(|line| {
                line.contains("OOMKilling") && line.contains("killed 1") && line.contains("its memory limit is 32Mi")
            })
            .then_some(())
    })?;
    assert_eq!(host.pid("parent"), Some(pid));
    let status = host.pod("parent")?["status"]["containerStatuses"][0].take();
    assert_eq!((&status["restartCount"], &status["ready"]), (&json!(0), &json!(true)), "{status}");
    let uid = host.pod("parent")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let pids = host.group_of_pod(&host.cgroup_of("pids"), &uid).join("main/pids.max");
    assert_eq!(std::fs::read_to_string(pids)?.trim(), "50", "the preset's limit");
    // What ends later, and well, is not blamed on the child.
    host.barepod(&["restart", "parent"])?;
    let status = host.container("parent", "started again", |status| status["restartCount"] == 1)?;
    let end = &status["lastState"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&json!(0), &json!("Completed")), "{status}");
    Ok(())
}

#[test]
fn a_child_beyond_the_limit_takes_the_others_with_it_where_the_kernel_can() -> Result {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.apply_object(&limited("family", sh("main", &script())))?;
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let status = host.container("family", "killed whole", |status| status["restartCount"].as_u64() >= Some(1))?;
        assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled", "{status}");
        return Ok(());
    }
    // v1 kills one by one, with kubelet too.
    host.until("the child's end", SOON, |host| {
        host.barepod(&["logs", "family"]).ok()?.contains("child ended with 137").then_some(())
    })?;
    assert_eq!(host.pod("family")?["status"]["containerStatuses"][0]["restartCount"], 0);
    Ok(())
}
