//! Newer programs over running pods.

use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, Programs, SOON};
use barepod_tests::{logs, pods, programs};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Another file with the same program, as a package manager leaves it.
fn copy(program: &Path, to: PathBuf) -> Result<PathBuf> {
    std::fs::copy(program, &to)?;
    Ok(to)
}

fn executable(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

#[test]
fn a_daemon_replaced_by_another_file_takes_the_pods_over() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&pods::idle("one"))?;
    let (pid, shims) = (host.running("one")?, host.shims("one")?);
    let daemon = copy(&programs::host("barepodd")?, host.path("barepodd-next"))?;
    host.stop_daemon()?;
    host.set_programs(Programs { daemon: Some(daemon.clone()), ..Programs::default() });
    host.start()?;
    assert_eq!(host.daemon_pid().and_then(executable), Some(daemon));
    assert_eq!(host.running("one")?, pid);
    assert_eq!(host.shims("one")?, shims);
    Ok(())
}

/// Writes numbers for as long as it runs.
const COUNTER: &str = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i; done";

#[test]
fn a_shim_becomes_the_installed_binary_in_place_and_neither_process_nor_log_notices() -> Result {
    let mut host = Host::new("containerLogMaxSize: 100Mi\n")?;
    let shim = programs::musl("barepod-shim")?;
    let (old, new) = (copy(&shim, host.path("shim-1"))?, copy(&shim, host.path("shim-2"))?);
    host.set_programs(Programs { shim: Some(old.clone()), ..Programs::default() });
    host.start()?;
    host.apply_object(&pods::shell("one", COUNTER))?;
    let (pid, shims) = (host.running("one")?, host.shims("one")?);
    assert_eq!(executable(shims[0]), Some(old));

    host.kill_daemon()?;
    host.set_programs(Programs { shim: Some(new.clone()), ..Programs::default() });
    host.start()?;
    host.until("the other binary", SOON, |_| (executable(shims[0]).as_ref() == Some(&new)).then_some(()))?;
    assert_eq!(host.running("one")?, pid);
    assert_eq!(host.shims("one")?, shims, "the same process");
    // It is of use: it stops its container, and the exit code is that of its own child.
    host.barepod(&["restart", "one"])?;
    let status = host.container("one", "started again", |status| status["restartCount"] == 1)?;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 0, "{status}");
    for (index, line) in logs::lines(&host, "one", "main", 0)?.iter().enumerate() {
        assert_eq!(line.text, (index + 1).to_string());
    }
    Ok(())
}

#[test]
fn a_shim_that_cannot_become_the_installed_binary_stays_what_it_is() -> Result {
    let mut host = Host::new("")?;
    let old = copy(&programs::musl("barepod-shim")?, host.path("shim-1"))?;
    host.set_programs(Programs { shim: Some(old.clone()), ..Programs::default() });
    host.start()?;
    host.apply_object(&pods::idle("one"))?;
    let (pid, shims) = (host.running("one")?, host.shims("one")?);

    let broken = host.path("shim-2");
    std::fs::write(&broken, "no program")?;
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    host.kill_daemon()?;
    host.set_programs(Programs { shim: Some(broken), ..Programs::default() });
    host.start()?;
    host.said("the shim refused")?;
    assert_eq!(host.running("one")?, pid);
    assert_eq!(host.shims("one")?, shims);
    assert_eq!(executable(shims[0]), Some(old));
    host.barepod(&["delete", "one"])?;
    Ok(())
}
