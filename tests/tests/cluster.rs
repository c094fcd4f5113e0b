//! The control plane that other tests are run with: real, strict, and gone afterwards.

use std::path::Path;
use std::time::Instant;

use barepod_tests::cluster::{ClusterError, ControlPlane, Recipe, SOON, pem};
use barepod_tests::host::alive;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A node that nobody speaks for: made by hand, and ready.
fn node(name: &str) -> Value {
    let room = json!({"cpu": "2", "memory": "4Gi", "pods": "10"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": room, "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "ByHand"}],
        },
    })
}

/// A pod for this node, chosen by the scheduler.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"name": "main", "image": "host", "command": ["sleep", "inf"]}],
        },
    })
}

/// A control plane with a node for each of these pods: `pod-a` for `node-a` and so on.
fn with_pods(letters: &[&str]) -> Result<ControlPlane> {
    let plane = ControlPlane::start(&Recipe::default())?;
    for letter in letters {
        let node = node(&format!("node-{letter}"));
        let pod = pod(&format!("pod-{letter}"), &format!("node-{letter}"));
        plane.kubectl_apply(&format!("{node}\n---\n{pod}\n"))?;
    }
    for letter in letters {
        plane.until(format!("pod-{letter} to be bound"), SOON, |plane| {
            let pod = plane.get(&["pod", &format!("pod-{letter}")]).ok()?;
            (pod["spec"]["nodeName"] == format!("node-{letter}")).then_some(())
        })?;
    }
    Ok(plane)
}

/// What kubectl said when it was refused.
fn refused<T: std::fmt::Debug>(result: std::result::Result<T, ClusterError>) -> String {
    match result {
        Err(ClusterError::Refused { stderr, .. }) => stderr,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_pod_is_bound_by_the_scheduler_and_nothing_is_left_of_the_control_plane() -> Result {
    let begin = Instant::now();
    let plane = with_pods(&["a"])?;
    println!("up, with a pod bound, after {:?}", begin.elapsed());
    let (pids, scratch) = (plane.pids(), plane.path(""));
    let memory = pids.iter().map(|pid| resident_kib(*pid)).sum::<u64>();
    println!("{} MiB in all", memory >> 10);
    assert_eq!(pids.len(), 4);

    drop(plane);

    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
    assert!(!scratch.exists());
    Ok(())
}

#[test]
fn a_node_reads_its_own_pods_and_no_others() -> Result {
    let plane = with_pods(&["a", "b"])?;
    let node = plane.kubeconfig_of_node("node-a")?;
    let get = |args: &[&str]| plane.kubectl_as(&node, &[&["get", "-o", "name"], args].concat());

    assert_eq!(get(&["pods", "--field-selector", "spec.nodeName=node-a"])?, "pod/pod-a\n");
    assert_eq!(get(&["pod", "pod-a"])?, "pod/pod-a\n");
    for foreign in [&["pods"][..], &["pod", "pod-b"], &["pods", "--field-selector", "spec.nodeName=node-b"]] {
        let said = refused(get(foreign));
        assert!(said.contains("Forbidden"), "{foreign:?}: {said}");
    }
    Ok(())
}

#[test]
fn who_has_no_credentials_may_ask_for_health_and_cluster_info_only() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;

    assert_eq!(plane.ask("/readyz")?, (200, "ok".to_owned()));
    let (status, info) = plane.ask("/api/v1/namespaces/kube-public/configmaps/cluster-info")?;
    assert!(status == 200 && info.contains("certificate-authority-data"), "{status}: {info}");
    assert_eq!(plane.ask("/api/v1/namespaces/kube-public/configmaps")?.0, 401);
    assert_eq!(plane.ask("/version")?.0, 401);
    Ok(())
}

#[test]
fn who_has_the_bootstrap_token_gets_a_node_s_certificate() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;
    let kubeconfig = plane.kubeconfig_of_token()?;

    let info = plane.until("cluster-info to be signed for the token", SOON, |plane| {
        let info = plane.get(&["configmap", "-n", "kube-public", "cluster-info"]).ok()?;
        let signature = format!("jws-kubeconfig-{}", plane.bootstrap_token().split_once('.')?.0);
        info["data"].get(&signature).cloned()
    })?;
    plane.kubectl_create_as(&kubeconfig, &signing_request("node-x")?.to_string())?;
    let certificate = plane.until("the certificate", SOON, |plane| {
        plane.get(&["csr", "node-x"]).ok()?["status"].get("certificate").cloned()
    })?;

    assert!(info.is_string() && certificate.is_string());
    Ok(())
}

/// As a kubelet asks for its first certificate.
fn signing_request(node: &str) -> Result<Value> {
    use base64::Engine as _;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{node}"));
    let request = params.serialize_request(&rcgen::KeyPair::generate()?)?;
    let request = pem("CERTIFICATE REQUEST", request.der());
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": node},
        "spec": {
            "request": base64::prelude::BASE64_STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    }))
}

#[test]
fn an_api_server_that_is_killed_or_hangs_comes_back_with_all_it_knew() -> Result {
    let plane = with_pods(&["a"])?;
    let asked = |plane: &ControlPlane| plane.kubectl(&["get", "pod", "pod-a", "-o", "name", "--request-timeout=2s"]);

    plane.kill_api_server()?;
    assert!(asked(&plane).is_err());
    plane.start_api_server()?;
    assert_eq!(asked(&plane)?, "pod/pod-a\n");

    plane.freeze_api_server()?;
    assert!(asked(&plane).is_err());
    plane.thaw_api_server()?;
    plane.until("the API server to answer again", SOON, |plane| asked(plane).ok())?;
    Ok(())
}

#[test]
fn a_restored_store_knows_what_was_then_and_nothing_since() -> Result {
    let plane = with_pods(&["a"])?;
    let names = |plane: &ControlPlane| plane.kubectl(&["get", "configmaps", "-o", "name"]);
    plane.kubectl(&["create", "configmap", "before"])?;
    let snapshot = plane.snapshot()?;
    plane.kubectl(&["create", "configmap", "after"])?;
    let version = |plane: &ControlPlane| -> Result<u64> {
        let list: Value = serde_json::from_str(&plane.kubectl(&["get", "--raw", "/api/v1/configmaps?limit=1"])?)?;
        Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse()?)
    };
    let later = version(&plane)?;

    plane.restore(&snapshot)?;

    let known = names(&plane)?;
    assert!(known.contains("configmap/before") && !known.contains("configmap/after"), "{known}");
    assert_eq!(plane.get(&["pod", "pod-a"])?["spec"]["nodeName"], "node-a");
    println!("resource version {later} before, {} after", version(&plane)?);
    Ok(())
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
