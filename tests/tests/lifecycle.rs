//! The life of pods: order, restarts, limits, stops, and who waits for whom.

use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods::{self, IDLE, sh};
use barepod_tests::{keeper, logs};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// Ignores what it is asked, but says that it was.
const STUBBORN: &str = "trap 'echo asked' TERM; while :; do sleep 1000 & wait $!; done";

fn phase(host: &Host, name: &str, wanted: &str) -> Result<Value> {
    Ok(host.until(format!("{name} to be {wanted}"), SOON, |host| {
        host.pod(name).ok().filter(|pod| pod["status"]["phase"] == wanted)
    })?)
}

/// A directory that a pod's user may write.
fn shared(host: &Host) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
    Ok(directory)
}

fn restarts(pod: &Value, container: usize) -> Option<u64> {
    pod["status"]["containerStatuses"][container]["restartCount"].as_u64()
}

// ---- restart policies ----

fn with_policy(name: &str, policy: &str, script: &str, directory: &Path) -> Value {
    let mut pod = pods::with_directory(pods::shell(name, script), directory, "/dir");
    pod["spec"]["restartPolicy"] = json!(policy);
    pod
}

/// Fails the first time, succeeds from then on.
const SECOND_TRY: &str = "[ -e /dir/tried ] && exit 0; touch /dir/tried; exit 3";

#[test]
fn each_restart_policy_ends_as_kubernetes_says() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    for (name, policy, script, end) in [
        ("never-0", "Never", "exit 0", "Succeeded"),
        ("never-3", "Never", "exit 3", "Failed"),
        ("failure-0", "OnFailure", "exit 0", "Succeeded"),
        ("failure-3", "OnFailure", SECOND_TRY, "Succeeded"),
    ] {
        host.apply_object(&with_policy(name, policy, script, &directory))?;
        let pod = phase(&host, name, end)?;
        assert_eq!(restarts(&pod, 0), Some(u64::from(name == "failure-3")), "{name}");
    }
    host.apply_object(&with_policy("always-0", "Always", "exit 0", &directory))?;
    host.until("restarts", SOON, |host| restarts(&host.pod("always-0").ok()?, 0).filter(|count| *count > 1))?;
    Ok(())
}

// ---- several containers ----

#[test]
fn init_containers_run_one_after_the_other_before_the_rest() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut pod =
        pods::with_directory(pods::shell("pod", &format!("echo main >> /dir/order; {IDLE}")), &directory, "/dir");
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].clone();
    // The first one takes two tries; the second could overtake it.
    let inits =
        [("first", "echo first >> /dir/order; [ $(wc -l < /dir/order) = 2 ]"), ("second", "echo second >> /dir/order")];
    let inits = inits.map(|(name, script)| {
        let mut container = sh(name, script);
        container["volumeMounts"] = mounts.clone();
        container
    });
    pod["spec"]["initContainers"] = json!(inits);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    host.until("the main container's word", SOON, |_| {
        (std::fs::read_to_string(directory.join("order")).ok()? == "first\nfirst\nsecond\nmain\n").then_some(())
    })?;
    Ok(())
}

#[test]
fn a_container_that_crashes_leaves_its_neighbour_alone() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pods::pod("pod", [sh("one", IDLE), sh("two", IDLE)]))?;
    host.ready("pod")?;
    let pids = |host: &Host| -> Option<Vec<u32>> {
        let text = host.barepod(&["describe", "pod"]).ok()?;
        let pids = text.lines().filter_map(|line| line.trim().strip_prefix("PID:")?.trim().parse().ok());
        Some(pids.collect()).filter(|pids: &Vec<u32>| pids.len() == 2)
    };
    let before = pids(&host).ok_or("no pids")?;
    signal(before[0], "KILL")?;
    let after = host.until("another first process", SOON, |host| pids(host).filter(|now| now[0] != before[0]))?;
    assert_eq!(after[1], before[1]);
    let pod = host.ready("pod")?;
    assert_eq!((restarts(&pod, 0), restarts(&pod, 1)), (Some(1), Some(0)));

    host.barepod(&["restart", "pod", "-c", "two"])?;
    let last = host.until("another second process", SOON, |host| pids(host).filter(|now| now[1] != before[1]))?;
    assert_eq!(last[0], after[0]);
    Ok(())
}

// ---- changes ----

#[test]
fn a_restart_stops_gracefully_and_starts_what_was_there() -> Result {
    let host = Host::started("")?;
    host.apply_object(&pods::shell("pod", "trap 'echo bye; exit 0' TERM; sleep 1000000 & wait"))?;
    let before = host.running("pod")?;
    host.barepod(&["restart", "pod"])?;
    host.until("another process", SOON, |host| host.pid("pod").filter(|pid| *pid != before))?;
    assert_eq!(host.barepod(&["logs", "pod", "--previous"])?, "bye\n");
    let pod = host.pod("pod")?;
    assert_eq!(pod["metadata"]["generation"], 1);
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 0);
    Ok(())
}

#[test]
fn limits_are_changed_in_place() -> Result {
    let limited = |memory: &str, cpu: &str| {
        let mut pod = pods::idle("pod");
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": memory, "cpu": cpu}});
        pod
    };
    let host = Host::started("")?;
    host.apply_object(&limited("64Mi", "500m"))?;
    let pid = host.running("pod")?;
    for (memory, cpu, bytes) in [("96Mi", "1", 96_u64 << 20), ("48Mi", "250m", 48 << 20)] {
        assert_eq!(host.apply_object(&limited(memory, cpu))?, "pod/pod configured\n");
        host.until(format!("{memory} in the cgroup's own file"), SOON, |host| (limit(host)? == bytes).then_some(()))?;
        assert_eq!(host.pid("pod"), Some(pid));
    }
    Ok(())
}

fn limit(host: &Host) -> Option<u64> {
    let groups = std::fs::read_dir(host.cgroup_of("memory")).ok()?.flatten().map(|entry| entry.path().join("main"));
    let files = groups.flat_map(|group| ["memory.limit_in_bytes", "memory.max"].map(|file| group.join(file)));
    files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).next()
}

// ---- stops ----

#[test]
fn a_program_that_ignores_its_signal_is_killed_at_the_end_of_its_grace() -> Result {
    let host = Host::started("")?;
    let mut pod = pods::shell("stubborn", STUBBORN);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    host.apply_object(&pod)?;
    let pid = host.running("stubborn")?;
    host.barepod(&["delete", "stubborn"])?;
    assert!(!alive(pid));
    assert_eq!(logs::lines(&host, "stubborn", "main", 0)?[0].text, "asked");
    assert!(host.log().contains("attempt 0 ended with signal 9"), "{}", host.last_words());
    Ok(())
}

#[test]
fn a_grace_given_with_the_delete_wins_over_the_pod_s_own() -> Result {
    let host = Host::started("")?;
    let mut pod = pods::shell("stubborn", STUBBORN);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(3600);
    host.apply_object(&pod)?;
    host.running("stubborn")?;
    host.barepod(&["delete", "stubborn", "--no-wait"])?;
    host.until("the stop", SOON, |host| host.barepod(&["get", "pods"]).ok()?.contains("Terminating").then_some(()))?;
    // An hour is more than this test has.
    host.barepod(&["delete", "stubborn", "--grace-period", "0"])?;
    Ok(())
}

/// Stages of a stop.
const STAGES: &str = "  stop:
    stages:
      - signal: SIGINT
      - signal: SIGQUIT
        beforeEndSeconds: 1
    minGraceSeconds: 3
";

fn host_with_keeper() -> Result<Host> {
    let host = Host::new(CONFIG)?;
    keeper::install(&host, STAGES)?;
    Ok(host)
}

#[test]
fn the_stages_of_a_stop_come_in_order_within_the_preset_s_least_grace() -> Result {
    let mut host = host_with_keeper()?;
    host.start()?;
    let directory = shared(&host)?;
    let script = "trap 'echo int' INT; trap 'echo quit' QUIT; while :; do sleep 1000 & wait $!; done";
    let mut pod = keeper::running("keeper", script, &directory);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    host.apply_object(&pod)?;
    host.running("keeper")?;
    host.barepod(&["delete", "keeper"])?;
    let said: Vec<String> = logs::lines(&host, "keeper", "main", 0)?.into_iter().map(|line| line.text).collect();
    assert_eq!(said, ["int", "quit"]);
    assert!(host.log().contains("GraceExtended"), "{}", host.last_words());
    Ok(())
}

/// Says in a file when it found somebody else alive. It takes its time to end.
const ALONE: &str = "exec 9>/dir/lock; flock -n 9 || echo two >> /dir/two
trap 'sleep 0.3; echo last >> /dir/ends; exit 0' TERM INT; echo begin >> /dir/begins; sleep 1000000 9>&- & wait";

#[test]
fn two_pods_on_one_data_path_run_one_after_the_other() -> Result {
    let mut host = host_with_keeper()?;
    host.start()?;
    let directory = shared(&host)?;
    host.apply_object(&keeper::running("one", ALONE, &directory))?;
    host.running("one")?;
    host.apply_object(&keeper::running("two", ALONE, &directory))?;
    let waiting = host.reason("two", "DataPathInUse")?;
    assert!(waiting["status"]["message"].as_str().is_some_and(|text| text.contains("default/one")), "{waiting}");
    assert!(host.pid("two").is_none());
    host.barepod(&["delete", "one", "--no-wait"])?;
    host.running("two")?;
    assert_eq!(std::fs::read_to_string(directory.join("ends"))?, "last\n", "the first one had ended");
    assert!(!directory.join("two").exists(), "both at once");
    Ok(())
}

#[test]
fn a_successor_of_the_same_name_waits_for_its_predecessor() -> Result {
    let mut host = host_with_keeper()?;
    host.start()?;
    let directory = shared(&host)?;
    host.apply_object(&keeper::running("one", ALONE, &directory))?;
    let first = host.running("one")?;
    let begun = || directory.join("begins").exists().then_some(());
    host.until("it to know its signals", SOON, |_| begun())?;
    let uid = host.pod("one")?["metadata"]["uid"].take();
    host.barepod(&["delete", "one", "--no-wait"])?;
    host.apply_object(&keeper::running("one", ALONE, &directory))?;
    host.until("the successor to run", SOON, |host| host.pid("one").filter(|pid| *pid != first))?;
    assert_ne!(host.pod("one")?["metadata"]["uid"], uid, "another pod");
    assert_eq!(std::fs::read_to_string(directory.join("ends"))?, "last\n", "the first one had ended");
    assert!(!directory.join("two").exists(), "both at once");
    Ok(())
}
