//! Kubernetes' rules on real processes, where no other file has them. `agent/core/SEMANTICS.md` is the table of all.

use std::path::PathBuf;

use barepod_tests::host::{Host, SOON, is_ready};
use barepod_tests::pods::{self, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How the pod's container ended. Its last words are read when nothing of it is left, and then its phase is the last one.
fn terminated(host: &Host, name: &str) -> Result<Value> {
    host.until(format!("{name} to have ended"), SOON, |host| {
        let phase = host.pod(name).ok()?["status"]["phase"].clone();
        (phase == "Succeeded" || phase == "Failed").then_some(())
    })?;
    let container = host.container(name, "ended", |container| container["state"]["terminated"].is_object())?;
    Ok(container["state"]["terminated"].clone())
}

fn once(name: &str, script: &str) -> Value {
    let mut pod = pods::shell(name, script);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

fn shared(host: &Host) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
    Ok(directory)
}

#[test]
fn a_termination_message_is_cut_at_4096_bytes() -> Result {
    let host = Host::started("")?;
    host.apply_object(&once("pod", "head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log"))?;
    assert_eq!(terminated(&host, "pod")?["message"], "x".repeat(4096));
    Ok(())
}

#[test]
fn the_end_of_the_log_is_the_last_2048_bytes_of_80_lines() -> Result {
    let host = Host::started("")?;
    let with_fallback = |mut pod: Value| {
        pod["spec"]["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        pod
    };
    host.apply_object(&with_fallback(once("short", "seq 1 200; exit 1")))?;
    let lines: String = (121..=200).map(|number| format!("{number}\n")).collect();
    assert_eq!(terminated(&host, "short")?["message"], lines);
    host.apply_object(&with_fallback(once("long", "head -c 9000 /dev/zero | tr '\\0' y; exit 1")))?;
    // A line that nobody has ended stays so.
    assert_eq!(terminated(&host, "long")?["message"], "y".repeat(2048));
    host.apply_object(&with_fallback(once("well", "echo nothing to tell")))?;
    assert_eq!(terminated(&host, "well")?["message"], Value::Null);
    Ok(())
}

#[test]
fn the_last_words_of_many_containers_share_12_kilobytes() -> Result {
    let host = Host::started("")?;
    let script = "head -c 4096 /dev/zero | tr '\\0' x > /dev/termination-log";
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut pod = pods::pod("pod", names.map(|name| sh(name, script)));
    pod["spec"]["restartPolicy"] = json!("Never");
    host.apply_object(&pod)?;
    let ended = host.until("the pod to have ended", SOON, |host| {
        host.pod("pod").ok().filter(|pod| pod["status"]["phase"] == "Succeeded")
    })?;
    for container in ended["status"]["containerStatuses"].as_array().ok_or("statuses")? {
        assert_eq!(container["state"]["terminated"]["message"], "x".repeat(2048));
    }
    Ok(())
}

#[test]
fn a_crash_loop_is_shown_as_kubelet_shows_it() -> Result {
    let host = Host::started("")?;
    host.apply_object(&pods::shell("pod", "echo lost > /dev/termination-log; exit 7"))?;
    let waits = host.container("pod", "waiting", |container| {
        container["state"]["waiting"]["reason"] == "CrashLoopBackOff" && container["restartCount"] == 1
    })?;
    let uid = host.pod("pod")?["metadata"]["uid"].as_str().ok_or("a uid")?.to_owned();
    let message = format!("back-off 10s restarting failed container=main pod=pod_default({uid})");
    assert_eq!(waits["state"]["waiting"]["message"], message);
    let last = &waits["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"], &last["message"]), (&json!(7), &json!("Error"), &json!("lost\n")));
    assert_eq!((&waits["ready"], &waits["started"]), (&json!(false), &json!(false)));
    let status = &host.pod("pod")?["status"];
    assert_eq!(status["phase"], "Running");
    assert!(status["startTime"].is_string());
    Ok(())
}

#[test]
fn a_deleted_pod_is_ready_until_its_probe_says_otherwise() -> Result {
    let host = Host::started("")?;
    let directory = shared(&host)?;
    let script = "trap 'touch /dir/asked; until [ -e /dir/end ]; do sleep 0.1; done; exit 0' TERM; \
                  touch /dir/good; sleep 1000000 & wait";
    let mut pod = pods::with_directory(pods::shell("pod", script), &directory, "/dir");
    let readiness =
        json!({"exec": {"command": ["test", "-e", "/dir/good"]}, "periodSeconds": 1, "failureThreshold": 1});
    pod["spec"]["containers"][0]["readinessProbe"] = readiness;
    host.apply_object(&pod)?;
    host.ready("pod")?;
    host.barepod(&["delete", "pod", "--no-wait"])?;
    host.until("the signal to arrive", SOON, |_| directory.join("asked").exists().then_some(()))?;
    assert!(is_ready(&host.pod("pod")?), "it is on its way out and still answers");
    std::fs::remove_file(directory.join("good"))?;
    host.until("the pod not to be ready", SOON, |host| host.pod("pod").ok().filter(|pod| !is_ready(pod)))?;
    std::fs::write(directory.join("end"), "")?;
    host.gone("pod")?;
    Ok(())
}

#[test]
fn an_init_container_that_has_done_its_work_is_ready_and_its_pod_initialized() -> Result {
    let host = Host::started("")?;
    let mut pod = pods::idle("pod");
    pod["spec"]["initContainers"] = json!([sh("first", "true"), sh("second", "true")]);
    host.apply_object(&pod)?;
    let shown = host.ready("pod")?;
    for container in shown["status"]["initContainerStatuses"].as_array().ok_or("statuses")? {
        assert_eq!((&container["ready"], &container["restartCount"]), (&json!(true), &json!(0)));
        assert_eq!(container["state"]["terminated"]["reason"], "Completed");
    }
    let conditions = shown["status"]["conditions"].as_array().ok_or("conditions")?;
    let kinds: Vec<_> = conditions.iter().filter_map(|condition| condition["type"].as_str()).collect();
    assert_eq!(kinds, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
    assert!(conditions.iter().all(|c| c["status"] == "True" && c["lastTransitionTime"].is_string()));
    Ok(())
}
