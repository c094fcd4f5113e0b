//! A real PostgreSQL, from its manifest to its clean end.

use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, HostError, SOON, alive, is_ready, signal};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const EXAMPLE: &str = include_str!("../../examples/postgresql/pod.yaml");

/// The example, on a port of its own.
fn manifest() -> Result<String> {
    let port = barepod_tests::free_port()?;
    let plain = "image: postgres:15\n";
    assert!(EXAMPLE.contains(plain), "the example has changed: mend this test");
    Ok(EXAMPLE.replace(plain, &format!("{plain}      args: [\"-c\", \"port={port}\"]\n")))
}

fn sql(host: &Host, statement: &str) -> std::result::Result<String, HostError> {
    let shell = format!(
        "psql -X -A -t -v ON_ERROR_STOP=1 -p $(sed -n 4p $PGDATA/postmaster.pid) -U postgres -c \"{statement}\""
    );
    let args = ["exec", "postgresql", "--", "sh", "-c", &shell];
    Ok(host.barepod(&args)?.trim().to_owned())
}

#[test]
fn postgresql_runs_heals_logs_is_limited_and_stops_cleanly() -> Result {
    let host = Host::started("")?;
    assert_eq!(host.apply("pod", &manifest()?)?, "pod/postgresql created\n");
    host.ready("postgresql")?;
    sql(&host, "create table t (n int); insert into t select generate_series(1, 1000)")?;
    assert_eq!(sql(&host, "show data_checksums")?, "on");

    heals(&host)?;
    limits(&host)?;
    stops(&host)
}

fn heals(host: &Host) -> Result {
    let before = host.pid("postgresql").ok_or("no pid")?;
    signal(before, "KILL")?;
    host.until("another postmaster", SOON, |host| host.pid("postgresql").filter(|now| *now != before))?;
    let pod = host.ready("postgresql")?;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["lastState"]["terminated"]["signal"], 9);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(sql(host, "select count(*) from t")?, "1000");
    let previous = host.barepod(&["logs", "postgresql", "--previous"])?;
    assert!(previous.contains("database system is ready to accept connections"), "{previous}");
    let current = host.barepod(&["logs", "postgresql"])?;
    assert!(current.contains("database system was not properly shut down"), "{current}");
    Ok(())
}

fn limits(host: &Host) -> Result {
    let pid = host.pid("postgresql");
    let file = host.path("etc/barepod/manifests/default_postgresql.yaml");
    let text = std::fs::read_to_string(&file)?;
    assert!(text.contains("memory: 512Mi"), "the example has changed: mend this test");
    assert_eq!(host.apply("pod", &text.replace("memory: 512Mi", "memory: 384Mi"))?, "pod/postgresql configured\n");
    let limit = memory_limit_file(host).ok_or("no memory limit in any cgroup")?;
    let wanted = (384_u64 << 20).to_string();
    host.until("the lower limit in the cgroup's own file", SOON, |_| {
        (std::fs::read_to_string(&limit).ok()?.trim() == wanted).then_some(())
    })?;
    assert_eq!(host.pid("postgresql"), pid, "a limit is changed in place");
    Ok(())
}

/// The file of the container's limit, in either version of cgroups.
fn memory_limit_file(host: &Host) -> Option<PathBuf> {
    let base = host.cgroup_of("memory");
    let pod = std::fs::read_dir(&base).ok()?.flatten().map(|e| e.path()).find(|p| p.join("postgresql").is_dir())?;
    ["memory.limit_in_bytes", "memory.max"]
        .map(|name| pod.join("postgresql").join(name))
        .into_iter()
        .find(|f| f.exists())
}

fn stops(host: &Host) -> Result {
    let pid = host.pid("postgresql").ok_or("no pid")?;
    let log = log_file(&host.path("var/log/barepod/pods")).ok_or("no log")?;
    host.barepod(&["delete", "postgresql"])?;
    assert!(!alive(pid));
    let text = std::fs::read_to_string(log)?;
    assert!(text.contains("received fast shutdown request"), "{text}");
    assert!(text.contains("database system is shut down"), "{text}");
    assert!(!host.path("etc/barepod/manifests/default_postgresql.yaml").exists());
    assert_eq!(std::fs::read_dir(host.path("var/lib/barepod/ledger"))?.count(), 0, "the ledger forgets");
    Ok(())
}

/// The newest log of the only container there is.
fn log_file(directory: &Path) -> Option<PathBuf> {
    let child = |at: &Path| std::fs::read_dir(at).ok()?.flatten().map(|e| e.path()).max();
    child(&child(&child(directory)?)?)
}

#[test]
fn the_daemon_s_death_does_not_touch_postgresql() -> Result {
    let mut host = Host::started("")?;
    host.apply("pod", &manifest()?)?;
    host.ready("postgresql")?;
    let pid = host.pid("postgresql");
    for _ in 0..3 {
        host.kill_daemon()?;
        host.start()?;
        host.ready("postgresql")?;
        assert_eq!(host.pid("postgresql"), pid);
    }
    assert_eq!(host.pod("postgresql")?["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(sql(&host, "select 1")?, "1");
    Ok(())
}

/// What the service says of itself, as a condition of its pod.
fn said(host: &Host) -> Option<serde_json::Value> {
    let pod = host.pod("postgresql").ok()?;
    let all = pod["status"]["conditions"].as_array()?;
    all.iter().find(|condition| condition["type"].as_str().is_some_and(|kind| kind.starts_with("notify."))).cloned()
}

#[test]
fn postgresql_says_itself_when_it_takes_connections_and_when_it_is_on_its_way_out() -> Result {
    let host = Host::started("")?;
    host.apply("pod", &manifest()?)?;
    host.ready("postgresql")?;
    assert_eq!(said(&host).ok_or("it speaks")?["reason"], "Ready");
    let pid = host.pid("postgresql").ok_or("no pid")?;
    let shell = "exec psql -X -p $(sed -n 4p $PGDATA/postmaster.pid) -U postgres -c 'select pg_sleep(600)'";
    let mut session = host.command(&["exec", "postgresql", "--", "sh", "-c", shell])?.spawn()?;
    host.until("a session", SOON, |host| {
        let sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
        (sql(host, sleeping).ok()? == "1").then_some(())
    })?;
    // The smart shutdown waits for the session.
    signal(pid, "TERM")?;
    host.until("STOPPING=1 to be shown", SOON, |host| (said(host)?["reason"] == "Stopping").then_some(()))?;
    host.until("the pod not to be ready", SOON, |host| (!is_ready(&host.pod("postgresql").ok()?)).then_some(()))?;
    assert!(alive(pid), "nobody hurries it");
    signal(pid, "INT")?;
    host.until("another postmaster", SOON, |host| host.pid("postgresql").filter(|now| *now != pid))?;
    let pod = host.ready("postgresql")?;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"], "Completed");
    session.wait()?;
    Ok(())
}

#[test]
fn a_postgresql_that_is_not_listened_to_is_asked() -> Result {
    let host = Host::started("")?;
    let named = "  name: postgresql\n";
    let text = manifest()?;
    assert!(text.contains(named), "the example has changed: mend this test");
    let container = text.split("- name: ").nth(1).and_then(|rest| rest.lines().next()).ok_or("a container")?;
    let off = format!("{named}  annotations: {{notify.barepod.dev/{container}: \"off\"}}\n");
    host.apply("pod", &text.replacen(named, &off, 1))?;
    host.ready("postgresql")?;
    assert_eq!(said(&host), None);
    Ok(())
}
