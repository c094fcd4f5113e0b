//! What the containers of a pod share, and what they do not: IPC, `/dev/shm`, the host name, and, where it is asked for,
//! processes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods::{self, IDLE, sh};
use barepod_tests::wait_for;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// Two containers, `a` and `b`, of one user who may see what the other has open.
fn pair(name: &str, spec: Value) -> Value {
    let mut pod = pods::pod(name, [sh("a", IDLE), sh("b", IDLE)]);
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// The host pids of the main processes of `a` and `b`, while both run.
fn mains(host: &Host, pod: &str) -> Option<[u32; 2]> {
    host.pids(pod).try_into().ok()
}

fn running(host: &Host, pod: &str) -> Result<[u32; 2]> {
    host.ready(pod)?;
    Ok(host.until(format!("both containers of {pod}"), SOON, |host| mains(host, pod))?)
}

fn namespace(pid: u32, kind: &str) -> Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{pid}/ns/{kind}"))?.ino())
}

/// Another process of `a`, after the one of this pid was killed.
fn another(host: &Host, pod: &str, old: u32) -> Result<u32> {
    Ok(host.until("another process of a", SOON, |host| mains(host, pod).map(|[a, _]| a).filter(|a| *a != old))?)
}

/// The first process of a pod's PID namespace.
fn first_process(host: &Host, pod: &str) -> Result<u32> {
    let uid = host.pod(pod)?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let record = std::fs::read_to_string(host.path(&format!("run/barepod/pods/{uid}/pause")))?;
    Ok(record.split(' ').next().unwrap_or_default().parse()?)
}

// ---- always ----

#[test]
fn containers_of_a_pod_share_ipc_shared_memory_and_host_name_and_a_restart_keeps_them() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"hostname": "both"})))?;
    host.apply_object(&pair("other", json!({})))?;
    let [a, b] = running(&host, "pod")?;
    let [other, _] = running(&host, "other")?;
    for kind in ["ipc", "uts"] {
        assert_eq!(namespace(a, kind)?, namespace(b, kind)?, "{kind}");
        assert_ne!(namespace(a, kind)?, namespace(other, kind)?, "{kind}");
        assert_ne!(namespace(a, kind)?, namespace(std::process::id(), kind)?, "{kind}");
    }
    assert_ne!(namespace(a, "pid")?, namespace(b, "pid")?, "processes are shared only where that is asked for");
    assert_eq!(host.asked("pod", "b", "uname -n")?, "both");

    host.asked("pod", "a", "echo posix > /dev/shm/x && ipcmk -M 4096 && touch /dev/mqueue/q")?;
    let seen = "cat /dev/shm/x; ipcs -m | grep -c 4096; ls /dev/mqueue";
    assert_eq!(host.asked("pod", "b", seen)?, "posix\n1\nq");
    assert_eq!(
        host.asked("other", "a", "ls /dev/shm /dev/mqueue; ipcs -m | grep -c 4096 || true")?,
        "/dev/mqueue:\n\n/dev/shm:\n0"
    );
    assert!(!Path::new("/dev/shm/x").exists(), "nor the host's");

    signal(a, "KILL")?;
    let again = another(&host, "pod", a)?;
    host.ready("pod")?;
    assert_eq!(host.asked("pod", "a", seen)?, "posix\n1\nq", "a restart keeps them, as in Kubernetes");
    assert_eq!(namespace(again, "ipc")?, namespace(b, "ipc")?);
    Ok(())
}

#[test]
fn shared_memory_has_the_size_that_container_runtimes_give_and_goes_with_the_pod() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({})))?;
    running(&host, "pod")?;
    assert_eq!(host.asked("pod", "a", "df -m /dev/shm | awk 'END {print $2}'")?, "64");
    let uid = host.pod("pod")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let kept = host.path(&format!("run/barepod/pods/{uid}"));
    assert!(kept.join("ipc").exists());
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    assert!(!kept.exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    assert!(!mounts.contains(&uid), "no mount is left");
    Ok(())
}

#[test]
fn with_host_ipc_the_host_s_shared_memory_is_the_pod_s() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"hostIPC": true})))?;
    let [a, _] = running(&host, "pod")?;
    assert_eq!(namespace(a, "ipc")?, namespace(std::process::id(), "ipc")?);
    let file = format!("barepod-host-ipc-{}", std::process::id());
    host.asked("pod", "a", &format!("echo x > /dev/shm/{file}"))?;
    let on_host = Path::new("/dev/shm").join(file);
    assert!(on_host.exists());
    Ok(std::fs::remove_file(on_host)?)
}

// ---- shareProcessNamespace ----

#[test]
fn containers_that_share_processes_see_and_signal_each_other_and_a_first_process_takes_orphans() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"shareProcessNamespace": true})))?;
    let [a, b] = running(&host, "pod")?;
    assert_eq!(namespace(a, "pid")?, namespace(b, "pid")?);
    assert_eq!(host.asked("pod", "a", "cat /proc/1/comm")?, "barepod-pause");
    let of_b = host.asked("pod", "b", "echo mine > /tmp/of-b; ps -o pid= -C sh | head -1; true")?;
    assert!(!of_b.is_empty());
    let inside = std::fs::read_to_string(format!("/proc/{b}/status"))?;
    let inside = inside.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let inside = inside.split_whitespace().last().unwrap_or_default().to_owned();
    assert_eq!(host.asked("pod", "a", &format!("cd /proc/{inside}/root && cat tmp/of-b"))?, "mine", "as in Kubernetes");
    let left = host.asked("pod", "a", "ls -A /proc/1/root 2>/dev/null | wc -l")?;
    assert_eq!(left, "0", "the first process shows nothing of the host");

    host.asked("pod", "a", "sh -c '(sleep 0.2; exit 0) & (sleep 0.1 & exit 0)'; kill -9 1; true")?;
    let first = first_process(&host, "pod")?;
    assert!(alive(first), "nobody inside can end it");
    wait_for("orphans to be taken", SOON, || {
        let zombies = host.asked("pod", "a", "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l").ok()?;
        (zombies == "0").then_some(())
    })?;

    host.asked("pod", "a", &format!("kill -KILL {inside}"))?;
    host.until("b to be started again", SOON, |host| mains(host, "pod").filter(|[_, now]| *now != b))?;
    assert_eq!(mains(&host, "pod").map(|[now, _]| now), Some(a), "a runs on");
    assert_eq!(first_process(&host, "pod")?, first);
    Ok(())
}

#[test]
fn without_it_another_container_s_processes_are_out_of_sight() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"shareProcessNamespace": false})))?;
    running(&host, "pod")?;
    let seen = host.asked("pod", "a", "cat /proc/[0-9]*/comm | sort | uniq | tr '\\n' ' '; cat /proc/1/comm")?;
    assert!(!seen.contains("barepod-pause") && seen.ends_with("sh"), "{seen}");
    let uid = host.pod("pod")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    assert!(!host.path(&format!("run/barepod/pods/{uid}/pause")).exists(), "no process more than there must be");
    Ok(())
}

#[test]
fn a_daemon_and_shims_that_are_killed_leave_shared_processes_as_they_are() -> Result {
    let mut host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"shareProcessNamespace": true})))?;
    let before = running(&host, "pod")?;
    let first = first_process(&host, "pod")?;
    let shims = host.shims("pod")?;
    assert_eq!(shims.len(), 2);
    host.kill_daemon()?;
    shims.iter().try_for_each(|shim| signal(*shim, "KILL"))?;
    host.start()?;
    host.until("other shims", SOON, |host| {
        let now = host.shims("pod").ok()?;
        (now.len() == 2 && now.iter().all(|shim| !shims.contains(shim))).then_some(())
    })?;
    let seen = host.until("both containers to be seen again", SOON, |host| mains(host, "pod"))?;
    assert_eq!(seen, before);
    assert_eq!(first_process(&host, "pod")?, first);

    signal(before[0], "KILL")?;
    let again = another(&host, "pod", before[0])?;
    assert_eq!(namespace(again, "pid")?, namespace(before[1], "pid")?, "a successor comes into the same namespace");
    Ok(())
}

#[test]
fn the_end_of_the_first_process_is_that_of_all_and_they_come_back_in_a_namespace_of_their_own_again() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply_object(&pair("pod", json!({"shareProcessNamespace": true})))?;
    let before = running(&host, "pod")?;
    let first = first_process(&host, "pod")?;
    signal(first, "KILL")?;
    let now = host.until("both to run again", SOON, |host| {
        mains(host, "pod").filter(|now| now.iter().all(|pid| !before.contains(pid)))
    })?;
    host.ready("pod")?;
    assert_eq!(namespace(now[0], "pid")?, namespace(now[1], "pid")?);
    assert_ne!(first_process(&host, "pod")?, first);
    Ok(())
}
