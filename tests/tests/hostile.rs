//! A pod that tries every way out of its view that we know of: see `tests/programs/src/bin/hostile`.
//!
//! Each attempt is made by an ordinary user in a pod, by root in a pod, and, as the control, by both on the host itself,
//! where nothing of barepod's holds them back: what fails there as well shows nothing, and says why. Then what only time
//! brings: races against the daemon's and the shim's own work in a pod's volumes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use barepod_tests::host::{Host, SOON};
use barepod_tests::{pods, programs};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What only those may read to whom it belongs.
const MARK: &str = "hostile-mark-5c1d";
/// Nobody, whom a pod that says nothing runs as.
const NOBODY: u32 = 65534;
/// Least number of ways out that are tried.
const LEAST: usize = 80;

/// Attempts that do not succeed on the host either, as whoever makes them, and why.
const WITHOUT_CONTROL: [(&str, &str); 15] = [
    ("make-a-disks-node", "a machine may keep its disk from everybody"),
    ("press-sysrq", "a kernel may be built without it"),
    ("set-the-module-loader", "a kernel may be built without modules"),
    ("list-the-kernels-keys", "a kernel may be built without keyrings"),
    ("load-another-kernel", "a kernel may be built without it, or locked down"),
    ("open-a-socket-of-the-kernels-ciphers", "a kernel may be built without them"),
    ("open-a-socket-to-the-hypervisor", "a machine may have none"),
    ("make-a-node-of-the-kernels-log", "the control's disk may be mounted without devices"),
    ("type-into-a-terminal", "a kernel may have the call switched off"),
    ("set-up-io-uring", "it may be switched off"),
    ("open-userfaultfd", "a kernel may be built without it"),
    ("read-the-kernels-memory", "a kernel may be built without it"),
    ("gain-access-to-ports", "a machine may have none"),
    ("load-a-module", "a kernel may be built without modules"),
    ("remove-a-module", "a kernel may be built without modules"),
];

/// Attempts that succeed, and why they may.
const OPEN: [(&str, &str); 1] = [(
    "connect-to-an-abstract-socket",
    "abstract sockets belong to the network, which pods share with the host; a preset's landlock closes them",
)];

/// Capabilities that container runtimes give to everybody, and barepod to those who ask.
const USUAL: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What those are for.
const GRANTED: [&str; 3] = ["change-the-root", "open-a-packet-socket", "open-a-raw-socket"];

/// What came of the attempts, by name: outcome and detail.
type Outcomes = BTreeMap<String, (String, String)>;

/// A host with a victim, and things that hostile pods are after.
struct Scene {
    host: Host,
    places: Vec<(&'static str, PathBuf)>,
    victim: u32,
    /// On the host, outside of barepod's directories.
    loose: Vec<PathBuf>,
    /// Of shared memory on the host.
    key: String,
    /// A terminal of the host.
    _terminal: nix::pty::OpenptyResult,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for path in &self.loose {
            fs::remove_file(path).ok();
        }
        Command::new(self.host.path("bin/hostile")).args(["unshare", &self.key]).status().ok();
    }
}

impl Scene {
    fn set() -> Result<Self> {
        let host = Host::in_view("")?;
        let program = programs::musl("hostile")?;
        for (directory, mode) in [("bin", 0o755), ("control", 0o777), ("mask", 0o755), ("suid", 0o755)] {
            fs::create_dir(host.path(directory))?;
            fs::set_permissions(host.path(directory), fs::Permissions::from_mode(mode))?;
        }
        for (place, mode) in [("bin/hostile", 0o755), ("bin/setuid", 0o4755), ("suid/setuid", 0o4755)] {
            fs::copy(&program, host.path(place))?;
            fs::set_permissions(host.path(place), fs::Permissions::from_mode(mode))?;
        }
        let key = (0x6272_0000 + std::process::id() % 0xffff).to_string();
        let terminal = nix::pty::openpty(None, None)?;
        let mut scene = Self { host, places: Vec::new(), victim: 0, loose: Vec::new(), key, _terminal: terminal };
        scene.lay_out_victim()?;
        scene.lay_out_host()?;
        Ok(scene)
    }

    /// A pod with secrets of every kind.
    fn lay_out_victim(&mut self) -> Result {
        let host = &mut self.host;
        host.start()?;
        let name = format!("victim-{MARK}-{}", std::process::id());
        let script = format!(
            "echo {MARK}; echo {MARK} > /empty/file; echo {MARK} > /claim/file; \
             echo {MARK} > /dev/termination-log; exec /bin-of-test/hostile serve /empty/socket {name}"
        );
        let mut pod = pods::shell("victim", &script);
        pod["spec"]["volumes"] = json!([{"name": "empty", "emptyDir": {}}, {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "bin", "hostPath": {"path": host.path("bin")}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "empty", "mountPath": "/empty"},
            {"name": "secret", "mountPath": "/secret"}, {"name": "claim", "mountPath": "/claim"},
            {"name": "bin", "mountPath": "/bin-of-test", "readOnly": true}]);
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": MARK}});
        host.apply("victim", &format!("{secret}\n---\n{pod}"))?;
        host.ready("victim")?;
        let socket_is_there = |host: &Host| -> Option<PathBuf> {
            let uid = host.pod("victim").ok()?["metadata"]["uid"].as_str()?.to_owned();
            let socket = host.path(&format!("var/lib/barepod/pods/{uid}/volumes/empty/socket"));
            socket.exists().then(|| PathBuf::from(uid))
        };
        let uid = host.until("the victim to listen", SOON, socket_is_there)?;
        let uid = uid.display();
        self.victim = host.running("victim")?;
        let own = host.path(&format!("var/lib/barepod/pods/{uid}"));
        let shim = newest_with(&host.path("run/barepod/shims"), "sock")?;
        self.places = vec![
            ("emptydir", own.join("volumes/empty/file")),
            ("claim", host.path("var/lib/barepod/volumes/default/claim/file")),
            ("secret", own.join("volumes/secret/key")),
            ("made-files", host.path(&format!("run/barepod/files/{uid}"))),
            ("last-words", own.join("last-words/main")),
            ("log", host.path(&format!("var/log/barepod/pods/default_victim_{uid}/main/0.log"))),
            ("ledger", host.path("var/lib/barepod/ledger")),
            ("config", host.path("etc/barepod/barepod.yaml")),
            ("manifests", host.path("etc/barepod/manifests")),
            ("socket", host.path("run/barepod/barepod.sock")),
            ("shim-socket", shim.join("sock")),
            ("fifo", fifo_in(&shim)?),
            ("victims-socket", own.join("volumes/empty/socket")),
            ("abstract", PathBuf::from(name)),
            ("host-setuid", host.path("suid/setuid")),
        ];
        Ok(())
    }

    /// Files that everybody on the host finds at their places.
    fn lay_out_host(&mut self) -> Result {
        let unique = format!("bp-hostile-{}", std::process::id());
        for (name, directory) in [("tmp", "/tmp"), ("run", "/run"), ("shm", "/dev/shm")] {
            let path = Path::new(directory).join(&unique);
            fs::write(&path, MARK)?;
            self.loose.push(path.clone());
            self.places.push((name, path));
        }
        let root_only = self.host.path("root-only");
        fs::write(&root_only, MARK)?;
        fs::set_permissions(&root_only, fs::Permissions::from_mode(0o600))?;
        self.places.push(("root-only", root_only));
        let shared = Command::new(self.host.path("bin/hostile")).args(["share", &self.key]).status()?;
        assert!(shared.success(), "shared memory on the host");
        self.places.push(("sysv-key", PathBuf::from(&self.key)));
        let root = fs::metadata("/")?.dev();
        let (major, minor) = (nix::sys::stat::major(root), nix::sys::stat::minor(root));
        self.places.push(("disk-number", PathBuf::from(format!("{major}:{minor}"))));
        self.places.push(("kmsg-number", PathBuf::from("1:11")));
        Ok(())
    }

    /// What a hostile process is told. The host's places have the same names everywhere; what it can write, its set-id file
    /// and what is mounted over have not.
    fn told(&self, own: &Path, volume_setuid: &Path, mask: &str) -> Vec<(&'static str, String)> {
        let mut places: Vec<_> = self.places.iter().map(|(name, path)| format!("{name}={}", path.display())).collect();
        places.push(format!("volume-setuid={}", volume_setuid.display()));
        places.push(format!("mask={}", self.host.path(mask).display()));
        vec![
            ("HOSTILE_MARK", MARK.to_owned()),
            ("HOSTILE_VICTIM", self.victim.to_string()),
            ("HOSTILE_OWN", own.display().to_string()),
            ("HOSTILE_PLACES", places.join(",")),
        ]
    }

    /// A pod that makes all attempts, as its main process and again by exec.
    fn pod(&self, name: &str, context: Value) -> Result<[Outcomes; 2]> {
        let mut pod = pods::shell(name, &format!("/bin-of-test/hostile run; echo done; {}", pods::IDLE));
        let env = self.told(Path::new("/own"), Path::new("/bin-of-test/setuid"), "var/lib/barepod");
        pod["spec"]["containers"][0]["env"] =
            env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        pod["spec"]["containers"][0]["securityContext"] = context;
        pod["spec"]["volumes"] =
            json!([{"name": "own", "emptyDir": {}}, {"name": "bin", "hostPath": {"path": self.host.path("bin")}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/own"}, {"name": "bin", "mountPath": "/bin-of-test", "readOnly": true}]);
        self.host.apply_object(&pod)?;
        let said = self.host.until(format!("{name} to have tried all"), Duration::from_secs(120), |host| {
            host.barepod(&["logs", name]).ok().filter(|log| log.lines().any(|line| line == "done"))
        })?;
        let again = self.host.barepod(&["exec", name, "--", "/bin-of-test/hostile", "run"])?;
        Ok([outcomes(&said), outcomes(&again)])
    }

    /// The same on the host itself.
    fn control(&self, user: Option<u32>) -> Result<Outcomes> {
        let mut command = Command::new(self.host.path("bin/hostile"));
        command.arg("run").env("HOSTILE_CONTROL", "1").envs(self.told(
            &self.host.path("control"),
            &self.host.path("bin/setuid"),
            "mask",
        ));
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        Ok(outcomes(&String::from_utf8_lossy(&command.output()?.stdout)))
    }
}

fn newest_with(directory: &Path, name: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.join(name).exists()).ok_or_else(|| "no shim".into())
}

fn fifo_in(directory: &Path) -> Result<PathBuf> {
    let is_fifo = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let found = fs::read_dir(directory)?.flatten().map(|entry| entry.path()).find(is_fifo);
    found.ok_or_else(|| "no FIFO".into())
}

fn outcomes(said: &str) -> Outcomes {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| (text(&line["name"]), (text(&line["outcome"]), text(&line["detail"])))).collect()
}

#[test]
fn nobody_gets_out_of_a_pod_by_any_of_the_ways_that_lead_out_of_an_ordinary_process() -> Result {
    let scene = Scene::set()?;
    let [user, user_exec] = scene.pod("user", json!({}))?;
    let [root, root_exec] = scene.pod("root", json!({"runAsUser": 0}))?;
    let capable = json!({"runAsUser": 0, "capabilities": {"add": USUAL}});
    let [usual, usual_exec] = scene.pod("usual", capable)?;
    let (control_user, control_root) = (scene.control(Some(NOBODY))?, scene.control(None)?);

    let mut faults = Vec::new();
    for (name, (control, _)) in &control_root {
        let of = |all: &Outcomes| all.get(name).cloned().unwrap_or_else(|| ("missing".to_owned(), String::new()));
        let inside = [
            ("user", of(&user)),
            ("user by exec", of(&user_exec)),
            ("root", of(&root)),
            ("root by exec", of(&root_exec)),
            ("usual root", of(&usual)),
            ("usual root by exec", of(&usual_exec)),
        ];
        let succeeds = control == "out" || of(&control_user).0 == "out";
        println!("{name}: control {}, pod {}", if succeeds { "out" } else { "held" }, summary(&inside));
        let open = OPEN.iter().any(|(known, _)| known == name);
        for (who, (outcome, detail)) in &inside {
            match outcome.as_str() {
                "held" => {}
                "not-made" if !detail.is_empty() => {}
                "out" if open || (who.starts_with("usual") && GRANTED.contains(&name.as_str())) => {}
                other => faults.push(format!("{name} as {who}: {other} {detail}")),
            }
        }
        let documented = WITHOUT_CONTROL.iter().any(|(known, _)| known == name);
        if !succeeds && !documented {
            faults.push(format!("{name}: the control is held too: {:?} {:?}", of(&control_root), of(&control_user)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(control_root.len() >= LEAST, "{} ways are tried", control_root.len());
    for all in [&user, &user_exec, &root, &root_exec, &usual, &usual_exec, &control_user] {
        assert_eq!(all.len(), control_root.len(), "each way is tried each time");
    }
    let listed = WITHOUT_CONTROL.iter().chain(&OPEN).map(|(name, _)| name);
    assert!(listed.into_iter().all(|name| control_root.contains_key(*name)), "an exception speaks of no attempt");
    Ok(())
}

/// `held (why)` where all are alike, else each.
fn summary(inside: &[(&str, (String, String))]) -> String {
    let first = &inside[0].1;
    if inside.iter().all(|(_, outcome)| outcome.0 == first.0) {
        return format!("{} ({})", first.0, first.1);
    }
    inside.iter().map(|(who, (outcome, detail))| format!("{who} {outcome} ({detail})")).collect::<Vec<_>>().join(", ")
}

// ---- what only time brings ----

/// A pod of two containers that share a volume: one runs `hostile`, the other what the test wants of barepod.
fn shared(host: &Host, name: &str, hostile: &str, victim: Value) -> Value {
    let mut first = pods::sh("hostile", hostile);
    first["securityContext"] = json!({"runAsUser": 0});
    first["volumeMounts"] =
        json!([{"name": "shared", "mountPath": "/shared"}, {"name": "bin", "mountPath": "/bin-of-test"}]);
    let mut pod = pods::pod(name, [first, victim]);
    pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}, {"name": "other", "emptyDir": {}},
        {"name": "bin", "hostPath": {"path": host.path("bin")}}]);
    pod
}

fn host_with_program() -> Result<Host> {
    let mut host = Host::in_view("crashLoopBackOff: {initialSeconds: 0.05, maxSeconds: 0.05}\n")?;
    fs::create_dir(host.path("bin"))?;
    fs::copy(programs::musl("hostile")?, host.path("bin/hostile"))?;
    host.start()?;
    Ok(host)
}

/// A file of the host that a wrong step would change: as it is, its mode and owner.
struct Prey(PathBuf, (u32, u32, u32));

impl Prey {
    fn new(path: PathBuf) -> Result<Self> {
        fs::write(&path, "prey")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let state = Self::state(&path)?;
        Ok(Self(path, state))
    }

    fn state(path: &Path) -> Result<(u32, u32, u32)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.mode(), metadata.uid(), metadata.gid()))
    }

    fn assert_untouched(&self) -> Result {
        assert_eq!(Self::state(&self.0)?, self.1, "mode and owner of {}", self.0.display());
        assert_eq!(fs::read_to_string(&self.0)?, "prey");
        Ok(())
    }
}

#[test]
fn a_mount_point_that_is_swapped_for_a_link_while_a_view_is_made_changes_nothing_on_the_host() -> Result {
    let host = host_with_program()?;
    let prey = Prey::new(host.path("prey"))?;
    let mut victim = pods::sh("victim", "exit 1");
    victim["volumeMounts"] =
        json!([{"name": "shared", "mountPath": "/shared"}, {"name": "other", "mountPath": "/shared/point"}]);
    let swap = format!(
        "/bin-of-test/hostile swap /shared/point {} 8000; touch /shared/swapped; {}",
        prey.0.display(),
        pods::IDLE
    );
    host.apply_object(&shared(&host, "pod", &swap, victim))?;
    host.until("the race to be run", Duration::from_secs(60), |host| {
        let pod = host.pod("pod").ok()?;
        let uid = pod["metadata"]["uid"].as_str()?;
        host.path(&format!("var/lib/barepod/pods/{uid}/volumes/shared/swapped")).exists().then_some(())
    })?;
    let statuses = host.pod("pod")?["status"]["containerStatuses"].take();
    let restarts =
        statuses.as_array().into_iter().flatten().map(|status| status["restartCount"].as_u64().unwrap_or(0)).max();
    assert!(restarts > Some(5), "the view was made while the link was swapped: {restarts:?} times");
    prey.assert_untouched()
}

#[test]
fn links_in_volumes_lead_neither_groups_nor_owners_nor_sub_paths_nor_removal_out_of_them() -> Result {
    let host = host_with_program()?;
    let prey = Prey::new(host.path("prey"))?;
    let claim = host.path("var/lib/barepod/volumes/default/claim");
    fs::create_dir_all(claim.join("deep"))?;
    symlink(&prey.0, claim.join("link"))?;
    symlink(host.path("."), claim.join("deep/host"))?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"fsGroup": 4321, "runAsUser": 1234});
    pod["spec"]["volumes"] =
        json!([{"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}}, {"name": "own", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "claim", "mountPath": "/claim"},
        {"name": "own", "mountPath": "/own"}, {"name": "claim", "mountPath": "/sub", "subPath": "deep/host/made"}]);
    host.apply_object(&pod)?;
    // The sub path leads through a link, and what it would make lies on the host.
    host.container("pod", "waiting", |status| !status["state"]["waiting"].is_null())?;
    assert!(!host.path("made").exists(), "a directory appeared outside of the volume");
    prey.assert_untouched()?;
    pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().ok_or("no mounts")?.pop();
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let line = format!("ln -s {} /own/link; ln -s {} /own/host", prey.0.display(), host.path(".").display());
    host.barepod(&["exec", "pod", "--", "sh", "-c", &line])?;
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    prey.assert_untouched()?;
    assert!(host.path("etc/barepod/barepod.yaml").exists() && host.path("bin/hostile").exists());
    Ok(())
}

#[test]
fn directories_that_lie_in_each_other_without_end_stop_neither_the_daemon_nor_a_removal() -> Result {
    let host = host_with_program()?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"fsGroup": 4321});
    pod["spec"]["volumes"] =
        json!([{"name": "own", "emptyDir": {}}, {"name": "bin", "hostPath": {"path": host.path("bin")}}]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "own", "mountPath": "/own"}, {"name": "bin", "mountPath": "/bin-of-test"}]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    host.barepod(&["exec", "pod", "--", "/bin-of-test/hostile", "dig", "/own", "20000"])?;
    let daemon = host.daemon_pid();
    // A change of the pod has its volumes gone through again.
    pod["metadata"]["labels"] = json!({"changed": "yes"});
    host.apply_object(&pod)?;
    host.ready("pod")?;
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    assert_eq!(host.daemon_pid(), daemon);
    assert_eq!(fs::read_dir(host.path("var/lib/barepod/pods"))?.count(), 0, "nothing of it is left");
    Ok(())
}

#[test]
fn a_host_path_that_becomes_a_link_into_barepods_state_is_not_followed() -> Result {
    let host = host_with_program()?;
    for directory in ["data/inner", "elsewhere"] {
        fs::create_dir_all(host.path(directory))?;
    }
    let mut pod = pods::shell("pod", "exit 1");
    pod["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": host.path("data/inner")}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    host.apply_object(&pod)?;
    host.container("pod", "restarting", |status| status["restartCount"].as_u64() > Some(0))?;
    fs::rename(host.path("data/inner"), host.path("data/before"))?;
    symlink(host.path("var/lib/barepod"), host.path("data/inner"))?;
    host.container("pod", "refused", |status| {
        let message = status["lastState"]["terminated"]["message"].as_str().unwrap_or_default();
        message.contains("lies in barepod's own directory")
    })?;
    Ok(())
}

#[test]
fn last_words_and_output_are_the_containers_own_whatever_it_makes_of_their_files() -> Result {
    let host = host_with_program()?;
    let prey = Prey::new(host.path("prey"))?;
    let script = format!(
        "rm /dev/termination-log; ln -s {0} /dev/termination-log; mv /dev/termination-log /tmp; \
         chmod 0 /proc/self/fd/1; head -c 100000 /dev/zero > /dev/termination-log; \
         ln -sf {0} /dev/stdout; echo said; exit 3",
        prey.0.display()
    );
    let mut pod = pods::shell("pod", &script);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    let ended = host.container("pod", "ended", |status| !status["state"]["terminated"].is_null())?;
    let message = ended["state"]["terminated"]["message"].as_str().unwrap_or_default();
    assert_eq!(
        (message.len(), &ended["state"]["terminated"]["exitCode"]),
        (4096, &json!(3)),
        "cut, and not the prey's"
    );
    assert!(host.barepod(&["logs", "pod"])?.contains("said"));
    prey.assert_untouched()
}

#[test]
fn a_process_on_its_way_into_a_pod_cannot_be_taken_hold_of() -> Result {
    let host = host_with_program()?;
    let mut pod = pods::shell("pod", &format!("/bin-of-test/hostile lurk 15000 20; {}", pods::IDLE));
    pod["spec"]["volumes"] = json!([{"name": "bin", "hostPath": {"path": host.path("bin")}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "bin", "mountPath": "/bin-of-test"}]);
    pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    host.ready("pod")?;
    // As many as it wants to see are brought in.
    let said = host.until("it to have lurked", SOON, |host| {
        host.barepod(&["exec", "pod", "--", "true"]).ok()?;
        host.barepod(&["logs", "pod"]).ok().filter(|said| said.contains("saw\t"))
    })?;
    assert!(!said.contains("got\t"), "{said}");
    Ok(())
}
