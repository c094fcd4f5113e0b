//! Readiness gates on a host without Kubernetes: who opens them, and what the pod is until then.

use barepod_tests::host::{Host, SOON, is_ready};
use barepod_tests::pods;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const GATE: &str = "example.com/in-load-balancer";

fn gated() -> Value {
    let mut pod = pods::idle("pod");
    pod["spec"]["readinessGates"] = json!([{"conditionType": GATE}]);
    pod
}

fn condition(pod: &Value, kind: &str) -> Value {
    let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

#[test]
fn a_pod_waits_for_its_gates_and_what_opened_them_survives_the_daemon() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&gated())?;
    host.running("pod")?;
    let waits = host.until("the containers to be ready", SOON, |host| {
        host.pod("pod").ok().filter(|pod| condition(pod, "ContainersReady")["status"] == "True")
    })?;
    assert!(!is_ready(&waits));
    assert_eq!(condition(&waits, "Ready")["reason"], "ReadinessGatesNotReady");
    host.barepod(&[
        "condition",
        "set",
        "pod",
        &format!("{GATE}=True"),
        "--reason",
        "Registered",
        "--message",
        "as number 7",
    ])?;
    let ready = host.ready("pod")?;
    let set = condition(&ready, GATE);
    assert_eq!(
        (&set["status"], &set["reason"], &set["message"]),
        (&json!("True"), &json!("Registered"), &json!("as number 7"))
    );
    host.kill_daemon()?;
    host.start()?;
    host.ready("pod")?;
    assert_eq!(condition(&host.pod("pod")?, GATE), set);
    let text = host.barepod(&["describe", "pod"])?;
    assert!(text.contains(GATE) && text.contains("as number 7"), "{text}");
    host.barepod(&["condition", "set", "pod", &format!("{GATE}=False")])?;
    host.until("the pod not to be ready", SOON, |host| host.pod("pod").ok().filter(|pod| !is_ready(pod)))?;
    host.barepod(&["condition", "remove", "pod", GATE])?;
    assert_eq!(condition(&host.pod("pod")?, GATE), Value::Null);
    Ok(())
}

#[test]
fn what_is_nobodys_to_set_is_refused_with_the_likely_fix() -> Result {
    let host = Host::started("")?;
    host.apply_object(&gated())?;
    let refused = |args: &[&str]| match host.barepod(args) {
        Ok(said) => panic!("{args:?} was done: {said}"),
        Err(error) => error.to_string(),
    };
    assert!(refused(&["condition", "set", "pod", "Ready=True"]).contains("follows from the pod's containers"));
    assert!(refused(&["condition", "set", "pod", "a b=True"]).contains("no type of a condition"));
    assert!(refused(&["condition", "set", "pod", "x=Yes"]).contains("use True, False or Unknown"));
    assert!(refused(&["condition", "set", "pod", "x"]).contains("write x=True"));
    assert!(refused(&["condition", "set", "nobody", "x=True"]).contains("there is no pod nobody"));
    Ok(())
}
