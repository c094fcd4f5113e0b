//! What stands beside a container's main process: sidecars, hooks, last words, rules of restart, deadlines; and pods that
//! wait for pods.

use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// A directory that a pod's user may write.
fn shared(host: &Host) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
    Ok(directory)
}

/// All containers of a pod write to `/dir`.
fn with_directory(mut pod: Value, directory: &Path) -> Value {
    pod["spec"]["volumes"] = json!([{"name": "dir", "hostPath": {"path": directory, "type": "Directory"}}]);
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            container["volumeMounts"] = json!([{"name": "dir", "mountPath": "/dir"}]);
        }
    }
    pod
}

fn sidecar(name: &str, script: &str) -> Value {
    let mut container = sh(name, script);
    container["restartPolicy"] = json!("Always");
    container
}

fn words(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("order")).unwrap_or_default().replace('\n', " ").trim().to_owned()
}

/// Says when it starts and when it is asked to end.
fn chatty(name: &str) -> String {
    format!("echo {name} >> /dir/order; trap 'echo -{name} >> /dir/order; exit 0' TERM; sleep 1000000 & wait")
}

fn terminated<'a>(pod: &'a Value, container: usize, state: &str) -> &'a Value {
    &pod["status"]["containerStatuses"][container][state]["terminated"]
}

fn phase(host: &Host, name: &str, wanted: &str) -> Result<Value> {
    Ok(host.until(format!("{name} to be {wanted}"), SOON, |host| {
        host.pod(name).ok().filter(|pod| pod["status"]["phase"] == wanted)
    })?)
}

// ---- sidecars ----

#[test]
fn sidecars_start_among_the_init_containers_and_end_last_in_reverse_order() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut pod = pods::pod("pod", [sh("main", &chatty("main"))]);
    let init = sh("init", "echo init >> /dir/order");
    pod["spec"]["initContainers"] =
        json!([sidecar("proxy", &chatty("proxy")), init, sidecar("agent", &chatty("agent"))]);
    host.apply_object(&with_directory(pod, &directory))?;
    host.ready("pod")?;
    host.until("all to have spoken", SOON, |_| (words(&directory).split(' ').count() == 4).then_some(()))?;
    let begun = words(&directory);
    assert!(begun.starts_with("proxy init") && begun.ends_with("main") || begun.ends_with("agent"), "{begun}");
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    assert!(words(&directory).ends_with("-main -agent -proxy"), "{}", words(&directory));
    Ok(())
}

#[test]
fn the_main_container_waits_until_a_sidecars_startup_probe_succeeds() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut proxy = sidecar("proxy", IDLE);
    proxy["startupProbe"] =
        json!({"exec": {"command": ["test", "-e", "/dir/go"]}, "periodSeconds": 1, "failureThreshold": 1000});
    let mut pod = pods::shell("pod", IDLE);
    pod["spec"]["initContainers"] = json!([proxy]);
    host.apply_object(&with_directory(pod, &directory))?;
    host.until("a failed startup probe", SOON, |host| {
        host.barepod(&["events", "pod"]).ok()?.contains("Startup probe failed").then_some(())
    })?;
    let waiting = host.pod("pod")?["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].take();
    assert_eq!(waiting, "PodInitializing");
    std::fs::write(directory.join("go"), "")?;
    host.ready("pod")?;
    Ok(())
}

#[test]
fn a_finished_job_takes_its_sidecar_with_it() -> Result {
    let host = Host::started(CONFIG)?;
    let mut pod = pods::shell("job", "exit 0");
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["initContainers"] = json!([sidecar("proxy", IDLE)]);
    host.apply_object(&pod)?;
    phase(&host, "job", "Succeeded")?;
    Ok(())
}

// ---- hooks ----

#[test]
fn hooks_run_in_the_container_after_its_start_and_before_its_stop() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut pod = pods::shell("pod", "trap 'echo asked >> /dir/order; exit 0' TERM; sleep 1000000 & wait");
    let say = |word: &str| json!({"exec": {"command": ["sh", "-c", format!("echo {word}-$(hostname) >> /dir/order")]}});
    pod["spec"]["containers"][0]["lifecycle"] = json!({"postStart": say("begun"), "preStop": say("ending")});
    host.apply_object(&with_directory(pod, &directory))?;
    host.ready("pod")?;
    assert_eq!(words(&directory), "begun-pod", "it is ready when its hook is done");
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    assert_eq!(words(&directory), "begun-pod ending-pod asked");
    Ok(())
}

#[test]
fn a_container_whose_post_start_hook_fails_is_stopped_and_started_again() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut pod = pods::shell("pod", IDLE);
    let second_try = "[ -e /dir/tried ] && exit 0; touch /dir/tried; echo not yet; exit 7";
    pod["spec"]["containers"][0]["lifecycle"] = json!({"postStart": {"exec": {"command": ["sh", "-c", second_try]}}});
    host.apply_object(&with_directory(pod, &directory))?;
    let pod = host.ready("pod")?;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
    let events = host.barepod(&["events", "pod"])?;
    assert!(events.contains("FailedPostStartHook") && events.contains("exit code 7: not yet"), "{events}");
    Ok(())
}

#[test]
fn a_pre_stop_hook_that_hangs_is_bounded_by_the_grace() -> Result {
    let host = Host::started(CONFIG)?;
    let mut pod = pods::shell("pod", "trap 'echo asked; exit 0' TERM; sleep 1000000 & wait");
    pod["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1000}}});
    pod["spec"]["terminationGracePeriodSeconds"] = json!(4);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let uid = host.pod("pod")?["metadata"]["uid"].take();
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    let log = host.path(&format!("var/log/barepod/pods/default_pod_{}/main/0.log", uid.as_str().unwrap_or_default()));
    assert!(std::fs::read_to_string(log)?.contains("asked"), "the signal came before the kill");
    Ok(())
}

// ---- last words ----

#[test]
fn what_a_container_writes_to_its_termination_log_is_shown() -> Result {
    let host = Host::started(CONFIG)?;
    for (name, path) in [("usual", "/dev/termination-log"), ("own", "/tmp/last-words")] {
        let mut pod = pods::shell(name, &format!("printf 'disk on fire' > {path}; exit 3"));
        pod["spec"]["restartPolicy"] = json!("Never");
        pod["spec"]["containers"][0]["terminationMessagePath"] = json!(path);
        pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 65534});
        host.apply_object(&pod)?;
        let pod = phase(&host, name, "Failed")?;
        assert_eq!(terminated(&pod, 0, "state")["message"], "disk on fire", "{name}");
    }
    Ok(())
}

#[test]
fn the_end_of_the_log_stands_in_for_an_empty_termination_log_of_a_failed_container() -> Result {
    let host = Host::started(CONFIG)?;
    let script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; done; printf 'the end'; exit";
    for (code, policy, expected) in
        [(1, "FallbackToLogsOnError", true), (0, "FallbackToLogsOnError", false), (1, "File", false)]
    {
        let name = format!("{}-{code}", policy.to_lowercase());
        let mut pod = pods::shell(&name, &format!("{script} {code}"));
        pod["spec"]["restartPolicy"] = json!("Never");
        pod["spec"]["containers"][0]["terminationMessagePolicy"] = json!(policy);
        host.apply_object(&pod)?;
        let pod = phase(&host, &name, if code == 0 { "Succeeded" } else { "Failed" })?;
        let message = terminated(&pod, 0, "state")["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(message.ends_with("line 200\nthe end"), expected, "{name}: {message}");
        assert!(message.lines().count() <= 80 && message.len() <= 2048, "{name}: {message}");
    }
    Ok(())
}

#[test]
fn last_words_that_were_said_while_no_daemon_lived_are_not_lost() -> Result {
    let mut host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let script = "until [ -e /dir/go ]; do sleep 0.1; done; printf gone > /dev/termination-log; exit 3";
    let mut pod = pods::shell("pod", script);
    pod["spec"]["restartPolicy"] = json!("Never");
    host.apply_object(&with_directory(pod, &directory))?;
    let pid = host.running("pod")?;
    host.kill_daemon()?;
    std::fs::write(directory.join("go"), "")?;
    barepod_tests::wait_for("the process to end", SOON, || (!barepod_tests::host::alive(pid)).then_some(()))?;
    host.start()?;
    let pod = phase(&host, "pod", "Failed")?;
    assert_eq!(terminated(&pod, 0, "state")["message"], "gone");
    Ok(())
}

// ---- rules of restart ----

#[test]
fn a_rule_for_an_exit_code_goes_before_the_policy() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut pod = pods::shell("pod", "[ -e /dir/tried ] && exit 1; touch /dir/tried; exit 42");
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["containers"][0]["restartPolicy"] = json!("Never");
    pod["spec"]["containers"][0]["restartPolicyRules"] =
        json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    host.apply_object(&with_directory(pod, &directory))?;
    let pod = phase(&host, "pod", "Failed")?;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(terminated(&pod, 0, "lastState")["exitCode"], 42);
    Ok(())
}

#[test]
fn a_rule_may_replace_all_processes_of_the_pod() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let main =
        "[ -e /dir/tried ] && exec sleep 1000000; touch /dir/tried; until [ -e /dir/go ]; do sleep 0.1; done; exit 42";
    let mut pod = pods::pod("pod", [sh("main", main), sh("side", IDLE)]);
    pod["spec"]["initContainers"] = json!([sh("init", "echo init >> /dir/order")]);
    pod["spec"]["containers"][0]["restartPolicy"] = json!("Always");
    pod["spec"]["containers"][0]["restartPolicyRules"] =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    host.apply_object(&with_directory(pod, &directory))?;
    host.ready("pod")?;
    std::fs::write(directory.join("go"), "")?;
    host.until("both to have been replaced", SOON, |host| {
        let statuses = host.pod("pod").ok()?["status"]["containerStatuses"].take();
        (statuses[0]["restartCount"] == 1 && statuses[1]["restartCount"] == 1).then_some(())
    })?;
    host.ready("pod")?;
    assert_eq!(words(&directory), "init init");
    Ok(())
}

#[test]
fn a_pod_that_outlives_its_deadline_has_failed() -> Result {
    let host = Host::started(CONFIG)?;
    let mut pod = pods::idle("pod");
    pod["spec"]["activeDeadlineSeconds"] = json!(2);
    host.apply_object(&pod)?;
    let pod = phase(&host, "pod", "Failed")?;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    Ok(())
}

// ---- pods that wait for pods ----

#[test]
fn a_pod_waits_for_those_it_depends_on_and_ends_before_them() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = shared(&host)?;
    let mut web = with_directory(pods::pod("web", [sh("main", &chatty("web"))]), &directory);
    web["metadata"]["annotations"] = json!({"barepod.dev/depends-on": "db"});
    host.apply_object(&web)?;
    host.reason("web", "WaitingForDependency")?;
    host.apply_object(&with_directory(pods::pod("db", [sh("main", &chatty("db"))]), &directory))?;
    host.ready("web")?;
    host.until("both to have spoken", SOON, |_| (words(&directory) == "db web").then_some(()))?;
    host.barepod(&["delete", "web", "db"])?;
    host.gone("db")?;
    assert!(words(&directory).ends_with("-web -db"), "{}", words(&directory));
    Ok(())
}

// ---- ephemeral containers ----

/// Who looks into the processes of `main`: says what it is, repeats what is written to it, and leaves last words.
fn looker() -> Value {
    json!({
        "name": "look", "image": "host", "command": ["sh", "-c"], "workingDir": "/usr", "stdin": true, "stdinOnce": true,
        "args": ["echo at $(pwd) with $WORD; read -r line; echo got $line; echo bye > /last; exit 3"],
        "env": [{"name": "WORD", "value": "a word"}], "targetContainerName": "main",
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}], "securityContext": {"runAsUser": 1234},
        "terminationMessagePath": "/last", "terminationMessagePolicy": "File",
    })
}

fn with_looker(mut pod: Value, looker: Value) -> Value {
    pod["spec"]["ephemeralContainers"] = json!([looker]);
    pod
}

fn ephemeral(host: &Host, state: &str) -> Result<Value> {
    Ok(host.until(format!("the ephemeral container to be {state}"), SOON, |host| {
        let status = host.pod("pod").ok()?["status"]["ephemeralContainerStatuses"][0].take();
        status["state"][state].is_object().then_some(status)
    })?)
}

/// The host pid of the ephemeral container's main process, which others than root see only as inside.
fn pid_of_looker(host: &Host) -> Result<u32> {
    let uid = host.pod("pod")?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let attempts = std::fs::read_dir(host.group_of_pod(&host.unified(), &uid).join("look"))?.flatten();
    let processes = attempts.filter_map(|attempt| std::fs::read_to_string(attempt.path().join("cgroup.procs")).ok());
    Ok(processes.collect::<String>().lines().next().unwrap_or_default().parse()?)
}

fn pid_namespace(pid: u32) -> Result<PathBuf> {
    Ok(std::fs::read_link(format!("/proc/{pid}/ns/pid"))?)
}

#[test]
fn an_ephemeral_container_looks_into_a_pod_that_runs_and_is_reached_like_any_other() -> Result {
    let mut host = Host::started(CONFIG)?;
    let mut pod = pods::idle("pod");
    pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let main = host.running("pod")?;
    host.asked("pod", "main", "echo there > /shared/file")?;

    host.apply_object(&with_looker(pod, looker()))?;

    let running = ephemeral(&host, "running")?;
    assert_eq!((&running["ready"], &running["restartCount"]), (&json!(false), &json!(0)));
    let look = pid_of_looker(&host)?;
    assert_eq!(pid_namespace(look)?, pid_namespace(main)?);
    assert_eq!(host.asked("pod", "look", "cat /proc/1/comm /shared/file; id -u")?, "sh\nthere\n1234");
    host.until("its log", SOON, |host| {
        let said = host.barepod(&["logs", "pod", "-c", "look"]).ok()?;
        (said == "at /usr with a word\n").then_some(())
    })?;
    let mut attached = host.command(&["attach", "-i", "pod", "-c", "look"])?;
    let attached = attached.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut attached = attached.spawn()?;
    std::io::Write::write_all(&mut attached.stdin.take().ok_or("no stdin")?, b"hello\n")?;
    assert_eq!(String::from_utf8_lossy(&attached.wait_with_output()?.stdout), "got hello\n");
    let ended = ephemeral(&host, "terminated")?;
    let end = &ended["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["message"]), (&json!(3), &json!("bye\n")));

    host.kill_daemon()?;
    host.start()?;
    let shown = host.ready("pod")?;
    assert_eq!(shown["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(shown["status"]["phase"], "Running");
    assert_eq!(host.running("pod")?, main, "nobody else was touched");
    let table = host.barepod(&["get", "pods"])?;
    assert!(table.contains("1/1") && table.contains("Running"), "{table}");
    Ok(())
}

#[test]
fn an_ephemeral_container_is_there_to_see_what_keeps_the_others_waiting() -> Result {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 1, maxSeconds: 1}\n")?;
    let mut pod = pods::idle("pod");
    pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "none"}}]);
    let mut alone = sh("look", pods::IDLE);
    alone["imagePullPolicy"] = json!("Always");
    host.apply_object(&with_looker(pod.clone(), alone))?;
    ephemeral(&host, "running")?;
    assert_ne!(pid_namespace(pid_of_looker(&host)?)?, pid_namespace(std::process::id())?);
    assert_eq!(host.asked("pod", "look", "cat /proc/1/comm")?, "sh", "without a target it is alone");
    assert_eq!(host.pod("pod")?["status"]["phase"], "Pending");

    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    host.apply_object(&with_looker(pod, looker().as_object().map(without_mounts).ok_or("no object")?))?;
    let waiting = host.until("it to be told that its target does not run", SOON, |host| {
        let status = host.pod("pod").ok()?["status"]["ephemeralContainerStatuses"][0].take();
        let waiting = &status["state"]["waiting"];
        let says = waiting["message"].as_str()?.contains("container main, does not run");
        (waiting["reason"] == "CreateContainerConfigError" && says).then_some(status)
    })?;
    assert_eq!(waiting["restartCount"], 0);
    host.apply("secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: none}\n")?;
    ephemeral(&host, "running")?;
    assert_eq!(pid_namespace(pid_of_looker(&host)?)?, pid_namespace(host.running("pod")?)?);
    Ok(())
}

fn without_mounts(looker: &serde_json::Map<String, Value>) -> Value {
    let mut looker = looker.clone();
    looker.remove("volumeMounts");
    Value::Object(looker)
}

#[test]
fn an_ephemeral_container_is_never_changed_or_removed_and_ends_with_its_pod() -> Result {
    let host = Host::started(CONFIG)?;
    let gate = host.path("gate");
    std::fs::create_dir(&gate)?;
    let job = format!("until [ -e {} ]; do sleep 0.05; done", gate.join("open").display());
    let mut pod = pods::with_directory(pods::shell("pod", &job), &gate, &gate.display().to_string());
    pod["spec"]["restartPolicy"] = json!("Never");
    let looked_into = with_looker(pod.clone(), sh("look", pods::IDLE));
    host.apply_object(&pod)?;
    host.apply_object(&looked_into)?;
    ephemeral(&host, "running")?;
    let mut of_a_part = sh("part", IDLE);
    of_a_part["volumeMounts"] = json!([{"name": "dir", "mountPath": "/part", "subPath": "a", "subPathExpr": "b"}]);
    for (wanted, words) in [
        (pod.clone(), "may not be removed"),
        (with_looker(pod.clone(), sh("look", "exit 1")), "may not be changed"),
        (with_looker(pod, of_a_part), "mounts a volume as a whole"),
    ] {
        let path = host.path("wanted.json");
        std::fs::write(&path, wanted.to_string())?;
        let output = host.run(&["apply", "-f", &path.display().to_string()])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
    std::fs::write(gate.join("open"), "")?;
    let ended = phase(&host, "pod", "Succeeded")?;
    assert_eq!(ended["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    Ok(())
}
