//! What a cluster is given for nodes of barepod (packaging/kubernetes), as its API server understands it.

use barepod_tests::cluster::{ControlPlane, Recipe};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A pod with a port, as anybody writes it.
fn pod(name: &str, namespace: &str, class: Option<&str>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "db", "image": "postgres:15", "ports": [{"containerPort": 5432}]}]},
    });
    if let Some(class) = class {
        pod["spec"]["runtimeClassName"] = json!(class);
    }
    pod
}

/// What becomes of it in the API server.
fn admitted(plane: &ControlPlane, pod: &Value) -> Result<Value> {
    plane.kubectl_apply(&pod.to_string())?;
    let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
    Ok(plane.get(&["pod", "-n", text("namespace"), text("name")])?["spec"].clone())
}

/// How long a pod bears it, of each of the two things that a node may be.
fn bears(spec: &Value) -> Vec<(&str, Option<u64>)> {
    let all = spec["tolerations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_node = all.iter().filter_map(|toleration| {
        let key = toleration["key"].as_str()?.strip_prefix("node.kubernetes.io/")?;
        Some((key, toleration["tolerationSeconds"].as_u64()))
    });
    of_node.collect()
}

#[test]
fn pods_of_barepod_stay_on_a_silent_node_and_are_on_the_host_s_network_where_the_namespace_chose_it() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;
    plane.install()?;
    plane.kubectl(&["create", "namespace", "data"])?;
    plane.kubectl(&["label", "namespace", "data", "barepod.dev/host-network=true"])?;
    let ours = Some("barepod");
    // A policy is in force a moment after it is there.
    plane.until("the policies to be in force", barepod_tests::cluster::SOON, |plane| {
        let spec = admitted(plane, &pod("first", "data", ours)).ok()?;
        plane.kubectl(&["delete", "pod", "-n", "data", "first", "--force"]).ok()?;
        (spec["hostNetwork"] == true && bears(&spec).iter().all(|(_, seconds)| seconds.is_none())).then_some(())
    })?;

    let spec = admitted(&plane, &pod("db", "data", ours))?;
    assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], 5432, "the scheduler knows the port");
    assert_eq!(spec["dnsPolicy"], "ClusterFirstWithHostNet");
    assert_eq!(bears(&spec), [("not-ready", None), ("unreachable", None)]);
    assert!(spec["tolerations"].to_string().contains("barepod.dev/node"), "{}", spec["tolerations"]);

    let elsewhere = admitted(&plane, &pod("db", "default", ours))?;
    assert_eq!((&elsewhere["hostNetwork"], &elsewhere["dnsPolicy"]), (&Value::Null, &json!("ClusterFirst")));
    assert_eq!(bears(&elsewhere), [("not-ready", None), ("unreachable", None)]);

    let other = admitted(&plane, &pod("other", "data", None))?;
    assert_eq!(other["hostNetwork"], Value::Null);
    assert_eq!(bears(&other), [("not-ready", Some(300)), ("unreachable", Some(300))]);

    let mut hasty = pod("hasty", "data", ours);
    let gives_up =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30});
    hasty["spec"]["tolerations"] = json!([gives_up("node.kubernetes.io/unreachable")]);
    hasty["spec"]["dnsPolicy"] = json!("Default");
    let hasty = admitted(&plane, &hasty)?;
    assert_eq!(hasty["dnsPolicy"], "Default");
    let mut borne = bears(&hasty);
    borne.sort_unstable();
    assert_eq!(borne, [("not-ready", None), ("unreachable", Some(30))]);
    Ok(())
}
