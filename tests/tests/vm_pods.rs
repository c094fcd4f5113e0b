//! cgroup v2, the production path, in the guest: the tests that the development machine passes on its hybrid hierarchy, and
//! the daemon as the systemd service that it is.

use std::time::{Duration, Instant};

use barepod_tests::guest::{Installed, Laid};
use barepod_tests::vm::{Outcome, Recipe, Vm};
use barepod_tests::{Tier, tier};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const EXAMPLE: &str = include_str!("../../examples/postgresql/pod.yaml");

/// Has a session open, and asks the database for something when it has long been asked to end.
const CLIENT: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: client
  annotations: {barepod.dev/depends-on: postgresql}
spec:
  containers:
  - name: main
    image: host
    command:
    - sh
    - -c
    - |
      psql() { PGPASSWORD=change-me command psql -h 127.0.0.1 -U postgres -XAt "$@"; }
      end() { sleep 3; psql -c "select 'the database is there until the end'"; exit 0; }
      trap end TERM
      { echo "set application_name = 'idler';"; while :; do sleep 1; done; } | psql &
      while :; do sleep 0.2; done
"#;

/// Where the daemon keeps its groups.
const BASE: &str = "/sys/fs/cgroup/barepod";

/// Test programs, by the file that they are made from, and which of their tests meet a control group of this kind, or another
/// kernel, another file system and AppArmor.
type Shared = [(&'static str, &'static [&'static str])];

/// Where the two kinds of control groups are told apart, and what a container may do of another kernel.
const CORE: &Shared = &[
    ("agent/linux/src/lib.rs", &["as_root"]),
    ("agent/shim/tests/lifecycle.rs", &["--skip=a_kill_for_memory_is_told_on_v1"]),
    ("tests/tests/oom.rs", &[]),
    ("tests/tests/resources.rs", &[]),
];

/// What stands on it.
const BEYOND: &Shared = &[
    ("agent/shim/tests/exec.rs", &[]),
    ("agent/shim/tests/notify.rs", &[]),
    // That PostgreSQL outlives the daemon is shown below, under systemd.
    ("tests/tests/postgresql.rs", &["postgresql_runs"]),
    ("tests/tests/kill.rs", &["a_daemon_killed_at_random"]),
    ("tests/tests/security.rs", &[]),
    ("tests/tests/hostile.rs", &["nobody_gets_out", "links_in_volumes", "on_its_way_into_a_pod"]),
];

/// Whoever takes what the host has, and says that it is worth less than others.
const GREEDY: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  priority: -10
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: host, command: [sh, -c, 'GREED']}
"#;

#[test]
fn what_holds_on_a_hybrid_host_holds_on_cgroup_v2() -> Result {
    let shared = match tier() {
        Tier::Everyday => CORE.to_vec(),
        Tier::All => [CORE, BEYOND].concat(),
    };
    let vm = Vm::boot(&Recipe::debian_12())?;
    let laid = Laid::out(&vm)?;
    let mut failed = Vec::new();
    for (file, filters) in shared {
        let begin = Instant::now();
        let output = laid.test(file, filters, Duration::from_secs(600))?;
        let text = format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr));
        let summary = text.lines().find(|line| line.starts_with("test result:")).unwrap_or("no result");
        println!("{text}\n{file}: {summary} ({:?} with the emulator)", begin.elapsed());
        // This guest can run all of them: a test that passes by not running would hide here.
        let all_ran = !summary.contains(" 0 passed") && !text.contains("skipped:") && !text.contains("SKIP:");
        if output.outcome != Outcome::Code(0) || !all_ran {
            failed.push(format!("--- {file} ended with {:?}\n{text}", output.outcome));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(vm.destroy()?)
}

#[test]
fn under_systemd_postgresql_outlives_the_daemon_and_is_limited_by_cgroup_v2() -> Result {
    let mut guest = Installed::into(Vm::boot(&Recipe::debian_12())?)?;
    guest.vm().check(["systemctl", "start", "barepod"])?;
    assert_eq!(guest.property("ActiveState")?, "active", "Type=notify: ready when systemctl returns");
    assert_eq!(guest.barepod(&["version"])?.lines().last(), Some("daemon: 0.1.0 (cgroup unified)"));
    assert_eq!(guest.apply(EXAMPLE)?, "pod/postgresql created");
    guest.ready("postgresql")?;

    the_limits_are_in_the_files_of_cgroup_v2(&guest)?;
    systemd_shows_a_pod_by_its_name(&guest)?;
    if tier() == Tier::All {
        a_preset_is_run_by_its_name_and_asked_at_the_host_s_usual_socket(&guest)?;
    }
    it_is_told_how_long_pods_wait(&guest)?;
    a_reload_takes_a_good_configuration_and_refuses_a_broken_one(&guest)?;
    what_happens_to_the_daemon_does_not_happen_to_postgresql(&guest)?;
    systemd_leaves_the_groups_alone(&guest)?;
    a_limit_is_changed_in_place(&guest)?;
    a_kill_for_memory_is_told_from_others(&guest)?;
    huge_pages_are_given_out_and_mounted(&guest)?;
    what_does_not_stop_is_killed_with_its_children(&guest)?;
    the_watchdog_is_fed_and_bites(&guest)?;
    the_journal_has_the_log_with_its_fields(&guest)?;
    if tier() == Tier::All {
        a_host_short_of_memory_or_pids_evicts_who_is_worth_less(&guest)?;
    }
    a_host_that_goes_down_ends_its_pods_in_order(&mut guest)?;

    for pod in ["glutton", "huge", "postgresql"] {
        guest.barepod(&["delete", pod])?;
    }
    assert_eq!(guest.shell(&format!("find {BASE} -mindepth 1 -type d"))?, "", "no group is left");
    Ok(guest.shutdown()?)
}

/// A file of the container's group of the PostgreSQL pod.
fn limit(guest: &Installed, file: &str) -> Result<String> {
    Ok(guest.shell(&format!("cat {BASE}/default_postgresql_*/postgresql/{file}"))?)
}

fn the_limits_are_in_the_files_of_cgroup_v2(guest: &Installed) -> Result {
    for (file, value) in [
        ("memory.max", "536870912"),
        ("memory.swap.max", "0"),
        // It would stall a database.
        ("memory.high", "max"),
        ("memory.oom.group", "0"),
        ("hugetlb.2MB.max", "0"),
        ("cpu.max", "100000 100000"),
        // 1024 shares in the scale of v2, as kubelet has it up to Kubernetes 1.34.
        ("cpu.weight", "100"),
        ("pids.max", "max"),
    ] {
        assert_eq!(limit(guest, file)?, value, "{file}");
    }
    let pid = guest.pid("postgresql").ok_or("no pid")?;
    let group = guest.shell(&format!("cat /proc/{pid}/cgroup"))?;
    assert!(group.starts_with("0::/barepod/default_postgresql_") && group.ends_with("/postgresql/0"), "{group}");
    let inside = guest.barepod(&["exec", "postgresql", "--", "cat", "/proc/self/cgroup"])?;
    assert_eq!(inside, "0::/", "the host's tree is not seen from inside");
    Ok(())
}

fn a_preset_is_run_by_its_name_and_asked_at_the_host_s_usual_socket(guest: &Installed) -> Result {
    let run = ["run", "postgresql", "--name", "small", "--memory", "256Mi", "--no-wait", "--", "-c", "port=5544"];
    guest.barepod(&run)?;
    guest.ready("small")?;
    // As the user whom PostgreSQL lets in there.
    let buffers = guest.shell(
        "setpriv --reuid=postgres --regid=postgres --clear-groups psql --port 5544 -XAtc 'show shared_buffers'",
    )?;
    assert_eq!(buffers, "64MB", "a quarter of its memory");
    let limits = guest.shell(&format!("cat {BASE}/default_small_*/memory.max {BASE}/default_small_*/*/memory.max"))?;
    assert_eq!(limits.lines().filter(|limit| *limit != "max").collect::<Vec<_>>(), ["268435456"]);
    guest.barepod(&["delete", "small"])?;
    Ok(())
}

fn it_is_told_how_long_pods_wait(guest: &Installed) -> Result {
    let table = guest.barepod(&["top", "--once"])?;
    let column = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let heading =
        table.lines().map(column).find(|line| line.iter().any(|word| word == "PSI-CPU")).ok_or("a heading")?;
    let row = table.lines().map(column).find(|line| line.iter().any(|word| word == "postgresql")).ok_or("a row")?;
    for name in ["PSI-CPU", "PSI-MEM", "PSI-IO"] {
        let at = heading.iter().position(|word| word == name).ok_or(name)?;
        let is_counted = row.get(at).is_some_and(|share| share.starts_with(|first: char| first.is_ascii_digit()));
        assert!(is_counted, "{name} in {table}");
    }
    Ok(())
}

/// There is no unit for a pod, so that these are told of it by its group's name.
fn systemd_shows_a_pod_by_its_name(guest: &Installed) -> Result {
    let tree = guest.shell("systemd-cgls --no-pager --full /barepod")?;
    let pid = guest.pid("postgresql").ok_or("no pid")?;
    assert!(tree.contains("default_postgresql_"), "{tree}");
    assert!(tree.lines().any(|line| line.contains(&format!("{pid} "))), "{pid} in {tree}");
    let top = guest.shell("COLUMNS=300 systemd-cgtop --batch --iterations=1 --depth=2")?;
    assert!(top.contains("barepod/default_postgresql_"), "{top}");
    Ok(())
}

fn what_happens_to_the_daemon_does_not_happen_to_postgresql(guest: &Installed) -> Result {
    let postmaster = guest.pid("postgresql").ok_or("no pid")?;
    let same = |what: &str| {
        let wanted = format!("the same postmaster after {what}");
        guest.until(wanted, |guest| guest.pid("postgresql").filter(|pid| *pid == postmaster))
    };
    guest.vm().check(["systemctl", "restart", "barepod"])?;
    same("restart")?;
    guest.vm().check(["systemctl", "stop", "barepod"])?;
    guest.shell(&format!("kill -0 {postmaster}"))?;
    guest.vm().check(["systemctl", "start", "barepod"])?;
    same("stop and start")?;
    guest.shell(&format!("kill -9 {}", guest.property("MainPID")?))?;
    guest.until("systemd to start another", |guest| (guest.property("NRestarts").ok()? == "1").then_some(()))?;
    same("kill -9")?;
    let pod = guest.ready("postgresql")?;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    Ok(())
}

/// The base is beside systemd's slices, not below a unit: what systemd realises anew must not take limits away. It cannot
/// take a controller from the root that the base has handed down (EBUSY).
fn systemd_leaves_the_groups_alone(guest: &Installed) -> Result {
    let before = guest.shell(&format!("cat /sys/fs/cgroup/cgroup.subtree_control; find {BASE} -type d | sort"))?;
    guest.shell(
        "systemctl daemon-reload
         systemctl set-property --runtime systemd-journald.service CPUWeight=50 IOWeight=50 MemoryMax=500M
         systemctl set-property --runtime systemd-journald.service CPUWeight= IOWeight= MemoryMax=
         systemctl restart systemd-journald
         systemctl daemon-reexec",
    )?;
    let after = guest.shell(&format!("cat /sys/fs/cgroup/cgroup.subtree_control; find {BASE} -type d | sort"))?;
    assert_eq!(after, before);
    for controller in ["cpu", "memory", "pids"] {
        assert!(before.lines().next().is_some_and(|line| line.contains(controller)), "{before}");
    }
    assert_eq!(limit(guest, "memory.max")?, "536870912");
    Ok(())
}

fn a_limit_is_changed_in_place(guest: &Installed) -> Result {
    let postmaster = guest.pid("postgresql");
    assert!(EXAMPLE.contains("memory: 512Mi"), "the example has changed: mend this test");
    guest.apply(&EXAMPLE.replace("memory: 512Mi", "memory: 384Mi"))?;
    guest.until("the lower limit", |guest| (limit(guest, "memory.max").ok()? == "402653184").then_some(()))?;
    assert_eq!(guest.pid("postgresql"), postmaster);
    Ok(())
}

fn a_kill_for_memory_is_told_from_others(guest: &Installed) -> Result {
    guest.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: glutton}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: host, command: [tail, /dev/zero], resources: {limits: {memory: 32Mi}}}
",
    )?;
    let ended = guest.until("the glutton to be killed", |guest| {
        let state = guest.pod("glutton").ok()?["status"]["containerStatuses"][0]["state"]["terminated"].clone();
        state.is_object().then_some(state)
    })?;
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&"OOMKilled".into(), &137.into()), "{ended}");
    Ok(())
}

/// The guest has none until it is told to keep some.
fn huge_pages_are_given_out_and_mounted(guest: &Installed) -> Result {
    let manifest = "apiVersion: v1
kind: Pod
metadata: {name: huge}
spec:
  containers:
  - name: main
    image: host
    command: [sh, -c, 'stat --file-system --format %T:%s /huge; trap \"exit 0\" TERM; sleep 1000000 & wait']
    resources: {limits: {memory: 32Mi, hugepages-2Mi: 4Mi}}
    volumeMounts: [{name: huge, mountPath: /huge}]
  volumes:
  - {name: huge, emptyDir: {medium: HugePages}}
";
    guest.apply(manifest)?;
    let shown = guest.until("the pod to wait for pages", |guest| {
        let status = guest.pod("huge").ok()?["status"].clone();
        (status["reason"] == "OutOfhugepages-2Mi").then_some(status)
    })?;
    assert_eq!(
        shown["message"],
        "Node didn't have enough resource: hugepages-2Mi, requested: 4194304, used: 0, capacity: 0"
    );
    guest.shell("echo 8 > /proc/sys/vm/nr_hugepages; systemctl restart barepod")?;
    guest.ready("huge")?;
    assert_eq!(guest.shell(&format!("cat {BASE}/default_huge_*/main/hugetlb.2MB.max"))?, "4194304");
    let log = guest
        .until("the volume's kind", |guest| guest.barepod(&["logs", "huge"]).ok().filter(|log| log.contains(':')))?;
    assert_eq!(log.trim(), "hugetlbfs:2097152");
    Ok(())
}

fn what_does_not_stop_is_killed_with_its_children(guest: &Installed) -> Result {
    guest.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: host, command: [sh, -c, 'trap \"\" TERM; setsid sleep 98765 & sleep 98765 & wait; wait']}
",
    )?;
    let count = |guest: &Installed| guest.shell("pgrep --count --full '^sleep 98765' || true").ok();
    guest.until("two sleepers", |guest| (count(guest)? == "2").then_some(()))?;

    guest.barepod(&["delete", "stubborn"])?;

    assert_eq!(count(guest).as_deref(), Some("0"), "cgroup.kill takes those, too, that left the session");
    Ok(())
}

fn a_reload_takes_a_good_configuration_and_refuses_a_broken_one(guest: &Installed) -> Result {
    const FILE: &str = "/etc/barepod/barepod.yaml";
    let (daemon, kept) = (guest.property("MainPID")?, guest.vm().get(FILE)?);
    let with = |line: &str| [&kept, format!("\n{line}\n").as_bytes()].concat();

    guest.vm().put(FILE, with("containerLogMaxFiles: many"), 0o644)?;
    let refused = guest.vm().run(["systemctl", "reload", "barepod"])?;
    let said = guest.shell("journalctl --unit=barepod --no-pager --lines=20")?;
    assert_eq!(refused.outcome, Outcome::Code(1), "{said}");
    assert!(said.contains(&format!("{FILE}:")) && said.contains("a whole number is expected"), "{said}");
    assert!(!guest.barepod(&["config", "view"])?.contains("many"));

    guest.vm().put(FILE, with("containerLogMaxFiles: 3"), 0o644)?;
    guest.vm().check(["systemctl", "reload", "barepod"])?;
    guest.until("the new setting", |guest| {
        guest.barepod(&["config", "view"]).ok()?.contains("containerLogMaxFiles: 3").then_some(())
    })?;
    assert_eq!(guest.property("MainPID")?, daemon, "it is the same daemon");
    guest.vm().put(FILE, kept, 0o644)?;
    guest.vm().check(["systemctl", "reload", "barepod"])?;
    Ok(())
}

/// On a machine that others share this cannot be tried: what is left there is theirs to decide.
fn a_host_short_of_memory_or_pids_evicts_who_is_worth_less(guest: &Installed) -> Result {
    const FILE: &str = "/etc/barepod/barepod.yaml";
    let (kept, postmaster) = (guest.vm().get(FILE)?, guest.pid("postgresql"));
    let evicts = |signal: &str, greed: &str| -> Result {
        let line = format!("\nresources: {{evictionHard: {{{signal}}}, evictionPressureTransitionPeriod: 0s}}\n");
        guest.vm().put(FILE, [&kept[..], line.as_bytes()].concat(), 0o644)?;
        guest.vm().check(["systemctl", "reload", "barepod"])?;
        guest.apply(&GREEDY.replace("GREED", greed))?;
        let status = guest.until(format!("the greedy pod to go for {signal}"), |guest| {
            let status = guest.pod("greedy").ok()?["status"].clone();
            (status["phase"] == "Failed").then_some(status)
        })?;
        assert_eq!(status["reason"], "Evicted", "{status}");
        let resource = signal.split('.').next().unwrap_or_default();
        assert!(status["message"].to_string().contains(resource), "{status}");
        assert_eq!(guest.pid("postgresql"), postmaster);
        guest.barepod(&["delete", "greedy"])?;
        Ok(())
    };
    let available: u64 = guest.shell("awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo")?.parse()?;
    let all_but = available - 120;
    evicts("memory.available: 200Mi", &format!("head -c {all_but}m /dev/zero | tail -c {all_but}m | sleep 1000000"))?;

    let threads: u64 = guest.shell("cut -d ' ' -f 4 /proc/loadavg | cut -d / -f 2")?.parse()?;
    let before = guest.shell("cat /proc/sys/kernel/pid_max")?;
    // The first 300 are given out once only, so that these are gone.
    guest.shell(&format!("echo {} >/proc/sys/kernel/pid_max", threads + 300 + 400))?;
    evicts("pid.available: 500", "for n in $(seq 250); do sleep 1000000 & done; wait")?;
    guest.shell(&format!("echo {before} >/proc/sys/kernel/pid_max"))?;

    guest.vm().put(FILE, kept, 0o644)?;
    guest.vm().check(["systemctl", "reload", "barepod"])?;
    Ok(())
}

fn the_watchdog_is_fed_and_bites(guest: &Installed) -> Result {
    let postmaster = guest.pid("postgresql");
    let drop_in = "[Service]\nWatchdogSec=12\n";
    guest.vm().put("/run/systemd/system/barepod.service.d/soon.conf", drop_in, 0o644)?;
    guest.shell("systemctl daemon-reload; systemctl restart barepod")?;
    let fed = guest.property("WatchdogTimestampMonotonic")?;
    guest.until("the watchdog to be fed", |guest| {
        guest.property("WatchdogTimestampMonotonic").ok().filter(|now| *now != fed)
    })?;
    assert_eq!(guest.property("NRestarts")?, "0");

    // It hangs, as a daemon in an endless loop would.
    guest.shell(&format!("kill -STOP {}", guest.property("MainPID")?))?;

    guest.until("systemd to start another", |guest| (guest.property("NRestarts").ok()? == "1").then_some(()))?;
    guest.until("the same postmaster", |guest| (guest.pid("postgresql") == postmaster).then_some(()))?;
    Ok(())
}

fn the_journal_has_the_log_with_its_fields(guest: &Installed) -> Result {
    let journal =
        guest.shell("journalctl --unit=barepod --output=json --no-pager F_POD=postgresql F_REASON=Resized")?;
    let entry: serde_json::Value = serde_json::from_str(journal.lines().last().ok_or("no such entry")?)?;
    // tracing's "info" is the journal's "notice".
    for (field, value) in [("F_NAMESPACE", "default"), ("SYSLOG_IDENTIFIER", "barepodd"), ("PRIORITY", "5")] {
        assert_eq!(entry[field], value, "{entry}");
    }
    Ok(())
}

/// systemd sends SIGTERM to whatever is left when all units are stopped, waits for at most 90 s, and kills: PostgreSQL takes
/// it for a smart shutdown, and its shim ends with it.
/// Others would have PostgreSQL wait for the idle session until it is killed. A pod that depends on it, and takes its time, ends
/// before it.
fn a_host_that_goes_down_ends_its_pods_in_order(guest: &mut Installed) -> Result {
    guest.vm().check(["systemctl", "enable", "--now", "barepod", "barepod-shutdown"])?;
    let sql = |sql: &str| guest.barepod(&["exec", "postgresql", "--", "psql", "-X", "-U", "postgres", "-Atc", sql]);
    sql("create table t (n int)")?;
    guest.apply(CLIENT)?;
    guest.ready("client")?;
    guest.until("its session", |_| {
        let sessions = sql("select count(*) from pg_stat_activity where application_name = 'idler'").ok()?;
        (sessions == "1").then_some(())
    })?;
    let begin = Instant::now();

    guest.reboot()?;

    let down = begin.elapsed().saturating_sub(guest.vm().booted_in());
    assert!(down < Duration::from_secs(75), "it took {down:?} to go down: something was waited for in vain");
    guest.ready("client")?;
    let before = guest.barepod(&["logs", "postgresql", "--previous"])?;
    assert!(before.contains("received fast shutdown request"), "{before}");
    assert!(before.ends_with("database system is shut down"), "{before}");
    let now = guest.barepod(&["logs", "postgresql"])?;
    assert!(now.contains("database system was shut down at"), "{now}");
    let client = guest.barepod(&["logs", "client", "--previous"])?;
    assert!(client.ends_with("the database is there until the end"), "{client}");
    for pod in ["client", "postgresql"] {
        let status = &guest.pod(pod)?["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 1, "{status}");
    }
    guest.barepod(&["delete", "client"])?;
    Ok(())
}
