//! The ledger: damaged, it takes no pod down; slow, it delays acknowledgements alone.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::pods;
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn files(host: &Host) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(host.path("var/lib/barepod/ledger"))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::result::Result<_, _>>()?)
}

// ---- damaged ----

/// A pod runs, the daemon is stopped, its ledger files become what `damage` makes of each; then a daemon starts. The pod
/// runs on, is reported, nothing new of its name is made from its manifest, and its files stay as they are. With the files
/// mended, everything is as before.
fn survives(damage: impl Fn(&str) -> String, complaint: &str) -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("db"))?;
    let pid = host.running("db")?;
    host.stop_daemon()?;
    let mut sound = Vec::new();
    for file in files(&host)? {
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, damage(&text))?;
        sound.push((file, text));
    }
    assert!(!sound.is_empty());

    host.start()?;
    is_reported(&host, complaint)?;
    let denied = host.apply_object(&pods::shell("db", "exit 0")).map_err(|error| error.to_string());
    assert!(denied.clone().is_err_and(|error| error.contains("LedgerUnreadable")), "{denied:?}");
    assert!(alive(pid));
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/db\n", "nothing is made beside it");
    for (file, text) in &sound {
        assert_eq!(std::fs::read_to_string(file)?, damage(text), "{} was written", file.display());
    }

    host.stop_daemon()?;
    for (file, text) in &sound {
        std::fs::write(file, text)?;
    }
    host.start()?;
    assert_eq!(host.running("db")?, pid);
    Ok(())
}

fn is_reported(host: &Host, complaint: &str) -> Result {
    let table = host.barepod(&["get", "pods"])?;
    assert!(table.contains("db") && table.contains("LedgerUnreadable"), "{table}");
    let pod = host.pod("db")?;
    assert_eq!(pod["status"]["phase"], "Unknown");
    let text = host.barepod(&["describe", "db"])?;
    assert!(text.contains(complaint) && text.contains("/ledger/"), "{text}");
    Ok(())
}

#[test]
fn a_pod_whose_ledger_file_is_truncated_runs_on_and_is_reported() -> Result {
    survives(|text| text[..text.len() / 2].to_owned(), "")
}

#[test]
fn a_pod_whose_ledger_file_is_empty_runs_on_and_is_reported() -> Result {
    survives(|_| String::new(), "")
}

#[test]
fn a_pod_whose_ledger_file_is_of_a_newer_version_runs_on_and_is_reported() -> Result {
    let newer = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        assert!(value["format"].is_u64(), "the format has changed: mend this test: {text}");
        value["format"] = json!(999);
        value.to_string()
    };
    survives(newer, "999")
}

#[test]
fn a_pod_whose_ledger_file_is_gone_runs_on_and_nothing_is_made_beside_it_until_its_processes_have_ended() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("db"))?;
    let pid = host.running("db")?;
    let uid = host.pod("db")?["metadata"]["uid"].as_str().ok_or("no UID")?.to_owned();
    host.stop_daemon()?;
    for file in files(&host)? {
        std::fs::remove_file(file)?;
    }
    host.start()?;
    is_reported(&host, "there is no such file")?;
    let denied = host.apply_object(&pods::shell("db", "exit 0")).map_err(|error| error.to_string());
    assert!(denied.clone().is_err_and(|error| error.contains("LedgerUnreadable")), "{denied:?}");
    host.stop_daemon()?;
    host.start()?;
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/db\n", "nothing is made beside it");
    assert!(alive(pid));

    // As the message says: by hand, and the daemon anew.
    host.stop_daemon()?;
    std::fs::write(host.group_of_pod(&host.unified(), &uid).join("cgroup.kill"), "1")?;
    host.until("the end of its process", SOON, |_| (!alive(pid)).then_some(()))?;
    host.start()?;
    assert_ne!(host.running("db")?, pid);
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/db\n");
    Ok(())
}

// ---- slow ----

/// Longer than anything else in these tests may take, so that what is seen to happen before a write is done has not
/// waited for it.
const LONG: [&str; 2] = ["--ledger-sync-delay", "6000"];

/// A host with these pods, whose ledger has become slow.
fn slow(pods: &[serde_json::Value]) -> Result<Host> {
    let mut host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    for pod in pods {
        host.apply_object(pod)?;
        host.running(pod["metadata"]["name"].as_str().ok_or("no name")?)?;
    }
    host.stop_daemon()?;
    host.set_daemon_args(&LONG);
    host.start()?;
    Ok(host)
}

/// An apply whose write is on its way to the disk, and not there.
struct Pending(Child);

impl Pending {
    fn apply(host: &Host, pod: &serde_json::Value) -> Result<Self> {
        let path = host.path("pending.yaml");
        std::fs::write(&path, pod.to_string())?;
        let mut command = host.command(&["apply", "-f", &path.display().to_string()])?;
        let pending = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        host.until("a write on its way", SOON, |host| {
            let on_its_way = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "tmp");
            files(host).ok()?.iter().any(on_its_way).then_some(())
        })?;
        Ok(pending)
    }

    fn is_acknowledged(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    fn finish(mut self) -> Result {
        assert!(self.0.wait()?.success());
        Ok(())
    }
}

fn crash(host: &Host, name: &str) -> Result<u32> {
    let before = host.running(name)?;
    signal(before, "KILL")?;
    Ok(host.until("another process", SOON, |host| host.pid(name).filter(|pid| *pid != before))?)
}

#[test]
fn a_crashed_container_runs_again_while_another_pod_waits_for_the_disk() -> Result {
    let host = slow(&[pods::idle("one")])?;
    let mut pending = Pending::apply(&host, &pods::idle("two"))?;
    crash(&host, "one")?;
    crash(&host, "one")?;
    assert!(!pending.is_acknowledged()?, "the test is too slow to show anything");
    assert!(host.pid("two").is_none(), "what is not acknowledged is not begun");
    pending.finish()?;
    host.running("two")?;
    Ok(())
}

#[test]
fn a_crashed_container_runs_again_while_a_change_of_its_own_pod_waits_for_the_disk() -> Result {
    let limited = |memory: &str| {
        let mut pod = pods::idle("one");
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": memory}});
        pod
    };
    let host = slow(&[limited("64Mi")])?;
    let mut pending = Pending::apply(&host, &limited("96Mi"))?;
    crash(&host, "one")?;
    assert!(!pending.is_acknowledged()?, "the test is too slow to show anything");
    pending.finish()
}

#[test]
fn with_a_slow_ledger_a_delete_ends_its_pod_and_is_forgotten() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("one"))?;
    let pid = host.running("one")?;
    host.kill_daemon()?;
    host.set_daemon_args(&["--ledger-sync-delay", "500"]);
    host.start()?;
    host.barepod(&["delete", "one"])?;
    assert!(!alive(pid));
    assert_eq!(files(&host)?.len(), 0, "the ledger forgets");
    Ok(())
}
