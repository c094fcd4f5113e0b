//! A host whose network goes away without a word, while the cluster goes on: the controller manager takes it for dead.

use std::time::{Duration, Instant};

use barepod_tests::cluster::Recipe;
use barepod_tests::fleet::Fleet;
use barepod_tests::host::alive;
use barepod_tests::joined::{has_condition, shell};
use barepod_tests::pods::IDLE;
use barepod_tests::{Tier, tier, wait_for};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// So soon after the network is back, all is true again.
const TRUE_AGAIN: Duration = Duration::from_secs(5);

fn settled(pod: &Value) -> bool {
    has_condition(pod, "Ready", "True") && pod["metadata"]["deletionTimestamp"].is_null()
}

#[test]
fn a_host_that_is_cut_off_runs_on_and_what_the_cluster_gave_up_meanwhile_ends_when_it_is_back() -> Result {
    let away = match tier() {
        Tier::Everyday => Duration::from_secs(30),
        Tier::All => Duration::from_secs(15 * 60),
    };
    // Shorter than the default of 50 s, and longer than a Lease is left alone.
    let grace = ["--node-monitor-grace-period=16s", "--node-monitor-period=1s"].map(str::to_owned).to_vec();
    let recipe = Recipe { controller_manager: grace, ..Recipe::default() };
    // Were there no other node, the controller manager would blame itself, and give nothing up.
    let fleet = Fleet::start(2, &recipe, "", |_| Ok(()))?;
    let node = fleet.nodes.first().ok_or("no node")?;
    let [calm, mut hasty] = ["calm", "hasty"].map(|name| {
        let mut pod = shell(name, IDLE);
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node.name});
        pod
    });
    hasty["spec"]["tolerations"] = json!([{
        "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1,
    }]);
    for pod in [calm, hasty] {
        fleet.plane.kubectl_apply(&pod.to_string())?;
    }
    let pod = |name: &str| fleet.plane.get(&["pod", name]).ok();
    for name in ["calm", "hasty"] {
        fleet.until(&format!("{name} to be ready"), |_| pod(name).filter(settled).map(drop))?;
    }
    let pids = ["calm", "hasty"].map(|name| node.host.pid(name));
    let [Some(calm), Some(hasty)] = pids else { return Err("no processes".into()) };

    fleet.network.cut(0)?;
    let cut = Instant::now();
    fleet.until("the cluster to take the node for dead", |fleet| {
        let there = fleet.plane.get(&["node", &node.name]).ok()?;
        let tainted = there["spec"]["taints"].to_string().contains("node.kubernetes.io/unreachable");
        (has_condition(&there, "Ready", "Unknown") && tainted).then_some(())
    })?;
    fleet.until("the pod that cannot wait to be given up", |_| {
        pod("hasty").filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).map(drop)
    })?;
    fleet.until("the other one to be held for unready", |_| {
        pod("calm").filter(|pod| has_condition(pod, "Ready", "False")).map(drop)
    })?;
    wait_for("the host to have been away for so long", away + Duration::from_secs(60), || {
        // Nobody has told it of anything.
        assert!(alive(calm) && alive(hasty));
        (cut.elapsed() >= away).then_some(())
    })?;

    fleet.network.mend(0)?;
    let back = Instant::now();
    fleet.until("the node to be ready, and the pod with it", |fleet| {
        let there = fleet.plane.get(&["node", &node.name]).ok()?;
        (has_condition(&there, "Ready", "True") && pod("calm").is_some_and(|pod| settled(&pod))).then_some(())
    })?;
    assert!(back.elapsed() < TRUE_AGAIN, "true again after {:?}", back.elapsed());
    fleet.until("the pod that was given up to end", |fleet| {
        let listed = fleet.plane.kubectl(&["get", "pods", "-o", "name"]).ok()?;
        (!listed.contains("hasty") && !alive(hasty)).then_some(())
    })?;
    assert_eq!(node.host.pid("calm"), Some(calm));
    let shown = pod("calm").ok_or("no pod calm")?;
    assert!(settled(&shown) && shown["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", shown["status"]);
    Ok(())
}
