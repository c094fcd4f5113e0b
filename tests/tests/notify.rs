//! Services that say themselves how they are (sd_notify): what counts, what is shown, and what the deaths of daemon and shim
//! cost of it.

use std::path::PathBuf;
use std::time::Duration;

use barepod_tests::host::{Host, SOON, alive, is_ready, signal};
use barepod_tests::pods;
use barepod_tests::programs;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// No waiting between crashes.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// A host and a service that says what it is told to.
struct Service {
    host: Host,
    directory: PathBuf,
    orders: std::cell::Cell<u32>,
}

impl Service {
    /// With this annotation of its container.
    fn new(annotation: &str) -> Result<Self> {
        let service = Self::prepared()?;
        service.apply(annotation, |_| {})?;
        Ok(service)
    }

    fn prepared() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let host = Host::started(CONFIG)?;
        let directory = host.path("dir");
        std::fs::create_dir(&directory)?;
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
        std::fs::copy(programs::musl("teller")?, directory.join("teller"))?;
        Ok(Self { host, directory, orders: std::cell::Cell::new(0) })
    }

    fn apply(&self, annotation: &str, change: impl FnOnce(&mut Value)) -> Result {
        let mut pod = pods::with_directory(pods::idle("pod"), &self.directory, "/dir");
        pod["metadata"]["annotations"] = json!({"notify.barepod.dev/main": annotation});
        pod["spec"]["containers"][0]["command"] = json!(["/dir/teller", "/dir"]);
        change(&mut pod);
        self.host.apply_object(&pod)?;
        self.host.running("pod")?;
        Ok(())
    }

    /// Gives an order, and waits until it has been carried out.
    fn does(&self, order: &str) -> Result {
        let said = self.tries(order)?;
        if said == "well" { Ok(()) } else { Err(format!("{order}: {said}").into()) }
    }

    /// The same; what came of it.
    fn tries(&self, order: &str) -> Result<String> {
        let file = self.order(order)?;
        let what = format!("the service to do {order:?}");
        Ok(self.host.until(what, SOON, |_| std::fs::read_to_string(file.with_extension("done")).ok())?)
    }

    fn order(&self, order: &str) -> Result<PathBuf> {
        self.orders.set(self.orders.get() + 1);
        let file = self.directory.join(self.orders.get().to_string());
        std::fs::write(self.directory.join("new"), order)?;
        std::fs::rename(self.directory.join("new"), &file)?;
        Ok(file)
    }

    fn has(&self, name: &str) -> bool {
        self.directory.join(name).exists()
    }

    /// What is shown of what it says, when it is so.
    fn says(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        Ok(self.host.until(format!("the service to be shown as {what}"), SOON, |host| {
            let pod = host.pod("pod").ok()?;
            condition(&pod, "notify.barepod.dev/main").filter(|said| wanted(said))
        })?)
    }

    fn told(&self, reason: &str) -> Result<String> {
        Ok(self.host.until(format!("an event {reason}"), SOON, |host| {
            let events = host.barepod(&["events", "pod"]).ok()?;
            events.lines().find(|line| line.contains(reason)).map(str::to_owned)
        })?)
    }

    fn status(&self) -> Result<Value> {
        Ok(self.host.pod("pod")?["status"]["containerStatuses"][0].clone())
    }

    /// Kills its shims, whether a daemon lives or not.
    fn kill(&self, shims: &[u32]) -> Result {
        for &shim in shims {
            signal(shim, "KILL")?;
            self.host.until("the shim to be dead", SOON, |_| (!alive(shim)).then_some(()))?;
        }
        Ok(())
    }

    fn another_shim(&self, old: &[u32]) -> Result {
        Ok(self.host.until("another shim", SOON, |host| {
            matches!(host.shims("pod").ok()?[..], [shim] if !old.contains(&shim)).then_some(())
        })?)
    }
}

fn condition(pod: &Value, kind: &str) -> Option<Value> {
    let all = pod["status"]["conditions"].as_array()?;
    all.iter().find(|condition| condition["type"] == kind).cloned()
}

#[test]
fn a_pod_is_ready_when_its_service_says_so_and_its_words_are_shown() -> Result {
    let service = Service::new("main")?;
    service.does("say STATUS=reading the log")?;
    let said = service.says("starting", |said| said["message"] == "reading the log")?;
    assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!("Starting")));
    let pod = service.host.pod("pod")?;
    assert!(!is_ready(&pod));
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], false);
    service.does("say READY=1;STATUS=accepting connections")?;
    service.host.ready("pod")?;
    let said = service.says("ready", |said| said["status"] == "True")?;
    assert_eq!(said["message"], "accepting connections");
    let text = service.host.barepod(&["describe", "pod"])?;
    assert!(text.contains("ready, \"accepting connections\""), "{text}");
    service.does("say RELOADING=1")?;
    service.says("reloading", |said| said["reason"] == "Reloading" && said["status"] == "True")?;
    assert!(is_ready(&service.host.pod("pod")?));
    service.does("say READY=1;ERRNO=2;BUSERROR=org.example.Lost")?;
    service.says("wrong", |said| {
        said["message"].as_str().is_some_and(|text| text.contains("No such file or directory, org.example.Lost"))
    })?;
    service.does("say STOPPING=1")?;
    service.says("stopping", |said| said["reason"] == "Stopping" && said["status"] == "False")?;
    assert!(!is_ready(&service.host.pod("pod")?));
    Ok(())
}

#[test]
fn what_is_said_while_no_daemon_lives_is_heard_by_the_next_one() -> Result {
    let mut service = Service::new("main, start=600")?;
    let pid = service.host.running("pod")?;
    service.host.kill_daemon()?;
    service.does("say READY=1;STATUS=said to nobody")?;
    service.does("barrier")?;
    service.host.start()?;
    service.host.ready("pod")?;
    service.says("ready", |said| said["message"] == "said to nobody")?;
    assert_eq!(service.host.running("pod")?, pid);
    Ok(())
}

#[test]
fn what_a_shim_has_heard_survives_it() -> Result {
    let mut service = Service::new("main, start=600")?;
    let (pid, shims) = (service.host.running("pod")?, service.host.shims("pod")?);
    service.host.kill_daemon()?;
    service.does("say READY=1;STATUS=once")?;
    service.does("barrier")?;
    service.kill(&shims)?;
    service.host.start()?;
    service.host.ready("pod")?;
    service.says("ready", |said| said["message"] == "once")?;
    assert_eq!(service.host.running("pod")?, pid);
    Ok(())
}

#[test]
fn another_shim_listens_at_the_same_place() -> Result {
    let service = Service::new("main")?;
    let (pid, old) = (service.host.running("pod")?, service.host.shims("pod")?);
    service.kill(&old)?;
    service.another_shim(&old)?;
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    assert_eq!(service.host.running("pod")?, pid);
    Ok(())
}

#[test]
fn a_service_that_spoke_to_a_dead_shim_is_not_killed_for_it() -> Result {
    let mut service = Service::new("main, start=4")?;
    let (pid, shims) = (service.host.running("pod")?, service.host.shims("pod")?);
    service.host.kill_daemon()?;
    service.kill(&shims)?;
    assert!(service.tries("say READY=1")?.contains("refused"), "nobody listens");
    service.host.start()?;
    service.told("StartAssumed")?;
    service.host.ready("pod")?;
    assert_eq!(service.host.running("pod")?, pid);
    Ok(())
}

#[test]
fn a_service_that_is_not_ready_in_time_is_restarted_unless_it_asks_for_patience() -> Result {
    let service = Service::new("main, start=2")?;
    let first = service.host.running("pod")?;
    service.does("say EXTEND_TIMEOUT_USEC=6000000")?;
    let asked = std::time::Instant::now();
    let over = || (asked.elapsed() > Duration::from_secs(3)).then_some(());
    service.host.until("the time to start to be over", SOON, |_| over())?;
    assert_eq!(service.host.running("pod")?, first);
    service.told("StartTimeout")?;
    service.host.container("pod", "restarted", |container| container["restartCount"] == 1)?;
    Ok(())
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_the_container_and_one_that_is_fed_does_not() -> Result {
    let service = Service::new("main, watchdog=2")?;
    let pid = service.host.running("pod")?;
    service.does("beat 200")?;
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    let began = std::time::Instant::now();
    service
        .host
        .until("several times the watchdog", SOON, |_| (began.elapsed() > Duration::from_secs(5)).then_some(()))?;
    assert_eq!(service.host.running("pod")?, pid);
    service.does("quiet")?;
    service.told("WatchdogTimeout")?;
    service.host.container("pod", "restarted", |container| container["restartCount"] == 1)?;
    service.does("say READY=1")?;
    service.does("say WATCHDOG=trigger")?;
    service.host.container("pod", "restarted", |container| container["restartCount"] == 2)?;
    Ok(())
}

#[test]
fn a_service_that_asks_for_patience_ends_by_itself() -> Result {
    let service = Service::prepared()?;
    std::fs::write(service.directory.join("stay"), "")?;
    service.apply("main", |pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(2))?;
    let pid = service.host.running("pod")?;
    let mut delete = service.host.command(&["delete", "pod"])?.spawn()?;
    let asked = std::time::Instant::now();
    service.host.until("three times the grace", SOON, |_| (asked.elapsed() > Duration::from_secs(6)).then_some(()))?;
    assert!(alive(pid), "it has asked for patience ever since");
    std::fs::remove_file(service.directory.join("stay"))?;
    assert!(delete.wait()?.success());
    let events = service.host.barepod(&["events", "pod"])?;
    assert!(events.contains("exit code 0"), "{events}");
    Ok(())
}

#[test]
fn a_grace_given_with_the_delete_is_extended_by_nobody() -> Result {
    let service = Service::prepared()?;
    std::fs::write(service.directory.join("stay"), "")?;
    service.apply("main", |_| {})?;
    service.host.barepod(&["delete", "pod", "--grace-period", "1"])?;
    let events = service.host.barepod(&["events", "pod"])?;
    assert!(events.contains("signal 9"), "{events}");
    Ok(())
}

#[test]
fn signals_go_to_the_process_that_is_named_as_the_main_one_also_after_the_shims_death() -> Result {
    let service = Service::new("main")?;
    let old = service.host.shims("pod")?;
    service.does("second")?;
    service.told("MainProcessChanged")?;
    service.kill(&old)?;
    service.another_shim(&old)?;
    service.host.barepod(&["delete", "pod"])?;
    assert!(service.has("terminated-second") && !service.has("terminated-first"));
    Ok(())
}

#[test]
fn only_the_main_process_is_heard_unless_all_may_speak() -> Result {
    let service = Service::new("main")?;
    service.does("child READY=1")?;
    let told = service.told("NotifyRefused")?;
    assert!(told.contains("is not the main process"), "{told}");
    assert!(!is_ready(&service.host.pod("pod")?));
    let other = Service::new("all")?;
    other.does("child READY=1;STATUS=by a child")?;
    other.host.ready("pod")?;
    other.says("ready", |said| said["message"] == "by a child")?;
    // One more process of the container is of it too.
    other.host.barepod(&["exec", "pod", "--", "/dir/teller", "--say", "STATUS=by a stranger in its view"])?;
    other.says("told so", |said| said["message"] == "by a stranger in its view")?;
    Ok(())
}

#[test]
fn files_are_not_kept_and_a_barrier_is_passed_when_all_has_been_heard() -> Result {
    let service = Service::new("main")?;
    service.does("store")?;
    service.does("barrier")?;
    let told = service.told("NotifyRefused")?;
    assert!(told.contains("FDSTORE"), "{told}");
    service.does("say MAINPID=1000000")?;
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    Ok(())
}

#[test]
fn a_restarted_service_has_to_say_it_again() -> Result {
    let service = Service::new("main")?;
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    service.order("exit 3")?;
    service.host.container("pod", "restarted", |container| container["restartCount"] == 1)?;
    service.host.running("pod")?;
    assert_eq!(service.status()?["started"], false);
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    Ok(())
}

#[test]
fn debians_own_command_is_understood() -> Result {
    if !std::path::Path::new("/usr/bin/systemd-notify").exists() {
        barepod_tests::skip!("systemd-notify is not installed");
    }
    let host = Host::started(CONFIG)?;
    let script = "systemd-notify --ready --status='it is here'; trap 'exit 0' TERM; sleep 1000000 & wait";
    let mut pod = pods::shell("pod", script);
    pod["metadata"]["annotations"] = json!({"notify.barepod.dev/main": "all"});
    host.apply_object(&pod)?;
    let ready = host.ready("pod")?;
    let said = condition(&ready, "notify.barepod.dev/main").ok_or("it says something")?;
    assert_eq!(said["message"], "it is here");
    Ok(())
}

#[test]
fn a_sidecar_that_speaks_is_awaited_and_a_dependent_pod_waits_for_ready() -> Result {
    let service = Service::prepared()?;
    let mut pod = pods::with_directory(pods::idle("pod"), &service.directory, "/dir");
    pod["metadata"]["annotations"] = json!({"notify.barepod.dev/early": "main"});
    let early = json!({
        "name": "early", "image": "host", "command": ["/dir/teller", "/dir"], "restartPolicy": "Always",
        "volumeMounts": [{"name": "dir", "mountPath": "/dir"}],
    });
    pod["spec"]["initContainers"] = json!([early]);
    let mut next = pods::idle("next");
    next["metadata"]["annotations"] = json!({"barepod.dev/depends-on": "pod"});
    service.host.apply_object(&pod)?;
    service.host.apply_object(&next)?;
    service.does("say STATUS=warming up")?;
    let waits = service.host.pod("pod")?;
    assert!(waits["status"]["containerStatuses"][0]["state"]["waiting"].is_object(), "{waits}");
    service.does("say READY=1")?;
    service.host.ready("pod")?;
    service.host.ready("next")?;
    Ok(())
}
