//! A node of a real cluster that is short of disk space.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use barepod_tests::bridge;
use barepod_tests::cluster::Recipe;
use barepod_tests::host::Host;
use barepod_tests::joined::{Joined, NODE, has_condition, shell};
use barepod_tests::mounts::Tmpfs;
use barepod_tests::{pods, wait_for};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The host is looked at every ten seconds, and so is the daemon by the bridge.
const LOOKED_AT: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

fn config() -> String {
    let resources = bridge::CONFIG.lines().find(|line| line.starts_with("resources:")).unwrap_or_default();
    let short = "\
resources:
  evictionHard: {nodefs.available: 32Mi, nodefs.inodesFree: 0%, memory.available: '0', pid.available: 0%}
  evictionPressureTransitionPeriod: 5s
  evictionExemptPriority: 100";
    bridge::CONFIG.replace(resources, short)
}

fn class(name: &str, value: i32) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
    })
}

fn of_class(name: &str, class: &str) -> Value {
    let mut pod = shell(name, pods::IDLE);
    pod["spec"]["priorityClassName"] = json!(class);
    pod
}

#[test]
fn a_node_that_is_short_says_so_evicts_who_is_worth_least_and_recovers() -> Result {
    let host = Host::new(&config())?;
    let state = host.path("var/lib/barepod");
    let _small = Tmpfs::over(&state, 64 * MIB)?;
    let cluster = Joined::around(host, &Recipe::default(), &[])?;
    for (name, value) in [("cheap", -10), ("dear", 100)] {
        cluster.apply(&class(name, value))?;
    }
    cluster.apply(&of_class("one", "cheap"))?;
    cluster.apply(&of_class("two", "dear"))?;
    cluster.ready("one")?;
    let stays = cluster.ready("two")?;
    let ballast = state.join("ballast");
    File::create(&ballast)?.write_all(&vec![0; 40 * MIB as usize])?;

    let pod = wait_for("the cheap pod to be evicted", LOOKED_AT, || {
        cluster.get(&["pod", "one"]).filter(|pod| pod["status"]["phase"] == "Failed")
    })?;
    assert_eq!(pod["status"]["reason"], "Evicted", "{}", pod["status"]);
    assert!(has_condition(&pod, "DisruptionTarget", "True"), "{}", pod["status"]);
    wait_for("the node to say that it is short", LOOKED_AT, || {
        cluster.get(&["node", NODE]).filter(|node| has_condition(node, "DiskPressure", "True"))
    })?;
    assert!(cluster.kubectl(&["events", "--for", "pod/one"])?.contains("Evicted"));

    // What is bound to it all the same is refused.
    let mut bound = shell("bound", pods::IDLE);
    bound["spec"]["nodeName"] = json!(NODE);
    cluster.apply(&bound)?;
    let refused = cluster.pod_until("bound", "refused", |pod| pod["status"]["phase"] == "Failed")?;
    assert_eq!(refused["status"]["reason"], "Evicted", "{}", refused["status"]);

    std::fs::remove_file(&ballast)?;
    wait_for("the node to have enough", LOOKED_AT, || {
        cluster.get(&["node", NODE]).filter(|node| has_condition(node, "DiskPressure", "False"))
    })?;
    assert_eq!(cluster.host.pid("two"), Some(stays));
    for name in ["one", "bound"] {
        cluster.kubectl(&["delete", "pod", name, "--wait=false"])?;
        cluster.gone(name)?;
    }
    Ok(())
}
