//! What pods ask for and may use: limits in the control groups' own files, room on the host, changes in place, disk space.

use std::path::PathBuf;
use std::time::Duration;

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Disk space is looked at every ten seconds, by a thread that waits for all others.
const MEASURED: Duration = Duration::from_secs(120);

/// A pod that asks for `resources` as a whole.
fn whole(name: &str, resources: Value, containers: impl IntoIterator<Item = Value>) -> Value {
    let mut pod = pods::pod(name, containers);
    pod["spec"]["resources"] = resources;
    pod
}

fn asking(name: &str, resources: Value) -> Value {
    let mut pod = pods::idle(name);
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

/// A file of a pod's group, by its names on v2 and on v1; `below` is the container, or nothing.
fn file(host: &Host, pod: &str, below: &str, controller: &str, names: [&str; 2]) -> Option<String> {
    let uid = host.pod(pod).ok()?["metadata"]["uid"].as_str()?.to_owned();
    let group = host.group_of_pod(&host.cgroup_of(controller), &uid).join(below);
    names.into_iter().find_map(|name| std::fs::read_to_string(group.join(name)).ok()).map(|text| text.trim().to_owned())
}

const MEMORY: [&str; 2] = ["memory.max", "memory.limit_in_bytes"];

fn memory(host: &Host, pod: &str, below: &str) -> Option<u64> {
    file(host, pod, below, "memory", MEMORY)?.parse().ok()
}

/// Microseconds of CPU in a period.
fn quota(host: &Host, pod: &str, below: &str) -> Option<u64> {
    file(host, pod, below, "cpu", ["cpu.max", "cpu.cfs_quota_us"])?.split(' ').next()?.parse().ok()
}

fn condition(pod: &Value, kind: &str) -> Option<Value> {
    pod["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind).cloned()
}

#[test]
fn a_pod_is_limited_as_a_whole_and_its_containers_by_it() -> Result {
    let host = Host::started("")?;
    let mut small = sh("small", IDLE);
    small["resources"] = json!({"limits": {"memory": "32Mi", "cpu": "100m"}});
    let limits = json!({"limits": {"memory": "96Mi", "cpu": "500m"}});
    host.apply_object(&whole("pod", limits, [small, sh("free", IDLE)]))?;
    host.ready("pod")?;
    for (group, bytes, us) in [("", 96_u64 << 20, 50_000), ("small", 32 << 20, 10_000), ("free", 96 << 20, 50_000)] {
        assert_eq!((memory(&host, "pod", group), quota(&host, "pod", group)), (Some(bytes), Some(us)), "{group:?}");
    }
    let weight = file(&host, "pod", "", "cpu", ["cpu.weight", "cpu.shares"]);
    assert!(matches!(weight.as_deref(), Some("17" | "102")), "100 of 1000 shares: {weight:?}");
    let status = host.pod("pod")?["status"].take();
    assert_eq!(
        status["qosClass"], "Burstable",
        "it asks for what its containers ask for, which is less than its limits"
    );
    assert_eq!(status["resources"]["limits"]["memory"], "96Mi");
    assert_eq!(status["allocatedResources"]["cpu"], "100m");
    Ok(())
}

#[test]
fn together_they_cannot_have_more_than_the_pod() -> Result {
    let host = Host::started("")?;
    // Neither is beyond its own limit, which is that of the pod.
    let eater = |name: &str| sh(name, "exec tail /dev/zero");
    let limits = json!({"limits": {"memory": "48Mi"}});
    let mut pod = whole("pod", limits, [eater("one"), sh("two", IDLE)]);
    pod["spec"]["restartPolicy"] = json!("Never");
    host.apply_object(&pod)?;
    let status = host.container("pod", "killed", |status| status["state"]["terminated"].is_object())?;
    assert_eq!(status["state"]["terminated"]["reason"], "OOMKilled", "{status}");
    Ok(())
}

#[test]
fn the_place_before_the_oom_killer_is_kubelets() -> Result {
    let host = Host::started("")?;
    host.apply_object(&pods::idle("nothing"))?;
    host.apply_object(&asking("some", json!({"requests": {"memory": "1Mi"}})))?;
    for (pod, class, score) in [("nothing", "BestEffort", "1000"), ("some", "Burstable", "999")] {
        let pid = host.running(pod)?;
        assert_eq!(host.pod(pod)?["status"]["qosClass"], class);
        assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?.trim(), score, "{pod}");
    }
    // Without CAP_SYS_RESOURCE a score cannot be lowered, which is said; the class is shown all the same.
    host.apply_object(&asking("all", json!({"limits": {"memory": "64Mi", "cpu": "100m"}})))?;
    let pid = host.running("all")?;
    assert_eq!(host.pod("all")?["status"]["qosClass"], "Guaranteed");
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?;
    let told = || host.barepod(&["events"]).map(|events| events.contains("oom_score_adj -997"));
    assert!(score.trim() == "-997" || told()?, "{score}");
    Ok(())
}

#[test]
fn processes_of_a_pod_are_limited_by_configuration() -> Result {
    let host = Host::started("resources: {podPidsLimit: 40}\n")?;
    host.apply_object(&pods::shell(
        "forks",
        &format!("for i in $(seq 60); do sleep 1000 & done; echo no more; {IDLE}"),
    ))?;
    host.running("forks")?;
    assert_eq!(file(&host, "forks", "", "pids", ["pids.max", "pids.max"]).as_deref(), Some("40"));
    host.until("a fork to be refused", SOON, |host| {
        let log = host.barepod(&["logs", "forks"]).ok()?.to_lowercase();
        (log.contains("cannot fork") || log.contains("resource temporarily unavailable")).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_pod_for_which_there_is_no_room_waits_and_is_shown_with_the_reason() -> Result {
    let cpus = std::thread::available_parallelism()?.get() as u64 * 1000;
    let mut host = Host::started("resources: {systemReserved: {cpu: 250m}}\n")?;
    let request = |cpu: u64| json!({"requests": {"cpu": format!("{cpu}m")}});
    host.apply_object(&asking("large", request(cpus - 500)))?;
    let large = host.running("large")?;
    host.apply_object(&asking("other", request(500)))?;
    let other = host.reason("other", "OutOfcpu")?;
    let (used, capacity) = (cpus - 500, cpus - 250);
    let message = format!("Node didn't have enough resource: cpu, requested: 500, used: {used}, capacity: {capacity}");
    assert_eq!((&other["status"]["message"], &other["status"]["phase"]), (&json!(message), &json!("Pending")));

    // A host that has become smaller takes nothing from what runs.
    host.stop_daemon()?;
    let config = host.path("etc/barepod/barepod.yaml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("250m", &format!("{}m", cpus - 500)))?;
    host.start()?;
    host.reason("other", "OutOfcpu")?;
    assert_eq!(host.running("large")?, large);

    host.barepod(&["delete", "large"])?;
    host.running("other")?;
    Ok(())
}

#[test]
fn a_change_without_room_waits_and_one_with_room_is_made_in_place() -> Result {
    let cpus = std::thread::available_parallelism()?.get() as u64 * 1000;
    let host = Host::started("")?;
    let limits = |cpu: u64| json!({"requests": {"cpu": format!("{cpu}m")}, "limits": {"cpu": "10"}});
    host.apply_object(&asking("db", limits(500)))?;
    host.apply_object(&asking("other", limits(cpus - 1000)))?;
    let pid = host.running("db")?;
    host.running("other")?;

    host.apply_object(&asking("db", limits(1000)))?;
    let pod = host.pod("db")?;
    let pending = condition(&pod, "PodResizePending");
    assert_eq!(pending, None, "there is room for that: {pod}");
    let status = host.container("db", "given more", |status| status["resources"]["requests"]["cpu"] == "1")?;
    assert_eq!(status["allocatedResources"]["cpu"], "1");

    host.apply_object(&asking("db", limits(1500)))?;
    let pending = condition(&host.pod("db")?, "PodResizePending").ok_or("no condition")?;
    assert_eq!(pending["reason"], "Deferred", "{pending}");
    assert_eq!(host.pod("db")?["status"]["containerStatuses"][0]["allocatedResources"]["cpu"], "1");
    host.apply_object(&asking("db", limits(cpus + 1)))?;
    let pending = condition(&host.pod("db")?, "PodResizePending").ok_or("no condition")?;
    assert_eq!(pending["reason"], "Infeasible", "{pending}");

    host.apply_object(&asking("db", limits(1500)))?;
    host.barepod(&["delete", "other"])?;
    host.container("db", "given even more", |status| status["resources"]["requests"]["cpu"] == "1500m")?;
    assert_eq!(host.pid("db"), Some(pid), "all of it in place");

    let refused = host.apply_object(&asking("db", json!({}))).expect_err("another class").to_string();
    assert!(refused.contains("Pod QOS Class may not change as a result of resizing"), "{refused}");
    Ok(())
}

#[test]
fn a_memory_limit_below_what_is_used_is_refused_and_tried_again() -> Result {
    let host = Host::started("")?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    // Holds 40 MiB until the file is there, and none after it.
    let script = "head -c 40m /dev/zero | { data=$(tr '\\0' x); echo held; \
                  until [ -e /dir/enough ]; do sleep 0.1; done; unset data; exec sh -c \"$IDLE\"; }";
    let limited = |memory: &str| {
        let mut container = sh("main", script);
        container["env"] = json!([{"name": "IDLE", "value": IDLE}]);
        container["resources"] = json!({"limits": {"memory": memory}});
        pods::with_directory(pods::pod("db", [container]), &directory, "/dir")
    };
    host.apply_object(&limited("256Mi"))?;
    host.until("the memory to be held", SOON, |host| {
        host.barepod(&["logs", "db"]).ok()?.contains("held").then_some(())
    })?;
    let pid = host.running("db")?;
    host.apply_object(&limited("16Mi"))?;
    let said = host.until("the change to be refused", SOON, |host| {
        let condition = condition(&host.pod("db").ok()?, "PodResizeInProgress")?;
        (condition["reason"] == "Error").then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    })?;
    assert!(said.contains("below current usage"), "{said}");
    assert_eq!(memory(&host, "db", "main"), Some(256 << 20), "the old limit holds");

    std::fs::write(directory.join("enough"), "")?;

    host.until("the lower limit", SOON * 2, |host| (memory(host, "db", "main")? == 16 << 20).then_some(()))?;
    assert_eq!(host.pid("db"), Some(pid), "nothing was killed for it");
    host.until("the condition to be gone", SOON, |host| {
        condition(&host.pod("db").ok()?, "PodResizeInProgress").is_none().then_some(())
    })?;
    Ok(())
}

#[test]
fn a_container_whose_policy_says_so_is_restarted_with_its_new_limits() -> Result {
    let host = Host::started("")?;
    let limited = |memory: &str, cpu: &str| {
        let mut pod = asking("db", json!({"limits": {"memory": memory, "cpu": cpu}}));
        let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        pod["spec"]["containers"][0]["resizePolicy"] = policy;
        pod
    };
    host.apply_object(&limited("64Mi", "100m"))?;
    let pid = host.running("db")?;
    host.apply_object(&limited("64Mi", "200m"))?;
    host.until("the larger quota", SOON, |host| (quota(host, "db", "main")? == 20_000).then_some(()))?;
    assert_eq!(host.pid("db"), Some(pid));
    host.apply_object(&limited("96Mi", "200m"))?;
    host.container("db", "restarted", |status| status["restartCount"] == 1 && status["ready"] == true)?;
    assert_eq!(memory(&host, "db", "main"), Some(96 << 20));
    Ok(())
}

// ---- disk space ----

/// A pod whose container writes 12 MiB to a place, and lives on.
fn writer(place: &str) -> Value {
    let mut pod = pods::shell("writer", &format!("head -c 12m /dev/urandom > {place}; echo written; {IDLE}"));
    pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    pod
}

fn evicted(host: &Host, name: &str) -> Result<Value> {
    Ok(host.until(format!("{name} to be evicted"), MEASURED, |host| {
        host.pod(name).ok().filter(|pod| pod["status"]["reason"] == "Evicted" && pod["status"]["phase"] == "Failed")
    })?)
}

#[test]
fn an_empty_dir_beyond_its_size_limit_evicts_its_pod_until_that_is_changed() -> Result {
    let mut host = Host::started("")?;
    let mut pod = writer("/scratch/file");
    pod["spec"]["volumes"][0]["emptyDir"] = json!({"sizeLimit": "8Mi"});
    host.apply_object(&pod)?;
    let shown = evicted(&host, "writer")?;
    assert_eq!(shown["status"]["message"], "Usage of EmptyDir volume \"scratch\" exceeds the limit \"8Mi\".");
    assert!(host.barepod(&["events"])?.contains("Evicted"));
    let uid = shown["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let volume: PathBuf = host.path(&format!("var/lib/barepod/pods/{uid}/volumes/scratch"));
    host.until("its space to be given back", SOON, |_| (!volume.exists()).then_some(()))?;
    host.stop_daemon()?;
    host.start()?;
    let after = evicted(&host, "writer")?;
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0, "it is not begun again");

    pod["spec"]["volumes"][0]["emptyDir"] = json!({"sizeLimit": "64Mi"});
    host.apply_object(&pod)?;
    host.running("writer")?;
    host.barepod(&["delete", "writer"])?;
    host.gone("writer")?;
    Ok(())
}

#[test]
fn what_a_container_writes_and_logs_is_held_to_its_limit_and_claims_are_not_counted() -> Result {
    let host = Host::started("containerLogMaxSize: 1Mi\n")?;
    let mut pod = writer("/claim/file");
    pod["spec"]["volumes"] = json!([{"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "claim", "mountPath": "/claim"}]);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"ephemeral-storage": "4Mi"}});
    host.apply_object(&pod)?;
    host.until("the claim to be written", SOON, |host| {
        host.barepod(&["logs", "writer"]).ok()?.contains("written").then_some(())
    })?;
    let claimed = host.pod("writer")?;

    let mut loud = pods::shell("loud", &format!("yes 'a line of log' | head -c 9m; {IDLE}"));
    loud["spec"]["containers"][0]["resources"] = json!({"limits": {"ephemeral-storage": "2Mi"}});
    host.apply_object(&loud)?;
    let shown = evicted(&host, "loud")?;
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.";
    assert_eq!(shown["status"]["message"], message);
    // Both were measured by then.
    let after = host.pod("writer")?;
    assert_eq!(after["status"]["phase"], "Running", "{after}");
    assert_eq!(after["metadata"]["uid"], claimed["metadata"]["uid"]);
    Ok(())
}

// ---- CPUs and disks ----

/// The CPUs that a process may run on, as the kernel writes them.
fn cpus_of(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(|list| list.trim().to_owned())
}

#[test]
fn whole_cpus_of_a_guaranteed_pod_are_its_own_through_a_restart_of_the_daemon() -> Result {
    let cpus = std::thread::available_parallelism()?.get();
    if cpus < 2 {
        barepod_tests::skip!("one CPU cannot be shared out");
    }
    let mut host = Host::started("resources: {cpuManagerPolicy: static, reservedSystemCPUs: '0'}\n")?;
    host.apply_object(&pods::idle("other"))?;
    let other = host.running("other")?;
    let all = format!("0-{}", cpus - 1);
    assert_eq!(cpus_of(other), Some(all.clone()));
    host.apply_object(&asking("own", json!({"limits": {"cpu": "1", "memory": "32Mi"}})))?;
    let own = host.running("own")?;
    let alone = cpus_of(own).ok_or("no list")?;
    assert!(alone.parse::<u32>()? > 0, "one that is not reserved: {alone}");
    let shares_none = |pid| cpus_of(pid).is_some_and(|list| list != all && list != alone);
    host.until("the other to make room", SOON, |_| shares_none(other).then_some(()))?;

    host.kill_daemon()?;
    host.start()?;

    host.apply_object(&pods::idle("late"))?;
    let late = host.running("late")?;
    assert!(shares_none(late) && shares_none(other), "{:?} {:?}", cpus_of(late), cpus_of(other));
    assert_eq!((host.pid("own"), cpus_of(own)), (Some(own), Some(alone)));
    host.barepod(&["delete", "own"])?;
    host.until("the CPU to be given back", SOON, |_| (cpus_of(other) == Some(all.clone())).then_some(()))?;
    Ok(())
}

#[test]
fn a_disk_is_limited_where_the_host_can_and_said_not_to_be_where_it_cannot() -> Result {
    let host = Host::started("")?;
    let mut pod = pods::idle("disk");
    let max = format!("{} wbps=10485760", host.path("").display());
    pod["metadata"]["annotations"] = json!({"barepod.dev/io-max": max, "barepod.dev/io-weight": "250"});
    host.apply_object(&pod)?;
    let pid = host.running("disk")?;
    let uid = host.pod("disk")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (v2, v1) = (host.group_of_pod(&host.unified(), &uid).join("io.max"), "blkio.throttle.write_bps_device");
    let blkio = std::path::Path::new("/sys/fs/cgroup/blkio").join(host.cgroup());
    let v1 = host.group_of_pod(&blkio, &uid).join(v1);
    let limits = std::fs::read_to_string(&v2).or_else(|_| std::fs::read_to_string(&v1))?;
    assert!(limits.contains("10485760"), "{limits}");
    let weight = std::fs::read_to_string(v2.with_file_name("io.weight"));
    match weight {
        Ok(weight) => assert_eq!(weight.trim(), "default 250"),
        Err(_) => {
            let weight = std::fs::read_to_string(v1.with_file_name("blkio.bfq.weight"));
            let told = host.barepod(&["events"])?.contains("io weight is not enforced");
            assert!(told || weight.is_ok_and(|weight| weight.trim() == "250"));
        }
    }
    if v1.exists() {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        assert!(groups.lines().any(|line| line.contains("blkio") && line.contains(&uid)), "{groups}");
    }
    Ok(())
}

#[test]
fn huge_pages_that_the_host_does_not_have_are_waited_for() -> Result {
    let host = Host::started("")?;
    host.apply_object(&asking("huge", json!({"limits": {"memory": "32Mi", "hugepages-1Gi": "512Gi"}})))?;
    let pod = host.reason("huge", "OutOfhugepages-1Gi")?;
    assert_eq!(pod["status"]["phase"], "Pending", "{pod}");
    Ok(())
}
