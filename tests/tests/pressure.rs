//! A host that is short of disk space: who goes for it, in which order, and who stays.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::mounts::Tmpfs;
use barepod_tests::pods;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
/// What the host has, and what must be left of it.
const SPACE: u64 = 64 * MIB;
const CONFIG: &str = "\
resources:
  evictionHard: {nodefs.available: 32Mi, nodefs.inodesFree: 0%, memory.available: '0', pid.available: 0%}
  evictionPressureTransitionPeriod: 0s
  evictionExemptPriority: 100
";
/// The host is looked at every ten seconds, its directories by a thread that waits for all others.
const LOOKED_AT: Duration = Duration::from_secs(120);

/// A pod that holds 8 MiB of the host's disk until it is gone.
fn holder(name: &str, worth: &Value) -> Value {
    let script = format!("head -c 8m /dev/zero > /scratch/file; echo written; {}", pods::IDLE);
    let mut pod = pods::shell(name, &script);
    pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    for (field, value) in worth.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// Runs it until it holds what it wants to hold; its pid.
fn run(host: &Host, name: &str, worth: &Value) -> Result<u32> {
    host.apply_object(&holder(name, worth))?;
    let pid = host.running(name)?;
    host.until(format!("{name} to have written"), SOON, |host| {
        host.barepod(&["logs", name]).ok()?.contains("written").then_some(())
    })?;
    Ok(pid)
}

fn evicted(host: &Host, name: &str) -> Result<Value> {
    Ok(host.until(format!("{name} to be evicted"), LOOKED_AT, |host| {
        host.pod(name).ok().filter(|pod| pod["status"]["reason"] == "Evicted" && pod["status"]["phase"] == "Failed")
    })?)
}

/// Takes so much of the host's disk away.
struct Ballast(PathBuf);

impl Ballast {
    fn is(&self, mib: u64) -> Result {
        let chunk = vec![0; 1 << 20];
        let mut file = File::create(&self.0)?;
        for _ in 0..mib {
            std::io::Write::write_all(&mut file, &chunk)?;
        }
        Ok(())
    }
}

#[test]
fn who_is_worth_least_goes_first_until_there_is_enough_and_no_exempt_pod_goes() -> Result {
    let mut host = Host::new(CONFIG)?;
    let state = host.path("var/lib/barepod");
    let _small = Tmpfs::over(&state, SPACE)?;
    let ballast = Ballast(state.join("ballast"));
    host.start()?;
    // The one that is worth least is neither the first nor the last.
    let middle = run(&host, "middle", &json!({"priority": 7}))?;
    let low = run(&host, "low", &json!({"priority": -10}))?;
    let exempt = run(&host, "exempt", &json!({"priority": 100}))?;
    // 40 MiB are left.
    ballast.is(14)?;
    let shown = evicted(&host, "low")?;
    assert!(!alive(low));
    let message = shown["status"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The node was low on disk space: ") && message.contains("least is 32Mi"), "{message}");
    let conditions = shown["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let disrupted = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget");
    let disrupted = disrupted.ok_or("no DisruptionTarget")?;
    assert_eq!((&disrupted["status"], &disrupted["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    assert!(host.barepod(&["events"])?.contains("Evicted"));
    host.until("the host to be no longer short", LOOKED_AT, |host| {
        host.log().contains("the host is no longer short of it").then_some(())
    })?;
    assert_eq!((host.pid("middle"), host.pid("exempt")), (Some(middle), Some(exempt)), "one was enough");

    ballast.is(22)?;
    evicted(&host, "middle")?;
    ballast.is(30)?;
    // That one goes shows that the host was looked at, and the other one left in peace.
    run(&host, "late", &json!({"priority": -1}))?;
    evicted(&host, "late")?;
    assert_eq!(host.pid("exempt"), Some(exempt));

    host.kill_daemon()?;
    host.start()?;
    let after = evicted(&host, "low")?;
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0, "it is not begun again");
    ballast.is(0)?;
    let mut again = holder("low", &json!({"priority": 100}));
    again["metadata"]["labels"] = json!({"worth": "more"});
    host.apply_object(&again)?;
    host.running("low")?;
    assert_eq!(host.pid("exempt"), Some(exempt));
    Ok(())
}

#[test]
fn a_class_that_every_cluster_has_makes_a_pod_critical() -> Result {
    let mut host = Host::new(&CONFIG.replace("Priority: 100", "Priority: 2147483647"))?;
    let state = host.path("var/lib/barepod");
    let _small = Tmpfs::over(&state, SPACE)?;
    let ballast = Ballast(state.join("ballast"));
    host.start()?;
    let critical = run(&host, "critical", &json!({"priorityClassName": "system-node-critical"}))?;
    run(&host, "dear", &json!({"priority": 1_000_000_000}))?;
    ballast.is(40)?;
    evicted(&host, "dear")?;
    // The host is still short, and is looked at again.
    run(&host, "late", &json!({"priority": 1_000_000_000}))?;
    evicted(&host, "late")?;
    assert_eq!(host.pid("critical"), Some(critical));
    Ok(())
}

#[test]
fn by_default_no_pod_is_evicted_that_does_not_say_that_it_is_worth_less() -> Result {
    let mut host = Host::new(&CONFIG.replace("  evictionExemptPriority: 100\n", ""))?;
    let state = host.path("var/lib/barepod");
    let _small = Tmpfs::over(&state, SPACE)?;
    let ballast = Ballast(state.join("ballast"));
    host.start()?;
    let database = run(&host, "database", &json!({}))?;
    run(&host, "cheap", &json!({"priority": -1}))?;
    ballast.is(40)?;
    evicted(&host, "cheap")?;
    run(&host, "late", &json!({"priority": -1}))?;
    evicted(&host, "late")?;
    assert_eq!(host.pid("database"), Some(database));
    Ok(())
}
