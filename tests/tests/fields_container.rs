//! Each field of a container, in a regular one and in a sidecar: what the real process is, what it may, what it sees.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::listen::{Listener, Manner};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";
/// Not where hooks ask that name no host.
const ELSEWHERE: &str = "127.0.0.2";

/// Where a container stands in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Regular,
    Sidecar,
}

const PLACES: [Place; 2] = [Place::Regular, Place::Sidecar];

impl Place {
    fn list(self) -> &'static str {
        match self {
            Place::Regular => "containers",
            Place::Sidecar => "initContainers",
        }
    }

    fn statuses(self) -> &'static str {
        match self {
            Place::Regular => "containerStatuses",
            Place::Sidecar => "initContainerStatuses",
        }
    }

    /// A pod with this container, named after the place, beside an idle one.
    fn pod(self, container: &Value) -> Value {
        let mut container = container.clone();
        container["name"] = json!("tried");
        let name = format!("{self:?}").to_lowercase();
        match self {
            Place::Regular => pods::pod(&name, [container, sh("other", IDLE)]),
            Place::Sidecar => {
                container["restartPolicy"] = json!("Always");
                let mut pod = pods::idle(&name);
                pod["spec"]["initContainers"] = json!([container]);
                pod
            }
        }
    }

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Applies a pod with this container and waits until it is ready.
    fn run(self, host: &Host, container: &Value) -> Result<u32> {
        host.apply_object(&self.pod(container))?;
        host.ready(&self.name())?;
        self.pid(host)
    }

    /// The host pid of the container. It stands first in both lists.
    fn pid(self, host: &Host) -> Result<u32> {
        Ok(host.until("the container to run", SOON, |host| host.pids(&self.name()).first().copied())?)
    }

    fn status(self, host: &Host) -> Result<Value> {
        Ok(host.pod(&self.name())?["status"][self.statuses()][0].take())
    }
}

fn words(pid: u32, file: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

fn environment(pid: u32) -> Result<BTreeMap<String, String>> {
    let pair = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(words(pid, "environ")?.into_iter().filter_map(pair).collect())
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    Ok(line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "))
}

fn refused(host: &Host, pod: &Value) -> String {
    host.apply_object(pod).map_err(|error| error.to_string()).err().unwrap_or_default()
}

// ---- the process ----

#[test]
fn a_process_is_what_image_command_args_directory_and_variables_say() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let container = json!({"image": "host", "command": ["/bin/sleep"], "args": ["$(LONG)", "1"],
            "workingDir": "/usr/share", "env": [{"name": "LONG", "value": "1000000"}, {"name": "TWICE", "value": "$(LONG)$$"}]});
        let pid = place.run(&host, &container)?;
        assert_eq!(words(pid, "cmdline")?, ["/bin/sleep", "1000000", "1"]);
        assert_eq!(
            fs::read_link(format!("/proc/{pid}/cwd"))?.file_name().and_then(|name| name.to_str()),
            Some("share")
        );
        let environment = environment(pid)?;
        assert_eq!(environment.get("LONG").map(String::as_str), Some("1000000"));
        assert_eq!(environment.get("TWICE").map(String::as_str), Some("1000000$"));
        let status = place.status(&host)?;
        assert_eq!((&status["name"], &status["image"]), (&json!("tried"), &json!("host")), "{status}");
        let other = place.pod(&json!({"image": "no-such-image:1", "command": ["x"]}));
        assert!(refused(&host, &other).contains(&format!("spec.{}[0].image", place.list())));
    }
    Ok(())
}

#[test]
fn a_process_runs_as_whom_and_with_what_its_security_context_says() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let security = json!({"runAsUser": 1234, "runAsGroup": 4321, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "IPC_LOCK"]}});
        let pid =
            place.run(&host, &json!({"image": "host", "command": ["sh", "-c", IDLE], "securityContext": security}))?;
        assert_eq!(status(pid, "Uid")?, "1234 1234 1234 1234");
        assert_eq!(status(pid, "Gid")?, "4321 4321 4321 4321");
        assert_eq!(status(pid, "NoNewPrivs")?, "1");
        assert_eq!(status(pid, "CapBnd")?, format!("{:016x}", 1_u64 << 10 | 1 << 14));
        let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        let root = table.lines().find(|line| line.split(' ').nth(4) == Some("/")).ok_or("no root")?;
        assert!(
            root.split(' ').nth(5).is_some_and(|options| options.split(',').any(|option| option == "ro")),
            "{root}"
        );
        let as_root =
            json!({"image": "host", "command": ["true"], "securityContext": {"runAsUser": 0, "runAsNonRoot": true}});
        assert!(refused(&host, &place.pod(&as_root)).contains("runAsNonRoot"));
        let may = json!({"image": "host", "command": ["sh", "-c", IDLE], "securityContext": {"allowPrivilegeEscalation": true}});
        host.apply_object(&place.pod(&may))?;
        host.until("a process that may gain privileges", SOON, |host| {
            let now = place.pid(host).ok().filter(|now| *now != pid)?;
            (status(now, "NoNewPrivs").ok()? == "0").then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn requests_and_limits_are_those_of_its_group() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let resources =
            json!({"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"cpu": "250m", "memory": "32Mi"}});
        place.run(&host, &json!({"image": "host", "command": ["sh", "-c", IDLE], "resources": resources}))?;
        let uid = host.pod(&place.name())?["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let read = |controller: &str, names: &[&str]| -> Option<String> {
            let group = host.group_of_pod(&host.cgroup_of(controller), &uid).join("tried");
            names.iter().find_map(|name| fs::read_to_string(group.join(name)).ok()).map(|text| text.trim().to_owned())
        };
        assert_eq!(read("memory", &["memory.limit_in_bytes", "memory.max"]).as_deref(), Some("67108864"));
        let quota = read("cpu", &["cpu.cfs_quota_us", "cpu.max"]).unwrap_or_default();
        assert!(quota == "50000" || quota == "50000 100000", "{quota}");
        let shares = read("cpu", &["cpu.shares", "cpu.weight"]).unwrap_or_default();
        assert!(shares == "256" || shares.parse::<u32>().is_ok_and(|weight| weight < 100), "{shares}");
    }
    Ok(())
}

// ---- variables from elsewhere ----

fn objects(host: &Host) -> Result {
    for (kind, name, data) in [
        ("ConfigMap", "map", json!({"data": {"word": "of-map", "other": "not-asked"}})),
        ("Secret", "secret", json!({"stringData": {"word": "of-secret"}})),
    ] {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        for (key, value) in data.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        host.apply(name, &object.to_string())?;
    }
    Ok(())
}

#[test]
fn variables_come_from_where_they_say() -> Result {
    let host = Host::started(CONFIG)?;
    objects(&host)?;
    for place in PLACES {
        let key = |name: &str| json!({"name": name, "key": "word"});
        let gone = |name: &str| json!({"name": name, "key": "none", "optional": true});
        let from = |name: &str, from: Value| json!({"name": name, "valueFrom": from});
        let env = json!([
            from("MAP", json!({"configMapKeyRef": key("map")})),
            from("NO_MAP", json!({"configMapKeyRef": gone("no-map")})),
            from("SECRET", json!({"secretKeyRef": key("secret")})),
            from("NO_SECRET", json!({"secretKeyRef": gone("no-secret")})),
            from("FIELD", json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}})),
            from(
                "RESOURCE",
                json!({"resourceFieldRef": {"containerName": "tried", "resource": "limits.memory", "divisor": "1Mi"}})
            ),
        ]);
        let env_from = json!([{"prefix": "M_", "configMapRef": {"name": "map"}}, {"prefix": "S_", "secretRef": {"name": "secret"}},
            {"configMapRef": {"name": "no-map", "optional": true}}, {"secretRef": {"name": "no-secret", "optional": true}}]);
        let container = json!({"image": "host", "command": ["sh", "-c", IDLE], "env": env, "envFrom": env_from,
            "resources": {"limits": {"memory": "96Mi"}}});
        let pid = place.run(&host, &container)?;
        let environment = environment(pid)?;
        let name = place.name();
        let wanted = [
            ("MAP", "of-map"),
            ("SECRET", "of-secret"),
            ("FIELD", name.as_str()),
            ("RESOURCE", "96"),
            ("M_word", "of-map"),
            ("M_other", "not-asked"),
            ("S_word", "of-secret"),
        ];
        for (key, value) in wanted {
            assert_eq!(environment.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!environment.contains_key("NO_MAP") && !environment.contains_key("NO_SECRET"));
        let wrong = json!({"image": "host", "command": ["true"],
            "env": [from("X", json!({"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}))]});
        assert!(refused(&host, &place.pod(&wrong)).contains("apiVersion"));
    }
    Ok(())
}

#[test]
fn variables_come_from_files_of_volumes() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let from = |name: &str, path: &str, key: &str, optional: bool| {
            let file = json!({"volumeName": "made", "path": path, "key": key, "optional": optional});
            json!({"name": name, "valueFrom": {"fileKeyRef": file}})
        };
        let mut container = json!({"image": "host", "command": ["sh", "-c", IDLE]});
        container["env"] = json!([
            from("WORD", "deep/env", "WORD", false),
            from("NO_KEY", "deep/env", "NONE", true),
            from("NO_FILE", "none", "WORD", true)
        ]);
        let mut pod = place.pod(&container);
        pod["spec"]["volumes"] = json!([{"name": "made", "emptyDir": {}}]);
        // What an init container writes is there when the next one starts.
        let mut maker =
            sh("maker", "mkdir /made/deep && echo \"WORD='two words' # as a shell has it\" > /made/deep/env");
        maker["volumeMounts"] = json!([{"name": "made", "mountPath": "/made"}]);
        let mut inits = vec![maker];
        inits.extend(pod["spec"]["initContainers"].as_array().cloned().unwrap_or_default());
        pod["spec"]["initContainers"] = json!(inits);
        host.apply_object(&pod)?;
        host.ready(&place.name())?;
        let environment = environment(place.pid(&host)?)?;
        assert_eq!(environment.get("WORD").map(String::as_str), Some("two words"));
        assert!(!environment.contains_key("NO_KEY") && !environment.contains_key("NO_FILE"));
        let mut wanting =
            place.pod(&json!({"image": "host", "command": ["true"], "env": [from("WORD", "none", "WORD", false)]}));
        wanting["metadata"]["name"] = json!("wanting");
        wanting["spec"]["volumes"] = json!([{"name": "made", "emptyDir": {}}]);
        host.apply_object(&wanting)?;
        // Nobody waits here between two tries, so that none of its states lasts.
        host.until("the container to say what it lacks", SOON, |host| {
            host.barepod(&["events", "wanting"]).ok().filter(|events| events.contains("file none of volume \"made\""))
        })?;
        host.barepod(&["delete", "wanting"])?;
        host.gone("wanting")?;
    }
    Ok(())
}

// ---- volumes as it sees them ----

#[test]
fn a_volume_is_seen_where_and_as_far_as_its_mount_says() -> Result {
    use nix::mount::{MsFlags, mount};
    let host = Host::started(CONFIG)?;
    let tree = host.path("tree");
    fs::create_dir_all(tree.join("part"))?;
    fs::create_dir(tree.join("later"))?;
    mount(Some(&tree), &tree, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    mount(None::<&str>, &tree, None::<&str>, MsFlags::MS_SHARED, None::<&str>)?;
    fs::create_dir(tree.join("below"))?;
    mount(Some("tmpfs"), &tree.join("below"), Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    fs::write(tree.join("part/file"), "seen")?;
    let mounts = json!([
        {"name": "tree", "mountPath": "/plain"},
        {"name": "tree", "mountPath": "/closed", "readOnly": true, "recursiveReadOnly": "Enabled"},
        {"name": "tree", "mountPath": "/part", "subPath": "part"},
        {"name": "tree", "mountPath": "/named", "subPathExpr": "$(WHICH)"},
        {"name": "tree", "mountPath": "/slave", "mountPropagation": "HostToContainer"}]);
    let container = json!({"image": "host", "command": ["sh", "-c", IDLE], "volumeMounts": mounts,
        "env": [{"name": "WHICH", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['which']"}}}]});
    for place in PLACES {
        let mut pod = place.pod(&container);
        pod["metadata"]["labels"] = json!({"which": "part"});
        pod["spec"]["securityContext"] = json!({"runAsUser": 0});
        pod["spec"]["volumes"] = json!([{"name": "tree", "hostPath": {"path": tree}}]);
        host.apply_object(&pod)?;
        host.ready(&place.name())?;
        let asked = |script: &str| host.asked(&place.name(), "tried", script);
        assert_eq!(asked("cat /part/file /named/file; touch /plain/new && echo written")?, "seenseenwritten");
        let tries = "for at in /closed /closed/below; do touch $at/x 2>/dev/null && echo $at; done; true";
        assert_eq!(asked(tries)?, "", "nothing of it can be written");
        let later = tree.join("later");
        mount(Some("tmpfs"), &later, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        fs::write(later.join("arrived"), "")?;
        assert_eq!(asked("ls /slave/later /plain/later")?, "/plain/later:\n\n/slave/later:\narrived");
        nix::mount::umount(&later)?;
        let unknown = place.pod(&json!({"image": "host", "command": ["true"],
            "volumeMounts": [{"name": "none", "mountPath": "/x"}]}));
        assert!(refused(&host, &unknown).contains("UnknownVolume"));
    }
    Ok(())
}

#[test]
fn what_a_privileged_container_mounts_appears_on_the_host_where_its_mount_says_so() -> Result {
    use nix::mount::{MsFlags, mount, umount};
    let host = Host::started(CONFIG)?;
    let tree = host.path("tree");
    fs::create_dir_all(tree.join("below"))?;
    mount(Some(&tree), &tree, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    mount(None::<&str>, &tree, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
    let container = json!({"image": "host", "command": ["sh", "-c", IDLE], "securityContext": {"privileged": true},
        "volumeMounts": [{"name": "tree", "mountPath": "/tree", "mountPropagation": "Bidirectional"}]});
    for place in PLACES {
        let mut pod = place.pod(&container);
        pod["spec"]["securityContext"] = json!({"runAsUser": 0});
        pod["spec"]["volumes"] = json!([{"name": "tree", "hostPath": {"path": tree}}]);
        let mut unprivileged = pod.clone();
        unprivileged["spec"][place.list()][0]["securityContext"] = json!({});
        assert!(refused(&host, &unprivileged).contains("only a privileged container may mount on the host"));

        // What is private to this host's own namespace would let nothing out.
        mount(None::<&str>, &tree, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
        host.apply_object(&pod)?;
        host.until("it to say so", SOON, |host| {
            host.pod(&place.name()).ok()?.to_string().contains("not a shared mount").then_some(())
        })?;
        mount(None::<&str>, &tree, None::<&str>, MsFlags::MS_SHARED, None::<&str>)?;
        host.ready(&place.name())?;
        host.asked(&place.name(), "tried", "mount -t tmpfs t /tree/below && touch /tree/below/inner")?;
        assert!(tree.join("below/inner").exists(), "it is there on the host");
        host.barepod(&["delete", &place.name()])?;
        assert!(tree.join("below/inner").exists(), "and stays, as with kubelet");
        umount(&tree.join("below"))?;
    }
    Ok(())
}

// ---- ports ----

#[test]
fn ports_are_named_for_probes_and_belong_to_one_pod() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let listener = Listener::new("127.0.0.1", Manner::Answers(200))?;
        let port = listener.port();
        let ports =
            json!([{"name": "web", "containerPort": port, "hostPort": port, "hostIP": "127.0.0.1", "protocol": "TCP"}]);
        let container = json!({"image": "host", "command": ["sh", "-c", IDLE], "ports": ports,
            "readinessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 1}});
        place.run(&host, &container)?;
        assert!(!listener.seen().is_empty(), "the port's name is its number");
        let rival = |name: &str, address: &str, protocol: &str| {
            let mut pod = pods::idle(name);
            pod["spec"]["containers"][0]["ports"] =
                json!([{"containerPort": port, "hostPort": port, "hostIP": address, "protocol": protocol}]);
            pod
        };
        for (name, address, protocol) in [("elsewhere", "127.0.0.2", "TCP"), ("datagrams", "127.0.0.1", "UDP")] {
            host.apply_object(&rival(name, address, protocol))?;
            host.ready(name)?;
            host.barepod(&["delete", name])?;
            host.gone(name)?;
        }
        host.apply_object(&rival("rival", "0.0.0.0", "TCP"))?;
        let waiting = host.reason("rival", "NodePorts")?;
        assert!(
            waiting["status"]["message"].as_str().is_some_and(|text| text.contains(&port.to_string())),
            "{waiting}"
        );
        host.barepod(&["delete", &place.name()])?;
        host.ready("rival")?;
        host.barepod(&["delete", "rival"])?;
        host.gone("rival")?;
    }
    Ok(())
}

// ---- hooks ----

/// Hooks that ask two listeners.
fn asking(scheme: &str, listeners: &[Listener; 2]) -> Value {
    let get = |word: &str, listener: &Listener| {
        let headers = json!([{"name": "X-Word", "value": word}]);
        json!({"httpGet": {"host": ELSEWHERE, "port": listener.port(), "path": format!("/{word}"), "httpHeaders": headers,
            "scheme": scheme}})
    };
    json!({"postStart": get("begun", &listeners[0]), "preStop": get("ending", &listeners[1])})
}

fn two() -> Result<[Listener; 2]> {
    Ok([Listener::new(ELSEWHERE, Manner::Answers(200))?, Listener::new(ELSEWHERE, Manner::Answers(200))?])
}

#[test]
fn hooks_by_http_ask_this_host_and_port_for_this_path_with_these_headers() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let listeners = two()?;
        place.run(
            &host,
            &json!({"image": "host", "command": ["sh", "-c", IDLE], "lifecycle": asking("HTTP", &listeners)}),
        )?;
        host.barepod(&["delete", &place.name()])?;
        host.gone(&place.name())?;
        for (listener, word) in listeners.iter().zip(["begun", "ending"]) {
            let text = listener.first().unwrap_or_default().to_lowercase();
            assert!(text.starts_with(&format!("get /{word} http/1.1\r\n")), "{text}");
            assert!(text.contains(&format!("\r\nx-word: {word}\r\n")), "{text}");
            assert!(text.contains(&format!("\r\nhost: {ELSEWHERE}:{}\r\n", listener.port())), "{text}");
        }
    }
    Ok(())
}

#[test]
fn hooks_by_https_speak_tls() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let listeners = two()?;
        let mut hooks = asking("HTTPS", &listeners);
        // One that fails would end the container before its other hook is due: each stands alone.
        let pre_stop = hooks["preStop"].take();
        let container = |hooks: Value| json!({"image": "host", "command": ["sh", "-c", IDLE], "lifecycle": hooks});
        host.apply_object(&place.pod(&container(json!({"postStart": hooks["postStart"]}))))?;
        host.until("the first hook", SOON, |_| listeners[0].first())?;
        host.barepod(&["delete", &place.name(), "--grace-period", "0"])?;
        host.gone(&place.name())?;
        place.run(&host, &container(json!({"preStop": pre_stop})))?;
        host.barepod(&["delete", &place.name()])?;
        host.gone(&place.name())?;
        for listener in &listeners {
            let first = listener.first().unwrap_or_default();
            assert!(first.starts_with('\u{16}'), "it begins with a handshake: {first:?}");
        }
    }
    Ok(())
}

#[test]
fn hooks_run_commands_and_sleep_and_the_stop_signal_is_the_one_that_is_named() -> Result {
    let host = Host::started(CONFIG)?;
    let directory = host.path("dir");
    fs::create_dir(&directory)?;
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
    }
    for place in PLACES {
        let script = "trap 'echo usr1 >> /dir/said; exit 0' USR1; trap 'echo term >> /dir/said; exit 0' TERM; \
            while :; do sleep 1000000 & wait; done";
        let say = |word: &str| json!({"exec": {"command": ["sh", "-c", format!("echo {word} >> /dir/said")]}});
        let lifecycle = json!({"postStart": say("begun"), "preStop": say("ending"), "stopSignal": "SIGUSR1"});
        let container = json!({"image": "host", "command": ["sh", "-c", script], "lifecycle": lifecycle,
            "volumeMounts": [{"name": "dir", "mountPath": "/dir"}]});
        let mut pod = place.pod(&container);
        pod["spec"]["os"] = json!({"name": "linux"});
        pod["spec"]["volumes"] = json!([{"name": "dir", "hostPath": {"path": directory, "type": "Directory"}}]);
        host.apply_object(&pod)?;
        host.ready(&place.name())?;
        host.barepod(&["delete", &place.name()])?;
        host.gone(&place.name())?;
        let said = fs::read_to_string(directory.join("said"))?;
        assert_eq!(said, "begun\nending\nusr1\n");
        fs::remove_file(directory.join("said"))?;

        let sleeps = json!({"postStart": {"sleep": {"seconds": 3}}, "preStop": {"sleep": {"seconds": 3}}});
        let begun = std::time::Instant::now();
        let pid = place.run(&host, &json!({"image": "host", "command": ["sh", "-c", IDLE], "lifecycle": sleeps}))?;
        assert!(begun.elapsed() > Duration::from_secs(3), "it is ready when its hook is done");
        let ending = std::time::Instant::now();
        host.barepod(&["delete", &place.name(), "--no-wait"])?;
        host.until("the process to end", SOON, |_| (!alive(pid)).then_some(()))?;
        assert!(ending.elapsed() > Duration::from_secs(3), "it is asked to end when its hook is done");
        host.gone(&place.name())?;
    }
    Ok(())
}

// ---- ends ----

#[test]
fn last_words_are_taken_from_where_they_are_said() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        for (name, script, policy, wanted) in [
            ("file", "echo in-file > /var/tmp/words; sleep 1; exit 3", "File", "in-file\n"),
            ("log", "echo in-log; sleep 1; exit 3", "FallbackToLogsOnError", "in-log\n"),
        ] {
            let container = json!({"image": "host", "command": ["sh", "-c", script], "terminationMessagePath": "/var/tmp/words",
                "terminationMessagePolicy": policy});
            let mut pod = place.pod(&container);
            pod["metadata"]["name"] = json!(name);
            host.apply_object(&pod)?;
            host.until(format!("the last words of {name}"), SOON, |host| {
                let status = host.pod(name).ok()?["status"][place.statuses()][0].take();
                let said = |state: &str| status[state]["terminated"]["message"] == *wanted;
                (said("lastState") || said("state")).then_some(())
            })?;
            host.barepod(&["delete", name])?;
            host.gone(name)?;
        }
    }
    Ok(())
}

#[test]
fn a_container_is_started_again_as_its_own_policy_and_rules_say() -> Result {
    let host = Host::started(CONFIG)?;
    let rules = |operator: &str, codes: Value| json!([{"action": "Restart", "exitCodes": {"operator": operator, "values": codes}}]);
    let once = "[ -e /var/lib/kept/tried ] && exit 0; touch /var/lib/kept/tried; exit 42";
    for (list, statuses) in [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")] {
        for (name, operator, codes, restarts) in [
            ("asked-for", "In", json!([42]), 1),
            ("not-asked-for", "In", json!([7]), 0),
            ("any-other", "NotIn", json!([0, 7]), 1),
        ] {
            let name = format!("{name}-{}", list.to_lowercase());
            let mut container = sh("tried", once);
            container["restartPolicy"] = json!("Never");
            container["restartPolicyRules"] = rules(operator, codes);
            container["volumeMounts"] = json!([{"name": "kept", "mountPath": "/var/lib/kept"}]);
            let mut pod = pods::shell(&name, "exit 0");
            pod["spec"]["restartPolicy"] = json!("Never");
            pod["spec"]["volumes"] = json!([{"name": "kept", "emptyDir": {}}]);
            pod["spec"][list] = json!([container]);
            host.apply_object(&pod)?;
            let phase = if restarts == 1 { "Succeeded" } else { "Failed" };
            let ended = host.until(format!("{name} to be {phase}"), SOON, |host| {
                host.pod(&name).ok().filter(|pod| pod["status"]["phase"] == phase)
            })?;
            assert_eq!(ended["status"][statuses][0]["restartCount"], restarts, "{name}");
        }
    }
    Ok(())
}

// ---- streams ----

#[test]
fn stdin_and_tty_are_what_is_asked_for_also_in_a_sidecar() -> Result {
    let host = Host::started(CONFIG)?;
    for place in PLACES {
        let reader = "tty; while read -r line; do echo got $line; done; echo end; sleep 1000000 & wait";
        for (name, fields, wanted) in [
            ("terminal", json!({"tty": true, "stdin": true}), "/dev/pts/0"),
            ("once", json!({"stdin": true, "stdinOnce": true}), "end"),
            ("open", json!({"stdin": true}), "got line"),
        ] {
            let mut container = json!({"image": "host", "command": ["sh", "-c", reader]});
            for (key, value) in fields.as_object().into_iter().flatten() {
                container[key] = value.clone();
            }
            let mut pod = place.pod(&container);
            pod["metadata"]["name"] = json!(name);
            host.apply_object(&pod)?;
            host.ready(name)?;
            let mut attach = host.command(&["attach", "-i", name, "-c", "tried"])?;
            let mut child = attach.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn()?;
            use std::io::Write as _;
            child.stdin.take().ok_or("no stdin")?.write_all(b"line\n")?;
            let logs = |host: &Host| host.barepod(&["logs", name, "-c", "tried"]).unwrap_or_default();
            host.until(format!("{name} to say {wanted:?}"), SOON, |host| logs(host).contains(wanted).then_some(()))?;
            let log = host
                .until("the line to be read", SOON, |host| Some(logs(host)).filter(|log| log.contains("got line")))?;
            assert_eq!(log.contains("end"), name == "once", "{name}: {log}");
            child.kill()?;
            child.wait()?;
            host.barepod(&["delete", name, "--grace-period", "0"])?;
            host.gone(name)?;
        }
    }
    Ok(())
}
