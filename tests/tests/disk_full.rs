//! A full disk under the logs, the ledger or a volume: services live, what is lost is counted, and everything works again
//! when there is space.

use std::path::Path;

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::mounts::Tmpfs;
use barepod_tests::{logs, pods};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SPACE: u64 = 2 << 20;

// ---- logs ----

/// Writes numbered lines of a thousand bytes, and how far it is into a file of its own disk.
const COUNTER: &str = "\
trap 'echo $i end; exit 0' TERM
i=0
while :; do i=$((i + 1)); printf '%d %0999d\\n' $i 0; echo $i > /dir/progress; done";

/// More lines than all buffers hold between the service and its log.
const MANY: u64 = 1500;

fn progress(directory: &Path) -> Option<u64> {
    std::fs::read_to_string(directory.join("progress")).ok()?.trim().parse().ok()
}

/// The number of a line, or how many were dropped in its place.
enum Word {
    Number(u64),
    Dropped(u64),
}

fn word(text: &str) -> Result<Word> {
    match text.strip_prefix("barepod: ") {
        Some(mark) => {
            assert!(mark.ends_with(" bytes) dropped: No space left on device"), "{mark}");
            Ok(Word::Dropped(mark.split(' ').next().unwrap_or_default().parse()?))
        }
        None => Ok(Word::Number(text.split(' ').next().unwrap_or_default().parse()?)),
    }
}

#[test]
fn a_full_disk_under_the_logs_stops_no_service_and_each_lost_line_is_counted_in_the_log() -> Result {
    let mut host = Host::new("containerLogMaxSize: 100Mi\n")?;
    let small = Tmpfs::over(&host.path("var/log/barepod"), SPACE)?;
    host.start()?;
    let directory = host.path("dir");
    std::fs::create_dir(&directory)?;
    let mut pod = pods::with_directory(pods::shell("counter", COUNTER), &directory, "/dir");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    let pid = host.running("counter")?;
    let reached = |wanted: u64| {
        host.until(format!("line {wanted}"), SOON, |_| progress(&directory).filter(|line| *line >= wanted))
    };
    small.fill()?;
    let full = reached(1)?;
    reached(full + MANY)?;
    small.free()?;
    let file = logs::directory(&host, "counter", "main")?.join("0.log");
    host.until("the mark", SOON, |_| std::fs::read_to_string(&file).ok()?.contains("barepod: ").then_some(()))?;
    assert_eq!(host.pid("counter"), Some(pid), "it lives");
    host.barepod(&["delete", "counter"])?;
    every_line_is_there_or_counted(&host)
}

fn every_line_is_there_or_counted(host: &Host) -> Result {
    let (mut next, mut marks) = (1, 0);
    for line in logs::lines(host, "counter", "main", 0)? {
        if let Some(last) = line.text.strip_suffix(" end") {
            assert_eq!(last.parse::<u64>()? + 1, next, "the last line");
            continue;
        }
        match word(&line.text)? {
            Word::Dropped(lines) => (next, marks) = (next + lines, marks + 1),
            Word::Number(number) => {
                assert_eq!(number, next, "lost, doubled or not counted");
                next += 1;
            }
        }
    }
    assert!(marks > 0, "nothing was dropped: the test shows nothing");
    Ok(())
}

// ---- ledger ----

#[test]
fn a_full_disk_under_the_ledger_refuses_changes_and_nothing_else() -> Result {
    let mut host = Host::new("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let small = Tmpfs::over(&host.path("var/lib/barepod"), SPACE)?;
    host.start()?;
    host.apply_object(&pods::idle("one"))?;
    let pid = host.running("one")?;
    let manifest = std::fs::read_to_string(host.manifest("one"))?;
    small.fill()?;

    let changed = pods::shell("one", &format!("echo changed; {}", pods::IDLE));
    for (pod, what) in [(pods::idle("two"), "a new pod"), (changed.clone(), "a change")] {
        let denied = host.apply_object(&pod).map_err(|error| error.to_string());
        assert!(denied.clone().is_err_and(|error| error.contains("LedgerUnavailable")), "{what}: {denied:?}");
    }
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/one\n");
    assert_eq!(host.pid("one"), Some(pid));
    assert_eq!(std::fs::read_to_string(host.manifest("one"))?, manifest);
    assert!(!host.manifest("two").exists());
    let refused = host.barepod(&["delete", "one"]).map_err(|error| error.to_string());
    assert!(refused.clone().is_err_and(|error| error.contains("ledger")), "{refused:?}");
    assert_eq!(host.pid("one"), Some(pid));
    assert!(host.manifest("one").exists(), "a delete that is refused leaves the manifest");

    signal(pid, "KILL")?;
    let next = host.until("another process", SOON, |host| host.pid("one").filter(|now| *now != pid))?;

    small.free()?;
    host.apply_object(&pods::idle("two"))?;
    host.running("two")?;
    host.apply_object(&changed)?;
    host.until("the change", SOON, |host| host.pid("one").filter(|now| *now != next))?;
    host.barepod(&["delete", "one", "two"])?;
    assert!(!alive(next));
    Ok(())
}

#[test]
fn a_restart_counted_while_the_ledger_was_full_is_known_to_the_next_daemon() -> Result {
    let mut host = Host::new("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let small = Tmpfs::over(&host.path("var/lib/barepod"), SPACE)?;
    host.start()?;
    host.apply_object(&pods::idle("one"))?;
    let pid = host.running("one")?;
    small.fill()?;
    signal(pid, "KILL")?;
    let next = host.until("another process", SOON, |host| host.pid("one").filter(|now| *now != pid))?;
    host.kill_daemon()?;
    host.start()?;
    let status = host.container("one", "seen again", |status| !status["state"]["running"].is_null())?;
    assert_eq!(host.pid("one"), Some(next));
    assert_eq!(status["restartCount"], 1, "{status}");
    small.free()?;
    Ok(())
}

// ---- a volume ----

#[test]
fn a_full_volume_is_seen_by_its_service_alone_and_works_again_when_freed() -> Result {
    let host = Host::started("")?;
    let small = Tmpfs::over(&host.path("dir"), SPACE)?;
    let script = "trap 'exit 0' TERM
while :; do rm -f /dir/file; sleep 0.02; head -c 8192 /dev/zero > /dir/file && echo ok || echo full; done";
    let mut pod = pods::with_directory(pods::shell("writer", script), &host.path("dir"), "/dir");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    host.apply_object(&pod)?;
    let pid = host.running("writer")?;
    let says = |wanted: &str| {
        host.barepod(&["logs", "writer", "--tail", "1"]).is_ok_and(|text| text.trim() == wanted).then_some(())
    };
    host.until("the service to write", SOON, |_| says("ok"))?;
    // Again and again, for what the service itself holds it gives back.
    host.until("the service to find no space", SOON, |_| small.fill().ok().and_then(|()| says("full")))?;
    small.free()?;
    host.until("the service to write again", SOON, |_| says("ok"))?;
    assert_eq!(host.pid("writer"), Some(pid));
    Ok(())
}
