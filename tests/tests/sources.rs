//! The manifests directory: what is written into it runs, what is taken out of it ends, and what is merely not to be seen
//! runs on.

use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::mounts::Tmpfs;
use barepod_tests::pods;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn directory(host: &Host) -> PathBuf {
    host.path("etc/barepod/manifests")
}

/// As an administrator writes a file, pod name and file name being the same.
fn write(host: &Host, name: &str) -> Result {
    std::fs::write(directory(host).join(format!("{name}.yaml")), pods::idle(name).to_string())?;
    Ok(())
}

/// Two pods from files written by hand, with their pids.
fn two(host: &Host) -> Result<[(&'static str, u32); 2]> {
    write(host, "one")?;
    write(host, "two")?;
    Ok([("one", host.running("one")?), ("two", host.running("two")?)])
}

fn run_on(host: &Host, pods: &[(&str, u32)]) -> Result {
    for (name, pid) in pods {
        assert!(alive(*pid), "{name}");
        assert_eq!(host.pid(name), Some(*pid), "{name}");
    }
    Ok(())
}

/// They are shown as orphans and run on; `mend` cures them, with the same processes.
fn orphaned_until(host: &Host, pods: &[(&str, u32)], mend: impl FnOnce() -> Result) -> Result {
    for (name, _) in pods {
        let pod = host.reason(name, "Orphaned")?;
        assert_eq!(pod["status"]["phase"], "Running");
    }
    assert!(host.barepod(&["describe", pods[0].0])?.contains("Orphaned"));
    run_on(host, pods)?;
    mend()?;
    for (name, _) in pods {
        host.until(format!("{name} to be cured"), SOON, |host| {
            host.pod(name).ok()?["status"]["reason"].is_null().then_some(())
        })?;
    }
    run_on(host, pods)
}

#[test]
fn a_file_added_runs_edited_changes_removed_ends() -> Result {
    let host = Host::started("")?;
    write(&host, "one")?;
    let first = host.running("one")?;

    let edited = pods::shell("one", &format!("echo edited; {}", pods::IDLE)).to_string();
    std::fs::write(directory(&host).join("one.yaml"), edited)?;
    host.until("another process", SOON, |host| host.pid("one").filter(|pid| *pid != first))?;
    host.until("its words", SOON, |host| (host.barepod(&["logs", "one"]).ok()? == "edited\n").then_some(()))?;

    std::fs::remove_file(directory(&host).join("one.yaml"))?;
    host.gone("one")?;
    assert!(!alive(first));
    Ok(())
}

#[test]
fn a_file_edited_into_rubbish_changes_nothing_and_is_told_with_its_line() -> Result {
    let host = Host::started("")?;
    let [one, _] = two(&host)?;
    let file = directory(&host).join("one.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: Pod\nmetadata: {name: one}\nspec:\n  containerz: []\n")?;
    host.said("5:3: spec.containerz")?;
    run_on(&host, &[one])?;
    assert!(host.pod("one")?["status"]["reason"].is_null(), "its file is there");
    write(&host, "one")?;
    run_on(&host, &[one])
}

#[test]
fn the_directory_taken_away_and_brought_back_is_no_deletion() -> Result {
    let host = Host::started("")?;
    let pods = two(&host)?;
    let (here, away) = (directory(&host), host.path("away"));
    std::fs::rename(&here, &away)?;
    orphaned_until(&host, &pods, || Ok(std::fs::rename(&away, &here)?))
}

#[test]
fn another_directory_in_its_place_is_no_deletion() -> Result {
    let host = Host::started("")?;
    write(&host, "one")?;
    let pod = ("one", host.running("one")?);
    let (here, away) = (directory(&host), host.path("away"));
    std::fs::rename(&here, &away)?;
    std::fs::create_dir(&here)?;
    orphaned_until(&host, &[pod], || {
        std::fs::remove_dir(&here)?;
        Ok(std::fs::rename(&away, &here)?)
    })
}

#[test]
fn a_directory_that_cannot_be_read_is_no_deletion() -> Result {
    let host = Host::started("")?;
    let pods = two(&host)?;
    let (here, away) = (directory(&host), host.path("away"));
    std::fs::rename(&here, &away)?;
    // For root everything is readable but a link to itself.
    std::os::unix::fs::symlink(&here, &here)?;
    orphaned_until(&host, &pods, || {
        std::fs::remove_file(&here)?;
        Ok(std::fs::rename(&away, &here)?)
    })
}

#[test]
fn a_file_system_mounted_over_the_directory_is_no_deletion() -> Result {
    let host = Host::started("")?;
    let pods = two(&host)?;
    let over = Tmpfs::over(&directory(&host), 1 << 20)?;
    orphaned_until(&host, &pods, || {
        drop(over);
        Ok(())
    })
}

/// All files at one moment, as far as the daemon can see.
fn empty_at_once(host: &Host, directory: &Path) -> Result {
    let daemon = host.daemon_pid().ok_or("no daemon")?;
    signal(daemon, "STOP")?;
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(signal(daemon, "CONT")?)
}

#[test]
fn a_directory_emptied_at_once_is_no_deletion() -> Result {
    let host = Host::started("")?;
    let pods = two(&host)?;
    empty_at_once(&host, &directory(&host))?;
    orphaned_until(&host, &pods, || {
        write(&host, "one")?;
        write(&host, "two")
    })
}

#[test]
fn a_file_removed_while_no_daemon_ran_orphans_its_pod_until_an_operator_ends_it() -> Result {
    let mut host = Host::started("")?;
    let [one, two] = two(&host)?;
    host.kill_daemon()?;
    std::fs::remove_file(directory(&host).join("one.yaml"))?;
    host.start()?;
    host.reason("one", "Orphaned")?;
    run_on(&host, &[one, two])?;
    host.barepod(&["delete", "one"])?;
    assert!(!alive(one.1));
    run_on(&host, &[two])
}
