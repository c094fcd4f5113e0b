//! `barepod stop` and `barepod start`.

use barepod_tests::host::{Host, alive};
use barepod_tests::pods;

use crate::Result;

#[test]
fn a_stopped_pod_stays_stopped_over_a_daemon_s_death_until_it_is_started() -> Result {
    let mut host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let mut pod = pods::idle("db");
    host.apply_object(&pod)?;
    host.ready("db")?;
    let pid = host.pid("db").ok_or("no pid")?;
    assert_eq!(host.barepod(&["stop", "db"])?, "pod/db stopped\n");
    assert!(!alive(pid), "the command waits for the end");
    let shown = host.barepod(&["get", "pods"])?;
    assert!(
        shown.lines().any(|line| line.starts_with("db ") && line.contains("0/1") && line.contains("Stopped")),
        "{shown}"
    );
    assert!(host.barepod(&["describe", "db"])?.contains("Stopped since:"));
    assert_eq!(host.barepod(&["stop", "pod/db"])?, "pod/db is stopped already\n");

    host.kill_daemon()?;
    host.start()?;
    pod["metadata"]["labels"] = serde_json::json!({"changed": "yes"});
    host.apply_object(&pod)?;
    host.reason("db", "Stopped")?;
    assert_eq!(host.pid("db"), None);
    let events = host.barepod(&["events", "db"])?;
    assert!(!events.contains("Started: pid"), "{events}");

    assert_eq!(host.barepod(&["start", "db"])?, "pod/db started\npod/db ready\n");
    assert!(host.pid("db").is_some_and(|now| now != pid));
    assert_eq!(host.barepod(&["start", "db"])?, "pod/db is not stopped\npod/db ready\n");
    Ok(())
}

#[test]
fn what_is_not_there_is_said() -> Result {
    let host = Host::started("")?;
    for verb in ["stop", "start"] {
        let missing = host.run(&[verb, "nobody"])?;
        assert_eq!(missing.status.code(), Some(1));
        assert!(String::from_utf8(missing.stderr)?.contains("there is no pod nobody in namespace default"));
    }
    Ok(())
}
