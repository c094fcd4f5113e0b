//! One host, two schedulers: a real Nomad client and a node of a real Kubernetes cluster. Each knows what the other has given away.

use barepod_tests::bridge::Bridge;
use barepod_tests::joined::{ADDRESS, Joined, NODE, shell};
use barepod_tests::nomad::{Nomad, Options, raw_exec};
use barepod_tests::pods::IDLE;
use barepod_tests::{free_port, nomad};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;

/// What the node says it has for pods, in bytes.
fn allocatable(cluster: &Joined) -> Option<u64> {
    cluster.get(&["node", NODE])?["status"]["allocatable"]["memory"].as_str()?.parse().ok()
}

/// A pod of the cluster, bound to the node, which asks for so much memory.
fn asking(name: &str, bytes: u64) -> Value {
    let mut pod = shell(name, IDLE);
    // Past the scheduler, which would not ask.
    pod["spec"]["nodeName"] = json!(NODE);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": bytes.to_string()}});
    pod
}

#[test]
fn what_the_one_has_given_away_the_other_does_not_have() -> Result {
    let mut cluster = Joined::start()?;
    let mut nomad =
        Nomad::start_with(&cluster.host, Options { bare: true, acl: true, raw_exec: true, ..Options::default() })?;
    nomad.prepare(&cluster.host)?;
    cluster.bridge.kill()?;
    let settings = nomad::settings(&cluster.host).display().to_string();
    let kubeconfig = cluster.plane.kubeconfig_of_node(NODE)?;
    let more = ["--nomad-config", &settings];
    cluster.bridge = Bridge::start_with(&cluster.host, NODE, ADDRESS.into(), &kubeconfig, &more)?;

    // Kubernetes learns what Nomad has given away.
    let all = cluster.until("the node to say what it has", allocatable)?;
    nomad.run(&raw_exec("web", 50, 300, free_port()?))?;
    nomad.has("web", "running", None)?;
    cluster.until("the node to have less", |cluster| (allocatable(cluster)? == all - 300 * MIB).then_some(()))?;

    // Nomad learns what Kubernetes has given away: there is room for one of two halves.
    let half = all / 2 - 200 * MIB;
    cluster.apply(&asking("half", half))?;
    let process = cluster.ready("half")?;
    nomad
        .counted("half", |one| one["AllocatedResources"]["Tasks"]["pod"]["Memory"]["MemoryMB"] == half.div_ceil(MIB))?;
    let mib = u32::try_from(half / MIB)?;
    nomad.run(&raw_exec("fits", 50, mib - 300, free_port()?))?;
    nomad.has("fits", "running", None)?;
    nomad.run(&raw_exec("does-not-fit", 50, 600, free_port()?))?;
    let refused = nomad.until("the job to be refused", |nomad| {
        let all = nomad.get("/v1/job/does-not-fit/evaluations").ok()?;
        let failed = |one: &&Value| one["FailedTGAllocs"]["main"]["DimensionExhausted"].is_object();
        all.as_array()?.iter().find(failed).cloned()
    })?;
    assert!(refused["FailedTGAllocs"]["main"]["DimensionExhausted"]["memory"].is_u64(), "{refused}");

    // And so does the node itself, whatever a scheduler believes.
    cluster
        .until("the node to have nearly nothing", |cluster| (allocatable(cluster)? < half + 600 * MIB).then_some(()))?;
    cluster.apply(&asking("late", 600 * MIB))?;
    let late = cluster.pod_until("late", "refused", |pod| pod["status"]["phase"] == "Failed")?;
    assert_eq!(late["status"]["reason"], "OutOfmemory", "{late}");

    // What is given back is there again.
    nomad.stop("fits", true)?;
    nomad.has("does-not-fit", "running", None)?;
    assert_eq!(cluster.ready("half")?, process);
    Ok(())
}
