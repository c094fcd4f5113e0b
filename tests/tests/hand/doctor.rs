//! `barepod doctor`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barepod_tests::Scratch;
use barepod_tests::host::Host;
use serde_json::Value;

use crate::Result;

/// What the kernel and the distribution say on a host that databases do not like, and programs that say their version.
fn ill() -> Result<Scratch> {
    let scratch = Scratch::new()?;
    let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
    for (path, text) in [
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/sys/vm/overcommit_memory", "0\n"),
        ("proc/sys/vm/max_map_count", "65530\n"),
        ("proc/sys/vm/swappiness", "60\n"),
        ("proc/meminfo", "MemTotal: 16384 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n"),
        ("proc/self/limits", limits),
        ("proc/self/mountinfo", "1 0 8:1 / / ro,relatime shared:1 - xfs /dev/sda1 rw,attr2\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
    ] {
        put(&scratch.join(path), text, 0o644)?;
    }
    for (path, says) in [
        ("usr/bin/mongod", "db version v7.0.14"),
        ("usr/bin/redis-server", "Redis server v=7.0.15 sha=0"),
        ("opt/kafka_2.13-3.9.0/bin/kafka-server-start.sh", ""),
    ] {
        put(&scratch.join(path), &format!("#!/bin/sh\necho '{says}'\n"), 0o755)?;
    }
    Ok(scratch)
}

fn put(path: &Path, text: &str, mode: u32) -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

/// All files below a directory with their contents.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(tree(&path)?);
        } else {
            files.insert(path.clone(), std::fs::read(&path)?);
        }
    }
    Ok(files)
}

/// The finding of a preset about something.
fn finding<'a>(report: &'a Value, preset: &str, about: &str) -> Option<&'a Value> {
    let named = |of: &&Value| of["preset"].as_str().is_some_and(|name| name.starts_with(preset));
    let findings = report["presets"].as_array()?.iter().find(named)?["findings"].as_array()?;
    findings.iter().find(|finding| finding["about"] == about)
}

#[test]
fn what_presets_want_what_is_and_what_mends_it_is_told_and_nothing_is_changed() -> Result {
    let (host, ill) = (Host::new("")?, ill()?);
    let before = tree(ill.path())?;
    let root = ill.path().display().to_string();
    let doctor = ["doctor", "--host-root", &root, "--root", &root, "mongodb", "redis", "kafka"];
    let json = host.run(&[&doctor[..], &["-o", "json"]].concat())?;
    assert_eq!(json.status.code(), Some(1), "{}", String::from_utf8_lossy(&json.stderr));
    let report: Value = serde_json::from_slice(&json.stdout)?;
    for (preset, about, found, wants, command) in [
        (
            "mongodb 7.0",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "never",
            "- - - - never",
        ),
        ("mongodb 7.0", "vm.max_map_count", "65530", "at least 128000", "vm.max_map_count = 128000"),
        ("mongodb 7.0", "nofile", "4096", "at least 64000", "LimitNOFILE=1048576"),
        ("redis 7.0", "vm.overcommit_memory", "0", "1", "vm.overcommit_memory = 1"),
        (
            "redis 7.0",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "madvise or never",
            "madvise",
        ),
        ("kafka 3.9", "vm.max_map_count", "65530", "at least 262144", "vm.max_map_count = 262144"),
        ("kafka 3.9", "vm.swappiness", "60", "at most 10", "vm.swappiness = 1"),
    ] {
        let finding = finding(&report, preset, about).ok_or_else(|| format!("{preset}: {about}: {report:#}"))?;
        assert_eq!((&finding["level"], &finding["found"]), (&"warn".into(), &found.into()), "{finding:#}");
        assert_eq!(finding["wants"], wants, "{finding:#}");
        assert!(finding["command"].as_str().is_some_and(|text| text.contains(command)), "{finding:#}");
    }
    let text = host.run(&doctor)?;
    assert_eq!(text.status.code(), Some(1));
    let text = String::from_utf8(text.stdout)?;
    for line in [
        "ok    kernel                   6.1.0-18-amd64 (Debian GNU/Linux 12)",
        "warn  pressure (PSI)           not counted",
        "FAIL  disk",
        "      mend: mount -o remount,rw /",
        "warn  barepodd                 does not answer",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(tree(ill.path())?, before);
    Ok(())
}

#[test]
fn presets_of_one_host_that_cannot_both_have_their_way_are_told_so() -> Result {
    let (host, ill) = (Host::new("")?, ill()?);
    put(&ill.join("usr/bin/mongod"), "#!/bin/sh\necho 'db version v8.0.4'\n", 0o755)?;
    let root = ill.path().display().to_string();
    let torn = host.run(&["doctor", "--host-root", &root, "--root", &root, "mongodb", "redis", "-o", "json"])?;
    assert_eq!(torn.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&torn.stdout)?;
    let pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    let told = report["host"].as_array().into_iter().flatten().find(|finding| finding["about"] == pages);
    let told = told.ok_or_else(|| format!("{report:#}"))?;
    assert_eq!((&told["level"], &told["found"]), (&"warn".into(), &"[always] madvise never".into()));
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.contains("mongodb 8.0.4 wants always, redis 7.0.15 wants madvise or never"), "{message}");
    Ok(())
}

#[test]
fn the_pods_that_run_say_which_presets_are_in_use_and_their_daemon_how_many_files_they_may_open() -> Result {
    let mut host = Host::started("")?;
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: cache}\nspec: {containers: [{name: redis, image: redis, args: [--port, \"0\"]}]}\n";
    host.apply("cache", manifest)?;
    let root = host.path("").display().to_string();
    let report = |host: &Host| -> Result<Value> {
        Ok(serde_json::from_slice(&host.run(&["doctor", "--root", &root, "-o", "json"])?.stdout)?)
    };
    let expected = std::fs::read_to_string("/proc/sys/vm/overcommit_memory")?.trim().to_owned();
    let look = |report: &Value| -> Result<(Value, Value)> {
        let found = finding(report, "redis", "vm.overcommit_memory").ok_or_else(|| format!("{report:#}"))?;
        Ok((report["presets"][0]["pods"].clone(), found["found"].clone()))
    };
    let of = |list: &Value, about: &str| -> Option<String> {
        let finding = list.as_array()?.iter().find(|finding| finding["about"] == about)?;
        Some(finding["found"].as_str()?.to_owned())
    };
    let running = report(&host)?;
    assert_eq!(look(&running)?, (serde_json::json!(["default/cache"]), expected.clone().into()));
    assert!(of(&running["host"], "open files").is_some_and(|text| text.contains("barepodd's")), "{running:#}");
    assert_eq!(of(&running["host"], "barepodd").as_deref(), Some(&*format!("runs, {}", env!("CARGO_PKG_VERSION"))));
    // Without the daemon its manifests say the same.
    host.stop_daemon()?;
    let alone = report(&host)?;
    assert_eq!(look(&alone)?, (serde_json::json!(["default/cache"]), expected.into()));
    assert_eq!(of(&alone["host"], "barepodd").as_deref(), Some("does not answer"));
    Ok(())
}
