//! A host that is said to go down, with real processes.

use barepod_tests::bridge::{CONFIG, as_bridge, reachable};
use barepod_tests::host::Host;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The second depends on the first, and takes its time to end.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: db}
spec:
  containers:
  - name: main
    image: host
    command: [sh, -c, "trap 'echo the database ends; exit 0' TERM; while :; do sleep 0.1; done"]
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {barepod.dev/depends-on: db}
spec:
  containers:
  - name: main
    image: host
    command: [sh, -c, "trap 'sleep 1; echo the client ends; exit 0' TERM; while :; do sleep 0.1; done"]
"#;

/// When the first attempt of a pod said this, as its log has it.
fn when(host: &Host, pod: &str, said: &str) -> Result<String> {
    let log = host.barepod(&["logs", pod, "--timestamps"])?;
    let line = log.lines().find(|line| line.ends_with(said)).ok_or_else(|| format!("{pod} did not say it: {log}"))?;
    Ok(line.split_once(' ').ok_or("no time")?.0.to_owned())
}

#[test]
fn the_pods_of_a_host_that_goes_down_end_in_order_stay_down_under_any_daemon_and_run_again_when_it_stays_up() -> Result
{
    let mut host = Host::started("")?;
    host.apply("both", PODS)?;
    for pod in ["db", "web"] {
        host.ready(pod)?;
    }
    let said = host.barepod(&["host", "shutdown"])?;
    assert!(said.starts_with("waiting for default/db, default/web\n"), "{said}");
    assert!(said.ends_with("all pods have ended\n"), "{said}");
    assert!(when(&host, "web", "the client ends")? < when(&host, "db", "the database ends")?);

    host.kill_daemon()?;
    host.start()?;
    for pod in ["db", "web"] {
        let status = host.pod(pod)?["status"].clone();
        assert_eq!(status["reason"], "NodeShutdown", "{status}");
        assert_eq!(host.pid(pod), None);
    }
    assert_eq!(host.barepod(&["host", "shutdown"])?, "all pods have ended\n");

    assert_eq!(host.barepod(&["host", "shutdown", "--call-off"])?, "the host stays up\n");
    for pod in ["db", "web"] {
        let restarts = host.ready(pod)?["status"]["containerStatuses"][0]["restartCount"].clone();
        assert_eq!(restarts, 1, "{pod}");
    }
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_on_the_way_down_is_asked_again_by_whoever_waits() -> Result {
    let mut host = Host::started("")?;
    host.apply("both", PODS)?;
    for pod in ["db", "web"] {
        host.ready(pod)?;
    }
    let asker = host.command(&["host", "shutdown"])?.stdout(std::process::Stdio::piped()).spawn()?;
    host.said("the host goes down")?;
    host.kill_daemon()?;
    host.start()?;
    let said = asker.wait_with_output()?;
    let text = String::from_utf8(said.stdout)?;
    assert!(said.status.success() && text.ends_with("all pods have ended\n"), "{text}");
    assert!(when(&host, "web", "the client ends")? < when(&host, "db", "the database ends")?);
    Ok(())
}

#[test]
fn only_root_says_that_the_host_goes_down() -> Result {
    let host = Host::started(CONFIG)?;
    host.apply("both", PODS)?;
    host.ready("web")?;
    let mut command = std::process::Command::new(reachable(&host, "barepod")?);
    command.args(host.command(&["host", "shutdown"])?.get_args());
    let output = as_bridge(&mut command).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Forbidden") && said.contains("only root may"), "{said}");
    assert!(host.pid("web").is_some());
    Ok(())
}
