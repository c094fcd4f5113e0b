//! Memory: who allocates more than the limit is killed, and it is said why.

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Keeps all that it reads until a line ends, which none does.
const EATER: &str = "tail /dev/zero";

fn limited(name: &str, script: &str) -> Value {
    let mut container = sh("main", script);
    container["resources"] = json!({"limits": {"memory": "32Mi"}});
    pods::pod(name, [container])
}

#[test]
fn a_main_process_beyond_its_limit_is_oom_killed_and_started_again() -> Result {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.apply_object(&limited("eater", &format!("exec {EATER}")))?;
    let status = host.container("eater", "killed and started", |status| status["restartCount"].as_u64() >= Some(1))?;
    let end = &status["lastState"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(137)), "{status}");
    Ok(())
}

#[test]
fn a_child_beyond_the_limit_is_killed_while_the_main_process_lives() -> Result {
    let host = Host::started("")?;
    host.apply_object(&limited("parent", &format!("({EATER}); echo child ended with $?; {}", pods::IDLE)))?;
    let pid = host.running("parent")?;
    host.until("the child's end", SOON, |host| {
        host.barepod(&["logs", "parent"]).ok()?.contains("child ended with 137").then_some(())
    })?;
    assert_eq!(host.pid("parent"), Some(pid));
    assert_eq!(host.pod("parent")?["status"]["containerStatuses"][0]["restartCount"], 0);
    // What ends later, and not for memory, is not blamed on the child.
    host.barepod(&["restart", "parent"])?;
    let status = host.container("parent", "started again", |status| status["restartCount"] == 1)?;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 0, "{status}");
    Ok(())
}
