//! `kubectl debug` in a real cluster: ephemeral containers of pods that run.

use barepod_tests::host::alive;
use barepod_tests::joined::{Joined, has_condition, shell};
use barepod_tests::pods::IDLE;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Tells in its last words which program the first process is that it sees.
const LOOK: &str = "tr '\\0' ' ' < /proc/1/cmdline > /dev/termination-log; exit 3";

/// Adds an ephemeral container that runs a line of shell beside the processes of `main`.
fn debug(cluster: &Joined, pod: &str, name: &str, image: &str, script: &str) -> Result {
    let image = format!("--image={image}");
    let command = ["--target=main", "--attach=false", "--", "sh", "-c", script];
    cluster.kubectl(&[&["debug", pod, "-c", name, &image][..], &command].concat())?;
    Ok(())
}

fn status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let mut statuses = pod["status"]["ephemeralContainerStatuses"].as_array().into_iter().flatten();
    statuses.find(|status| status["name"] == *name).unwrap_or(&Value::Null)
}

/// What the cluster shows of an ephemeral container, once it is in this state.
fn shown(cluster: &Joined, pod: &str, name: &str, state: &str) -> Result<Value> {
    let is_so = |pod: &Value| status(pod, name)["state"][state].is_object();
    let pod = cluster.pod_until(pod, &format!("with {name} {state}"), is_so)?;
    Ok(status(&pod, name).clone())
}

#[test]
fn kubectl_debug_starts_a_process_beside_those_of_its_target_and_tells_how_it_ended() -> Result {
    let cluster = Joined::start()?;
    cluster.apply(&shell("db", IDLE))?;
    let main = cluster.ready("db")?;

    debug(&cluster, "db", "look", "host", LOOK)?;

    let look = shown(&cluster, "db", "look", "terminated")?;
    let end = &look["state"]["terminated"];
    assert_eq!((&end["exitCode"], &look["restartCount"], &look["ready"]), (&json!(3), &json!(0), &json!(false)));
    assert!(end["message"].as_str().is_some_and(|seen| seen.contains("sleep 1000000")), "{end}");
    debug(&cluster, "db", "stay", "host", IDLE)?;
    let stay = shown(&cluster, "db", "stay", "running")?;
    let pod = cluster.plane.get(&["pod", "db"])?;
    assert!(has_condition(&pod, "Ready", "True") && pod["status"]["phase"] == "Running", "{pod}");
    assert_eq!(status(&pod, "look"), &look, "it has ended, and is not started again");
    assert_eq!(
        (cluster.host.pid("db"), &pod["status"]["containerStatuses"][0]["restartCount"]),
        (Some(main), &json!(0))
    );
    let started = |name: &str| {
        let log = cluster.host.log();
        log.lines()
            .filter(|line| line.contains("runs as pid") && line.contains(&format!("container=\"{name}\"")))
            .count()
    };
    assert_eq!((started("look"), started("stay")), (1, 1));

    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let procs = cluster.host.group_of_pod(&cluster.host.unified(), uid).join("stay/0/cgroup.procs");
    let stays: Vec<u32> = std::fs::read_to_string(procs)?.lines().flat_map(str::parse).collect();
    assert!(!stays.is_empty() && stays.iter().all(|pid| alive(*pid)), "{stay}");
    cluster.kubectl(&["delete", "pod", "db", "--wait=false"])?;
    cluster.gone("db")?;
    assert!(!stays.iter().any(|pid| alive(*pid)), "it outlives its pod");
    Ok(())
}

#[test]
fn an_ephemeral_container_that_is_refused_says_why_and_keeps_nothing_else_from_its_pod() -> Result {
    let cluster = Joined::start()?;
    cluster.apply(&shell("db", IDLE))?;
    let main = cluster.ready("db")?;
    debug(&cluster, "db", "wrong", "nothing/answers-to:this", IDLE)?;
    let wrong = shown(&cluster, "db", "wrong", "waiting")?;
    let why = &wrong["state"]["waiting"];
    assert!(why["message"].as_str().is_some_and(|why| why.contains("nothing/answers-to")), "{why}");
    assert_eq!(why["reason"], "ImagePullBackOff");

    debug(&cluster, "db", "right", "host", IDLE)?;
    shown(&cluster, "db", "right", "running")?;
    cluster.kubectl(&["label", "pod", "db", "stage=two"])?;
    cluster.until("the label to be known", |cluster| {
        (cluster.host.pod("db").ok()?["metadata"]["labels"]["stage"] == "two").then_some(())
    })?;
    let pod = cluster.plane.get(&["pod", "db"])?;
    assert_eq!(status(&pod, "wrong")["state"]["waiting"], *why);
    assert!(has_condition(&pod, "Ready", "True"), "{pod}");
    assert_eq!(cluster.host.pid("db"), Some(main));
    Ok(())
}

#[test]
fn an_ephemeral_container_that_the_host_has_forgotten_is_not_started_again() -> Result {
    let mut cluster = Joined::start()?;
    cluster.apply(&shell("db", IDLE))?;
    let main = cluster.ready("db")?;
    debug(&cluster, "db", "look", "host", LOOK)?;
    // How it ended is told at once, its last words when nothing is left of it.
    let is_whole = |pod: &Value| status(pod, "look")["state"]["terminated"]["message"].is_string();
    let look = status(&cluster.pod_until("db", "with the last words of look", is_whole)?, "look").clone();
    let shims = cluster.host.shims("db")?;
    cluster.host.kill_daemon()?;
    for process in shims.into_iter().chain([main]) {
        barepod_tests::host::signal(process, "KILL")?;
    }
    std::fs::remove_dir_all(cluster.host.path("run/barepod/shims"))?;
    std::fs::remove_dir_all(cluster.host.path("var/lib/barepod/ledger"))?;
    cluster.host.start()?;
    cluster.until("its pod to run anew", |cluster| cluster.host.pid("db").filter(|now| *now != main))?;
    let pod = cluster.pod_until("db", "shown as it is now", |pod| {
        has_condition(pod, "Ready", "True") && pod["status"]["containerStatuses"][0]["containerID"].is_string()
    })?;
    assert_eq!(status(&pod, "look"), &look);
    assert!(!cluster.host.pod("db")?.to_string().contains("look"), "the host was told of it");
    Ok(())
}
