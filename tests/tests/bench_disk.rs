//! `barepod bench disk`: what it measures, what it refuses, and that it leaves nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use barepod_tests::host::{Host, SOON, signal};
use barepod_tests::pods;
use barepod_tests::process::Owned;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A host, and a directory of it to be measured.
fn host() -> Result<(Host, PathBuf)> {
    let host = Host::started("")?;
    let directory = host.path("disk");
    std::fs::create_dir(&directory)?;
    Ok((host, directory))
}

/// No file, no pod, no process of a measurement.
fn assert_nothing_is_left(host: &Host, directory: &Path) -> Result {
    let names = |path: &Path| -> Result<Vec<_>> {
        Ok(std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<std::io::Result<_>>()?)
    };
    assert!(names(directory)?.is_empty(), "{:?}", names(directory)?);
    assert!(names(&host.path("etc/barepod/manifests"))?.is_empty());
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "");
    let ours = directory.display().to_string();
    assert_eq!(running(&ours), Vec::<String>::new());
    Ok(())
}

/// Command lines of processes that have this in them.
fn running(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word)).collect()
}

#[test]
fn a_disk_is_measured_in_all_arms_a_pod_s_is_the_host_s_own_and_nothing_is_left() -> Result {
    let (host, directory) = host()?;
    let (disk, plot) = (directory.display().to_string(), host.path("plot.svg").display().to_string());
    let small = ["--rounds", "1", "--runtime", "1", "--size", "1Mi", "-o", "json", "--plot"];
    let args = [&["bench", "disk", &disk][..], &small, &[&plot]].concat();
    let report: Value = serde_json::from_str(&host.barepod(&args)?)?;

    let place = |arm: &str| -> Result<Value> {
        let arms = report["arms"].as_array().ok_or("no arms")?;
        let found = arms.iter().find(|present| present["arm"] == arm).ok_or_else(|| format!("{arm}: {report:#}"))?;
        Ok(found["place"].clone())
    };
    let bare = place("process")?;
    assert_eq!(place("barepod")?, bare, "device, file system and source are those outside");
    assert_eq!(place("bind-mount")?, bare);
    for arm in ["overlay", "copy-up"] {
        let place = place(arm)?;
        assert_eq!(place["fileSystem"], "overlay", "what has an overlay says so");
        assert_ne!(place["device"], bare["device"]);
    }
    let all = ["process", "barepod", "bind-mount", "overlay"];
    let with_image = ["process", "barepod", "bind-mount", "overlay", "copy-up"];
    for (measure, arms) in
        [("log", &all[..]), ("log-sync-p99", &all), ("heap", &all), ("first-write", &with_image), ("postgresql", &all)]
    {
        let measures = report["measures"].as_array().ok_or("no measures")?;
        let found = measures.iter().find(|found| found["name"] == measure).ok_or(measure)?["arms"].as_array();
        let found = found.ok_or("no arms")?;
        assert_eq!(found.iter().filter_map(|arm| arm["arm"].as_str()).collect::<Vec<_>>(), arms, "{measure}");
        assert!(found.iter().all(|arm| arm["samples"][0].as_f64().is_some_and(|figure| figure > 0.0)), "{found:?}");
    }
    assert_eq!(report["leftOut"], json!([]));
    assert!(std::fs::read_to_string(plot)?.starts_with("<svg "));
    assert_nothing_is_left(&host, &directory)
}

#[test]
fn a_volume_of_a_pod_is_the_same_device_and_file_system_inside_as_outside() -> Result {
    let (host, directory) = host()?;
    let mut pod = pods::idle("db");
    pod["spec"]["volumes"] = json!([
        {"name": "host-path", "hostPath": {"path": directory, "type": "Directory"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "db-data"}},
        {"name": "empty", "emptyDir": {}},
    ]);
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    pod["spec"]["containers"][0]["volumeMounts"] = json!([mount("host-path"), mount("claim"), mount("empty")]);
    host.apply_object(&pod)?;
    host.ready("db")?;

    let outside = |path: &Path| -> Result<String> {
        let look = ["-c", "stat -c %d \"$0\"; findmnt -n -o FSTYPE,SOURCE -T \"$0\""];
        let said = std::process::Command::new("sh").args(look).arg(path).output()?.stdout;
        Ok(String::from_utf8(said)?.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for (inside, path) in
        [("/host-path", directory.clone()), ("/claim", host.path("var/lib/barepod/volumes/default/db-data"))]
    {
        // The kernel's own table, for findmnt shows the source of a bind mount with its directory.
        let script = format!(
            "stat -c %d {inside}; while read -r line; do case $line in *' {inside} '*) echo \"${{line#* - }}\";; esac; done </proc/self/mountinfo"
        );
        let said = host.asked("db", "main", &script)?;
        let seen = said.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert_eq!(seen, outside(&path)?, "{inside}");
    }
    let kind = host.asked("db", "main", "stat -c %d /empty")?;
    let device = std::os::unix::fs::MetadataExt::dev(&host.path("var/lib/barepod").metadata()?);
    assert_eq!(kind, device.to_string(), "and an emptyDir lies on the disk of barepod's own directory");
    Ok(())
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason_and_what_to_do() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    let directory = host.path("disk");
    std::fs::create_dir(&directory)?;
    let disk = directory.display().to_string();
    let closed = host.path("closed");
    std::fs::create_dir(&closed)?;
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let (closed, file) = (closed.display().to_string(), host.path("barepodd.log").display().to_string());
    let said = |host: &Host, args: &[&str]| -> Result<String> {
        let output = host.run(&[&["bench", "disk"], args].concat())?;
        let said = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {said}");
        Ok(said)
    };
    for (args, expected) in [
        (&["/no/such/directory"][..], "make the directory first"),
        (&[&file], "is no directory"),
        (&[&closed], "chmod o+x"),
        (&[&disk, "--size", "1Pi"], "give a smaller --size"),
        (&[&disk, "--size", "1Ki"], "write 1Mi or more"),
        (&[&disk, "--rounds", "0"], "1..=10000"),
        (&[&disk, "--only", "tables"], "first-write"),
    ] {
        let said = said(&host, args)?;
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let denied = said(&host, &[&disk, "--only", "log", "--rounds", "1", "--runtime", "1", "--size", "1Mi"])?;
    assert!(
        denied.contains("was denied") && denied.contains(&format!("hostPaths: [{{pathPrefix: {disk}}}]")),
        "{denied}"
    );
    assert_nothing_is_left(&host, &directory)?;
    host.stop_daemon()?;
    assert!(said(&host, &[&disk])?.contains("barepodd"));
    assert_eq!(std::fs::read_dir(&directory)?.count(), 0);
    Ok(())
}

#[test]
fn ctrl_c_leaves_no_file_no_pod_and_no_process() -> Result {
    let (host, directory) = host()?;
    let disk = directory.display().to_string();
    let begin = || -> Result<Owned> {
        let args =
            ["bench", "disk", &disk, "--only", "postgresql", "--rounds", "1000", "--runtime", "2", "--size", "1Mi"];
        let mut command = host.command(&args)?;
        let said = std::fs::File::create(host.path("said"))?;
        Ok(Owned::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said))?)
    };
    let measures = || std::fs::read_to_string(host.path("said")).is_ok_and(|said| said.contains("round 1 of"));
    let bare_server = format!("{disk}/barepod-bench-");
    let is_bare = || running(&bare_server).iter().any(|line| line.contains("/postgres -D"));
    let is_pod = |host: &Host| host.barepod(&["get", "pods", "-o", "name"]).is_ok_and(|names| !names.is_empty());
    // In the middle of each: what the database is a child of, and what the daemon runs.
    for (what, is_there) in [("a bare server", &(|_: &Host| is_bare()) as &dyn Fn(&Host) -> bool), ("a pod", &is_pod)] {
        let mut bench = begin()?;
        host.until(what, SOON, |host| (measures() && is_there(host)).then_some(()))?;
        signal(bench.id(), "INT")?;
        let status = bench.wait("barepod bench", SOON)?;
        assert_eq!(status.code(), Some(1), "{what}");
        let said = std::fs::read_to_string(host.path("said"))?;
        assert!(said.contains("nothing is left behind"), "{said}");
        host.until("the end of all processes", SOON, |_| running(&bare_server).is_empty().then_some(()))?;
        assert_nothing_is_left(&host, &directory)?;
    }
    Ok(())
}
