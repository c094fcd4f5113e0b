//! `securityContext` on real processes: what the kernel itself says of them, and what it refuses them.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use barepod_tests::host::{Host, HostError};
use barepod_tests::{pods, programs, skip};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs a line of shell in a pod's first container; what it prints.
fn asked(host: &Host, pod: &str, script: &str) -> std::result::Result<String, HostError> {
    let said = host.barepod(&["exec", pod, "--", "sh", "-c", script])?;
    Ok(said.trim_end().to_owned())
}

/// A running pod whose container has this security context; its main process' pid.
fn with_context(host: &Host, name: &str, context: Value) -> Result<u32> {
    let mut pod = pods::idle(name);
    pod["spec"]["containers"][0]["securityContext"] = context;
    host.apply_object(&pod)?;
    host.ready(name)?;
    Ok(host.running(name)?)
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// The same of a process that is brought into the container.
fn status_of_exec(host: &Host, name: &str, field: &str) -> Result<String> {
    Ok(asked(host, name, &format!("sed -n 's/^{field}:[[:space:]]*//p' /proc/self/status"))?)
}

/// Seccomp's mode 2: a filter.
const FILTERED: &str = "2";
const UNFILTERED: &str = "0";

/// A line of shell that prints `no` where a new user namespace is refused.
const NAMESPACE: &str = "unshare --user true 2>/dev/null && echo yes || echo no";

// ---- seccomp ----

#[test]
fn a_pod_that_says_nothing_has_barepods_filter_and_so_has_what_is_brought_into_it() -> Result {
    let host = Host::started("")?;
    let pid = with_context(&host, "pod", json!({}))?;
    assert_eq!(status(pid, "Seccomp")?, FILTERED);
    assert_eq!(status_of_exec(&host, "pod", "Seccomp")?, FILTERED);
    assert_eq!(status(pid, "NoNewPrivs")?, "1");
    assert_eq!(asked(&host, "pod", NAMESPACE)?, "no");
    Ok(())
}

#[test]
fn the_host_may_leave_pods_that_say_nothing_without_a_filter_as_kubelet_does() -> Result {
    let host = Host::started("seccompDefault: false\n")?;
    let pid = with_context(&host, "silent", json!({}))?;
    assert_eq!(status(pid, "Seccomp")?, UNFILTERED);
    let pid = with_context(&host, "asking", json!({"seccompProfile": {"type": "RuntimeDefault"}}))?;
    assert_eq!(status(pid, "Seccomp")?, FILTERED);
    assert_eq!(asked(&host, "asking", NAMESPACE)?, "no");
    Ok(())
}

#[test]
fn a_container_may_be_unconfined_and_its_own_word_counts_more_than_its_pods() -> Result {
    let host = Host::started("")?;
    let pid = with_context(&host, "pod", json!({"seccompProfile": {"type": "Unconfined"}}))?;
    assert_eq!(status(pid, "Seccomp")?, UNFILTERED);
    assert_eq!(status_of_exec(&host, "pod", "Seccomp")?, UNFILTERED);
    let mut pod = pods::pod("two", [pods::sh("one", pods::IDLE), pods::sh("other", pods::IDLE)]);
    pod["spec"]["securityContext"] = json!({"seccompProfile": {"type": "Unconfined"}});
    pod["spec"]["containers"][1]["securityContext"] = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    host.apply_object(&pod)?;
    host.ready("two")?;
    let mode = |container: &str| -> Result<String> {
        let script = "sed -n 's/^Seccomp:[[:space:]]*//p' /proc/1/status";
        Ok(host.barepod(&["exec", "two", "-c", container, "--", "sh", "-c", script])?.trim().to_owned())
    };
    assert_eq!((mode("one")?.as_str(), mode("other")?.as_str()), (UNFILTERED, FILTERED));
    Ok(())
}

#[test]
fn a_profile_of_the_hosts_is_enforced_and_a_broken_one_is_told_with_its_place() -> Result {
    let host = Host::started("")?;
    let profiles = host.path("etc/barepod/seccomp/team");
    std::fs::create_dir_all(&profiles)?;
    let profile = |errno: u32| {
        format!(
            "{{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscalls\": [{{\"names\": [\"mkdir\", \"mkdirat\"], \
             \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": {errno}}}]}}"
        )
    };
    std::fs::write(profiles.join("no-mkdir.json"), profile(28))?;
    let named = |name: &str| json!({"seccompProfile": {"type": "Localhost", "localhostProfile": name}});
    let pid = with_context(&host, "pod", named("team/no-mkdir.json"))?;
    assert_eq!(status(pid, "Seccomp")?, FILTERED);
    let said = asked(&host, "pod", "mkdir /tmp/x 2>&1 || true")?;
    assert!(said.contains("No space left"), "the error that the profile gives: {said}");

    std::fs::write(profiles.join("broken.json"), "{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscall\": []}")?;
    for (name, profile, expected) in
        [("broken", "team/broken.json", "broken.json"), ("missing", "team/none.json", "none.json cannot be read")]
    {
        let mut pod = pods::idle(name);
        pod["spec"]["containers"][0]["securityContext"] = named(profile);
        host.apply_object(&pod)?;
        let waiting = host.container(name, "waiting", |status| {
            status["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        })?;
        let message = waiting["state"]["waiting"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "{message}");
    }
    // What was missing is found at the next try.
    std::fs::write(profiles.join("none.json"), profile(1))?;
    host.ready("missing")?;
    Ok(())
}

#[test]
fn a_filter_and_no_new_privileges_do_not_need_each_other() -> Result {
    let host = Host::started("")?;
    let pid = with_context(&host, "pod", json!({"allowPrivilegeEscalation": true}))?;
    assert_eq!((status(pid, "Seccomp")?.as_str(), status(pid, "NoNewPrivs")?.as_str()), (FILTERED, "0"));
    assert_eq!(status_of_exec(&host, "pod", "Seccomp")?, FILTERED);
    let context = json!({"allowPrivilegeEscalation": false, "seccompProfile": {"type": "Unconfined"}});
    let pid = with_context(&host, "other", context)?;
    assert_eq!((status(pid, "Seccomp")?.as_str(), status(pid, "NoNewPrivs")?.as_str()), (UNFILTERED, "1"));
    Ok(())
}

// ---- capabilities ----

/// The capabilities of this machine that barepod could give away.
fn of_host() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap_or_default();
    Ok(u64::from_str_radix(line.trim(), 16)?)
}

#[test]
fn capabilities_are_added_and_dropped_in_the_order_that_container_runtimes_have() -> Result {
    let host = Host::started("")?;
    let (chown, kill, net_bind) = (1_u64, 1 << 5, 1 << 10);
    for (name, capabilities, expected) in [
        ("none", json!({}), 0),
        ("some", json!({"add": ["CHOWN", "kill"]}), chown | kill),
        ("both", json!({"add": ["CHOWN", "KILL"], "drop": ["CHOWN"]}), kill),
        ("all-dropped", json!({"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}), net_bind),
        ("all-but", json!({"add": ["ALL"], "drop": ["CHOWN"]}), of_host()? & !chown),
    ] {
        let pid = with_context(&host, name, json!({"runAsUser": 0, "capabilities": capabilities}))?;
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&status(pid, set)?, 16)?, expected, "{set} of {name}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status(pid, set)?, "0".repeat(16), "{set} of {name}");
        }
        assert_eq!(u64::from_str_radix(&status_of_exec(&host, name, "CapEff")?, 16)?, expected, "an exec in {name}");
    }
    Ok(())
}

#[test]
fn who_is_not_root_has_the_capabilities_that_are_added_by_name_and_no_others() -> Result {
    let host = Host::started("")?;
    let net_bind = format!("{:016x}", 1 << 10);
    let pid = with_context(&host, "named", json!({"runAsUser": 1234, "capabilities": {"add": ["NET_BIND_SERVICE"]}}))?;
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(status(pid, set)?, net_bind, "{set}");
    }
    assert_eq!(status_of_exec(&host, "named", "CapEff")?, net_bind);
    let listens = "exit !IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 99, Listen => 1)";
    assert_eq!(asked(&host, "named", &format!("perl -MIO::Socket::INET -e \"{listens}\"; echo $?"))?, "0");
    for (name, context) in
        [("nobody-asked", json!({"runAsUser": 1234})), ("privileged", json!({"runAsUser": 1234, "privileged": true}))]
    {
        let pid = with_context(&host, name, context)?;
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(status(pid, set)?, "0".repeat(16), "{set} of {name}");
        }
    }
    Ok(())
}

// ---- privileged, procMount ----

#[test]
fn a_privileged_container_has_devices_all_capabilities_and_the_kernels_settings_and_no_filter() -> Result {
    let host = Host::started("")?;
    let pid = with_context(&host, "pod", json!({"privileged": true, "runAsUser": 0}))?;
    assert_eq!(u64::from_str_radix(&status(pid, "CapEff")?, 16)?, of_host()?);
    assert_eq!((status(pid, "Seccomp")?.as_str(), status(pid, "NoNewPrivs")?.as_str()), (UNFILTERED, "0"));
    let own = std::fs::read_to_string("/proc/sys/vm/swappiness")?;
    assert_eq!(asked(&host, "pod", &format!("echo {} > /proc/sys/vm/swappiness && echo set", own.trim()))?, "set");
    assert_eq!(
        asked(&host, "pod", "test -w /sys/kernel/mm/transparent_hugepage/enabled && echo writable")?,
        "writable"
    );
    assert_eq!(asked(&host, "pod", "head -c 1 /dev/kmsg >/dev/null 2>&1; test -c /dev/kmsg && echo there")?, "there");
    let before = std::fs::read_dir("/dev")?.count();
    let inside: usize = asked(&host, "pod", "touch /dev/made-inside; ls /dev | wc -l")?.parse()?;
    assert!(inside > before.min(10), "the host's devices: {inside}");
    assert!(!Path::new("/dev/made-inside").exists(), "nothing appears on the host");
    assert_eq!(asked(&host, "pod", "ls /var/lib/barepod /run/barepod 2>/dev/null | grep -c . || true")?, "0");
    Ok(())
}

#[test]
fn proc_is_masked_unless_it_is_asked_for_as_it_is() -> Result {
    let host = Host::started("")?;
    with_context(&host, "masked", json!({"runAsUser": 0}))?;
    with_context(&host, "plain", json!({"runAsUser": 0, "procMount": "Unmasked"}))?;
    let masks = "grep -c ' /proc/[^ ]* ' /proc/self/mountinfo || true";
    assert_ne!(asked(&host, "masked", masks)?, "0");
    assert_eq!(asked(&host, "plain", masks)?, "0");
    let writable = "( : > /proc/sys/vm/swappiness ) 2>/dev/null && echo yes || echo no";
    assert_eq!(asked(&host, "masked", writable)?, "no");
    assert_eq!(asked(&host, "plain", writable)?, "yes");
    Ok(())
}

// ---- sysctls ----

#[test]
fn a_safe_sysctl_is_set_in_the_pods_own_namespace_at_every_start() -> Result {
    let host = Host::started("")?;
    let of_host = std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced")?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]});
    host.apply_object(&pod)?;
    host.ready("pod")?;
    assert_eq!(asked(&host, "pod", "cat /proc/sys/kernel/shm_rmid_forced")?, "1");
    let first = host.running("pod")?;
    // The next start finds a view that was made beforehand.
    host.until("the next view to be made", barepod_tests::host::SOON, |host| {
        let shim = *host.shims("pod").ok()?.first()?;
        let mounts = std::fs::read_dir(format!("/proc/{shim}/fd")).ok()?;
        mounts
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .any(|link| link.to_string_lossy().starts_with("mnt:"))
            .then_some(())
    })?;
    host.barepod(&["restart", "pod"])?;
    host.until("the next process", barepod_tests::host::SOON, |host| host.pid("pod").filter(|pid| *pid != first))?;
    assert_eq!(asked(&host, "pod", "cat /proc/sys/kernel/shm_rmid_forced")?, "1");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced")?, of_host, "the host's stays as it is");
    Ok(())
}

// ---- profiles of the kernel's modules ----

#[test]
fn an_app_armor_profile_is_in_force_where_the_host_has_app_armor_and_refused_where_it_has_not() -> Result {
    let host = Host::started("")?;
    let enabled =
        std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    let pid = with_context(&host, "free", json!({"appArmorProfile": {"type": "Unconfined"}}))?;
    if enabled {
        assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current"))?.trim(), "unconfined");
    }
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "no-such"}});
    let path = host.path("pod.json");
    std::fs::write(&path, pod.to_string())?;
    let output = host.run(&["apply", "-f", &path.display().to_string()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if enabled {
        assert!(output.status.success(), "{said}");
        let waiting =
            host.container("pod", "waiting", |status| status["state"]["waiting"]["reason"] == "CreateContainerError")?;
        let message = waiting["state"]["waiting"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("\"no-such\" is not loaded on this host"), "{message}");
    } else {
        assert!(!output.status.success() && said.contains("AppArmor is not enabled on this host"), "{said}");
    }
    Ok(())
}

#[test]
fn se_linux_options_are_taken_and_said_to_have_no_effect_where_the_host_has_no_policy() -> Result {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        skip!("this host has an SELinux policy, and no label that a test could count on");
    }
    let host = Host::started("")?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"seLinuxOptions": {"level": "s0:c1,c2"}});
    let path = host.path("pod.json");
    std::fs::write(&path, pod.to_string())?;
    let output = host.run(&["apply", "-f", &path.display().to_string()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("no SELinux policy"), "{said}");
    host.ready("pod")?;
    Ok(())
}

// ---- keys ----

#[test]
fn a_container_has_a_session_keyring_of_its_own() -> Result {
    let Ok(before) = std::fs::read_to_string("/proc/keys") else { skip!("this kernel has no keyrings") };
    let host = Host::started("")?;
    let program = barepod_tests::programs::musl("hostile")?;
    let mut pod = pods::with_directory(pods::idle("pod"), program.parent().ok_or("no directory")?, "/bin-of-test");
    pod["spec"]["containers"][0]["securityContext"] = json!({"seccompProfile": {"type": "Unconfined"}});
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let inside = asked(&host, "pod", "/bin-of-test/hostile session")?;
    let again = asked(&host, "pod", "/bin-of-test/hostile session")?;
    assert!(inside.len() == 8 && !before.contains(&inside), "{inside}: none that was there before\n{before}");
    assert_ne!(inside, again, "each process that is brought in has its own");
    Ok(())
}

// ---- Landlock ----

#[test]
fn a_presets_landlock_keeps_its_processes_to_what_the_view_shows_writable() -> Result {
    let host = Host::new("")?;
    let presets = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&presets)?;
    let preset = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: kept\nimages: [kept]\nuser: {name: nobody}\nlandlock: true\n";
    std::fs::write(presets.join("kept.yaml"), preset)?;
    let mut host = host;
    host.start()?;
    let mut pod = pods::shell("pod", &format!("echo said > /dev/stdout; {}", pods::IDLE));
    pod["spec"]["containers"][0]["image"] = json!("kept");
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let write = |path: &str| asked(&host, "pod", &format!("( : > {path} ) 2>&1 && echo written || true"));
    for path in ["/data/x", "/tmp/x", "/dev/shm/x", "/dev/null", "/dev/termination-log"] {
        assert_eq!(write(path)?, "written", "{path}");
    }
    asked(&host, "pod", "mkdir /data/a /data/b && : > /data/a/f && mv /data/a/f /data/b/f")?;
    // The most there is: to less than it has, which depends on its class, nobody without privileges may go.
    asked(&host, "pod", "echo 1000 > /proc/self/oom_score_adj")?;
    host.until("its output, opened by name", barepod_tests::host::SOON, |host| {
        host.barepod(&["logs", "pod"]).ok().filter(|log| log.contains("said"))
    })?;
    assert!(write("/etc/x")?.contains("Read-only"), "the view comes first");
    // That it is in force is seen by what goes with it: who is brought in is a stranger to the main process.
    let look = "cat /proc/1/environ > /dev/null 2>&1 && echo seen || echo hidden";
    host.apply_object(&pods::idle("control"))?;
    host.ready("control")?;
    assert_eq!(asked(&host, "control", look)?, "seen");
    match barepod_sys::landlock::abi() {
        Ok(abi) if abi >= 2 => assert_eq!(asked(&host, "pod", look)?, "hidden"),
        Ok(_) | Err(_) => host.said("Landlock could not be set")?,
    }
    Ok(())
}

#[test]
fn a_presets_landlock_closes_abstract_sockets_of_others() -> Result {
    if barepod_sys::landlock::abi().is_ok_and(|abi| abi < 6) || barepod_sys::landlock::abi().is_err() {
        skip!("this kernel's Landlock knows no abstract sockets: that takes Linux 6.12");
    }
    let mut host = Host::in_view("")?;
    let (presets, bin) = (host.path("etc/barepod/presets"), host.path("bin"));
    for directory in [&presets, &bin] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::copy(programs::musl("hostile")?, bin.join("hostile"))?;
    for (name, landlock) in [("kept", true), ("free", false)] {
        let text = format!(
            "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: {name}\nimages: [{name}]\nuser: {{name: nobody}}\nlandlock: {landlock}\n"
        );
        std::fs::write(presets.join(format!("{name}.yaml")), text)?;
    }
    host.start()?;
    // Somebody's on the host.
    let name = format!("barepod-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;

    for (image, outcome) in [("free", "out"), ("kept", "held")] {
        let script = format!("/bin-of-test/hostile one connect-to-an-abstract-socket; {}", pods::IDLE);
        let mut pod = pods::shell(image, &script);
        pod["spec"]["containers"][0]["image"] = json!(image);
        pod["spec"]["containers"][0]["env"] = json!([{"name": "HOSTILE_PLACES", "value": format!("abstract={name}")}]);
        pod["spec"]["volumes"] = json!([{"name": "bin", "hostPath": {"path": bin}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "bin", "mountPath": "/bin-of-test"}]);
        host.apply_object(&pod)?;
        let said = host.until(format!("{image} to have tried"), barepod_tests::host::SOON, |host| {
            host.barepod(&["logs", image]).ok().filter(|log| log.contains('\t'))
        })?;
        assert!(said.starts_with(&format!("{outcome}\t")), "{image}: {said}");
    }
    Ok(())
}
