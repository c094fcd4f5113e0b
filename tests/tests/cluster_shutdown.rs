//! A node that goes down in good order, seen from its cluster.

use std::fs::{Permissions, create_dir, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use barepod_tests::joined::{Joined, NODE, has_condition, shell};
use barepod_tests::pods::IDLE;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn not_ready_since(node: &Value) -> Option<&Value> {
    let conditions = node["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "False")
}

#[test]
fn a_node_that_goes_down_says_so_gives_up_what_can_run_elsewhere_and_keeps_what_has_its_data_there() -> Result {
    let cluster = Joined::start()?;
    let data = cluster.host.path("data");
    create_dir(&data)?;
    set_permissions(&data, Permissions::from_mode(0o777))?;
    let mut database = shell("database", IDLE);
    database["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": data, "type": "Directory"}}]);
    database["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    cluster.apply(&database)?;
    cluster.apply(&shell("web", IDLE))?;
    for pod in ["database", "web"] {
        cluster.ready(pod)?;
    }
    let uid = cluster.plane.get(&["pod", "database"])?["metadata"]["uid"].clone();

    cluster.host.barepod(&["host", "shutdown"])?;

    let node = cluster.until("the node to say so", |cluster| {
        let node = cluster.get(&["node", NODE])?;
        not_ready_since(&node).is_some().then_some(node)
    })?;
    let ready = not_ready_since(&node).ok_or("gone again")?;
    assert_eq!((&ready["reason"], &ready["message"]), (&json!("KubeletNotReady"), &json!("node is shutting down")));
    let web = cluster.pod_until("web", "failed", |pod| pod["status"]["phase"] == "Failed")?;
    assert_eq!(web["status"]["reason"], "Terminated", "{}", web["status"]);
    assert_eq!(web["status"]["message"], "Pod was terminated in response to imminent node shutdown.");
    assert!(has_condition(&web, "DisruptionTarget", "True"), "{}", web["status"]);
    let database = cluster.pod_until("database", "unready", |pod| has_condition(pod, "Ready", "False"))?;
    assert_eq!((&database["metadata"]["uid"], &database["status"]["phase"]), (&uid, &json!("Running")));
    assert_eq!(cluster.host.pid("database"), None);
    // Whoever binds it has not heard yet; its controller sends another one elsewhere.
    let mut late = shell("late", IDLE);
    late["spec"]["nodeName"] = json!(NODE);
    cluster.apply(&late)?;
    let late = cluster.pod_until("late", "failed", |pod| pod["status"]["phase"] == "Failed")?;
    assert_eq!(late["status"]["reason"], "NodeShutdown", "{}", late["status"]);

    cluster.host.barepod(&["host", "shutdown", "--call-off"])?;

    cluster.until("the node to be ready", |cluster| {
        cluster.get(&["node", NODE]).filter(|node| has_condition(node, "Ready", "True")).map(drop)
    })?;
    cluster.ready("database")?;
    assert_eq!(cluster.plane.get(&["pod", "database"])?["metadata"]["uid"], uid);
    Ok(())
}
