//! Pods of a real cluster on this host: bound by the scheduler, run, shown, changed, ended.

use std::process::Command;

use barepod_tests::bridge::{as_bridge, reachable};
use barepod_tests::host::{SOON, alive, signal};
use barepod_tests::joined::{Joined, NODE, has_condition, shell};
use barepod_tests::pods::IDLE;
use barepod_tests::wait_for;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[test]
fn a_pod_is_bound_run_shown_and_gone_when_it_is_deleted() -> Result {
    let cluster = Joined::start()?;
    cluster.apply(&shell("one", IDLE))?;
    let pid = cluster.ready("one")?;
    let pod = cluster.plane.get(&["pod", "one"])?;
    assert_eq!(pod["spec"]["nodeName"], NODE);
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!((&pod["status"]["podIP"], &pod["status"]["hostIP"]), (&json!("10.77.0.1"), &json!("10.77.0.1")));
    assert_eq!(pod["status"]["observedGeneration"], pod["metadata"]["generation"]);
    assert_eq!(cluster.host.pod("one")?["metadata"]["uid"], pod["metadata"]["uid"]);
    cluster.until("its events to be told", |cluster| {
        let events = cluster.kubectl(&["events", "--for", "pod/one"]).ok()?;
        ["Scheduled", "Accepted", "Started"].iter().all(|reason| events.contains(reason)).then_some(())
    })?;
    cluster.kubectl(&["delete", "pod", "one", "--wait=false"])?;
    cluster.gone("one")?;
    assert!(!alive(pid), "its process lives");
    Ok(())
}

#[test]
fn a_pod_that_ends_tells_how_and_is_not_started_again() -> Result {
    let cluster = Joined::start()?;
    for (name, script) in [("well", "exit 0"), ("badly", "echo why > /dev/termination-log; exit 7")] {
        let mut pod = shell(name, script);
        pod["spec"]["restartPolicy"] = json!("Never");
        cluster.apply(&pod)?;
    }
    let phase = |pod: &Value, phase: &str| pod["status"]["phase"] == *phase;
    cluster.pod_until("well", "done", |pod| phase(pod, "Succeeded"))?;
    let pod = cluster.pod_until("badly", "failed", |pod| phase(pod, "Failed"))?;
    let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"], &end["message"]), (&json!(7), &json!("Error"), &json!("why\n")));
    cluster.kubectl(&["delete", "pod", "badly", "--wait=false"])?;
    cluster.gone("badly")?;
    let begun = |name: &str| {
        let is_begin = |line: &&str| line.contains("runs as pid") && line.contains(&format!("pod=\"{name}\""));
        cluster.host.log().lines().filter(is_begin).count()
    };
    assert_eq!((begun("well"), begun("badly")), (1, 1));
    Ok(())
}

#[test]
fn a_host_that_has_forgotten_its_pods_starts_those_that_are_wanted_and_none_that_has_ended() -> Result {
    let mut cluster = Joined::start()?;
    let mut done = shell("done", "exit 0");
    done["spec"]["restartPolicy"] = json!("Never");
    cluster.apply(&done)?;
    cluster.apply(&shell("wanted", IDLE))?;
    let pid = cluster.ready("wanted")?;
    cluster.pod_until("done", "done", |pod| pod["status"]["phase"] == "Succeeded")?;
    let shims = cluster.host.shims("wanted")?;
    cluster.host.kill_daemon()?;
    for process in shims.into_iter().chain([pid]) {
        signal(process, "KILL")?;
    }
    std::fs::remove_dir_all(cluster.host.path("run/barepod/shims"))?;
    std::fs::remove_dir_all(cluster.host.path("var/lib/barepod/ledger"))?;
    cluster.host.start()?;
    cluster.until("the wanted one to run anew", |cluster| cluster.host.pid("wanted").filter(|now| *now != pid))?;
    assert!(cluster.host.pod("done").is_err(), "what has ended has been begun anew");
    Ok(())
}

/// What a pod of the host writes.
const SAID: &str = "words of the host";

/// The bridge of these tests runs as nobody.
const READERS: &str = r#"apiVersion: barepod.dev/v1alpha1
kind: Policy
rules:
- name: readers
  subjects: {sources: [file], users: [nobody], namespaces: ["*"]}
  verbs: [logs]
"#;

/// What a process sees of what its pod refers to.
const LOOK: &str = "cat /config/greeting; echo; echo $PASSWORD; echo $KUBERNETES_SERVICE_HOST; cat /tokens/vault";

#[test]
fn a_pod_shows_tokens_config_and_secrets_and_follows_their_changes() -> Result {
    let cluster = Joined::start()?;
    let mut pod = shell("reader", IDLE);
    pod["spec"]["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}}]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "config", "mountPath": "/config"}, {"name": "tokens", "mountPath": "/tokens"}]);
    let token = json!({"serviceAccountToken": {"audience": "vault", "expirationSeconds": 600, "path": "vault"}});
    pod["spec"]["volumes"] = json!([
        {"name": "config", "configMap": {"name": "greetings"}}, {"name": "tokens", "projected": {"sources": [token]}},
    ]);
    cluster.apply(&pod)?;
    // What it refers to is not there: it says so, and waits.
    cluster.pod_until("reader", "waiting", |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        matches!(waiting["reason"].as_str(), Some("CreateContainerConfigError" | "ContainerCreating"))
            && pod["status"].to_string().contains("not found")
    })?;
    let data = json!({"password": "s3cret"});
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": data}))?;
    cluster.apply(&config_map("hello"))?;
    let pid = cluster.ready("reader")?;
    let said = cluster.host.asked("reader", "main", LOOK)?;
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..2], ["hello", "s3cret"], "{said}");
    assert!(lines[2].starts_with("10."), "{said}");
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": lines[3], "audiences": ["vault"]},
    });
    let file = cluster.host.path("review.json");
    std::fs::write(&file, review.to_string())?;
    let reviewed = cluster.kubectl(&["create", "-o", "json", "-f", &file.display().to_string()])?;
    let reviewed: Value = serde_json::from_str(&reviewed)?;
    assert_eq!(reviewed["status"]["authenticated"], true, "{reviewed}");
    assert_eq!(reviewed["status"]["user"]["username"], "system:serviceaccount:default:default");
    // The API server's own way in, as every client looks for it.
    let own = "cd /var/run/secrets/kubernetes.io/serviceaccount && cat namespace && test -s token && test -s ca.crt";
    assert_eq!(cluster.host.asked("reader", "main", own)?, "default");

    cluster.apply(&config_map("good bye"))?;
    wait_for("the new greeting", SOON, || {
        (cluster.host.asked("reader", "main", "cat /config/greeting").ok()? == "good bye").then_some(())
    })?;
    assert_eq!(cluster.host.pid("reader"), Some(pid), "a new value is no new process");
    Ok(())
}

fn config_map(greeting: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greetings"}, "data": {"greeting": greeting}})
}

#[test]
fn a_pod_that_the_policy_denies_waits_with_the_reason_and_runs_when_it_is_allowed() -> Result {
    let cluster = Joined::start()?;
    cluster.host.set_policy(Some("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules: []\n"))?;
    cluster.apply(&shell("denied", IDLE))?;
    let pod = cluster.pod_until("denied", "denied", |pod| pod["status"]["reason"] == "Forbidden")?;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "Forbidden");
    cluster.host.set_policy(Some(barepod_tests::host::ALLOW_ALL))?;
    cluster.ready("denied")?;
    let pod = cluster.pod_until("denied", "without a reason", |pod| pod["status"]["reason"].is_null())?;
    assert!(has_condition(&pod, "ContainersReady", "True"), "{pod}");
    Ok(())
}

#[test]
fn a_readiness_gate_is_opened_in_the_cluster_and_closed_again() -> Result {
    let cluster = Joined::start()?;
    let mut pod = shell("gated", IDLE);
    pod["spec"]["readinessGates"] = json!([{"conditionType": "example.org/open"}]);
    cluster.apply(&pod)?;
    let pod = cluster.pod_until("gated", "running", |pod| has_condition(pod, "ContainersReady", "True"))?;
    assert!(has_condition(&pod, "Ready", "False"), "{pod}");
    for (status, ready) in [("True", "True"), ("False", "False")] {
        let condition = json!({"type": "example.org/open", "status": status});
        let patch = json!({"status": {"conditions": [condition]}}).to_string();
        cluster.kubectl(&["patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", &patch])?;
        let pod = cluster.pod_until("gated", "as its gate says", |pod| has_condition(pod, "Ready", ready))?;
        assert!(has_condition(&pod, "example.org/open", status), "{pod}");
    }
    Ok(())
}

#[test]
fn a_pod_of_the_host_is_mirrored_counted_and_ended_by_nobody_in_the_cluster() -> Result {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    let mut own = barepod_tests::pods::idle("own");
    own["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "300m"}});
    own["spec"]["containers"][0]["command"] = json!(["sh", "-c", format!("echo {SAID}; {IDLE}")]);
    let mut nowhere = barepod_tests::pods::idle("nowhere");
    nowhere["metadata"]["namespace"] = json!("the-cluster-lacks-it");
    cluster.host.apply_object(&nowhere)?;
    cluster.host.apply_object(&own)?;
    let pid = cluster.host.running("own")?;
    let mirror = format!("own-{NODE}");
    let shown = cluster.pod_until(&mirror, "shown", |pod| has_condition(pod, "Ready", "True"))?;
    assert_eq!(shown["metadata"]["annotations"]["kubernetes.io/config.source"], "file");
    assert_eq!(shown["spec"]["nodeName"], NODE);
    assert!(cluster.kubectl(&["describe", "node", NODE])?.contains("300m"), "its CPU is not counted");
    the_cluster_sees_its_log_if_the_policy_says_so(&cluster, &mirror)?;

    cluster.kubectl(&["delete", "pod", &mirror, "--wait=false"])?;
    cluster.pod_until(&mirror, "shown anew", |pod| {
        pod["metadata"]["uid"] != shown["metadata"]["uid"] && has_condition(pod, "Ready", "True")
    })?;
    assert_eq!(cluster.host.pid("own"), Some(pid));
    cluster.host.barepod(&["delete", "own"])?;
    cluster.gone(&mirror)?;
    Ok(())
}

/// By the name that the pod has in the cluster.
fn the_cluster_sees_its_log_if_the_policy_says_so(cluster: &Joined, mirror: &str) -> Result {
    cluster.host.set_policy(Some("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules: []\n"))?;
    cluster.until("its log to be refused", |cluster| {
        cluster.kubectl(&["logs", mirror]).err().filter(|error| error.to_string().contains("not allow"))
    })?;
    cluster.host.set_policy(Some(READERS))?;
    cluster.until("its log", |cluster| cluster.kubectl(&["logs", mirror]).ok().filter(|log| log.contains(SAID)))?;
    Ok(())
}

#[test]
fn the_bridge_may_do_no_more_than_a_node_needs() -> Result {
    let cluster = Joined::start()?;
    cluster.host.apply_object(&barepod_tests::pods::idle("own"))?;
    cluster.host.running("own")?;
    cluster.apply(&shell("bound", IDLE))?;
    cluster.ready("bound")?;
    cluster.host.set_policy(Some("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules: []\n"))?;
    cluster.host.until("nothing to be allowed", SOON, |host| {
        host.barepod(&["policy", "show"]).ok().filter(|shown| !shown.contains("everything")).map(drop)
    })?;
    let program = reachable(&cluster.host, "barepod")?;
    let may = |args: &[&str]| -> Result<bool> {
        let socket = cluster.host.path("run/barepod/barepod.sock");
        let mut command = Command::new(&program);
        let output = as_bridge(command.arg("--socket").arg(socket).args(args)).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("not allow"), "{args:?}: {said}");
        Ok(output.status.success())
    };
    for (args, allowed) in [
        (&["get", "pods"][..], true),
        (&["exec", "bound", "--", "true"], true),
        (&["logs", "bound"], true),
        (&["exec", "own", "--", "true"], false),
        (&["logs", "own"], false),
        (&["delete", "own"], false),
        (&["restart", "own"], false),
        (&["restart", "bound"], false),
    ] {
        assert_eq!(may(args)?, allowed, "{args:?}");
    }
    Ok(())
}
