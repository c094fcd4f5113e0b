//! Programs and libraries that processes run on, and that the host has no more: a package was upgraded under them.
//!
//! A package manager puts the new file beside the old one and renames it into its place. Who has the old one mapped keeps it, without
//! a name: the kernel shows it as `(deleted)`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup::Hierarchy;

/// What the kernel puts behind a name that is gone.
const GONE: &str = " (deleted)";
/// What never was a file of a package, though it may hold code: shared memory, and what a compiler in the process writes.
const NO_FILES: [&str; 6] = ["/memfd:", "/dev/", "/SYSV", "/tmp/", "/var/tmp/", "/run/"];

/// A process and those that share its control group: a service of several processes, or a shell with its child. `proc` is procfs,
/// `cgroup` where control groups are mounted. A process that cannot be looked up is alone.
#[must_use]
pub fn companions(proc: &Path, cgroup: &Path, pid: u32) -> BTreeSet<u32> {
    let others = || {
        let groups = std::fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let mount = Hierarchy::detect(cgroup).ok()?.unified().to_owned();
        std::fs::read_to_string(mount.join(group).join("cgroup.procs")).ok()
    };
    let listed = others().unwrap_or_default();
    listed.lines().filter_map(|line| line.parse().ok()).chain([pid]).collect()
}

/// The files that a process executes code of and that are no more at their places.
///
/// # Errors
/// The process has gone, or is not ours to look at.
pub fn replaced(proc: &Path, pid: u32) -> io::Result<BTreeSet<PathBuf>> {
    let maps = std::fs::read(proc.join(pid.to_string()).join("maps"))?;
    Ok(String::from_utf8_lossy(&maps).lines().filter_map(gone).collect())
}

/// Of a line of `maps`: `address permissions offset device inode path`.
fn gone(line: &str) -> Option<PathBuf> {
    let permissions = line.split_ascii_whitespace().nth(1)?;
    let path = line.get(line.find(" /")? + 1..)?.strip_suffix(GONE)?;
    let is_code = permissions.contains('x') && !NO_FILES.iter().any(|place| path.starts_with(place));
    is_code.then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn code_whose_file_is_gone_is_told_from_data_and_from_what_never_was_a_file() {
        let maps = "\
55e0-55e4 r--p 00000000 fe:00 131 /usr/lib/postgresql/15/bin/postgres (deleted)
55e4-55f0 r-xp 00004000 fe:00 131 /usr/lib/postgresql/15/bin/postgres (deleted)
7f00-7f10 r-xp 00000000 fe:00 139 /usr/lib/x86_64-linux-gnu/libc.so.6
7f10-7f20 r-xp 00000000 fe:00 140 /opt/with a space/lib.so (deleted)
7f20-7f30 rw-s 00000000 00:01 4   /dev/zero (deleted)
7f30-7f40 r-xp 00000000 00:01 5   /memfd:jit (deleted)
7f40-7f50 r-xp 00000000 00:00 0   [vdso]
7f50-7f60 rwxp 00000000 00:00 0
";
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("7")).unwrap();
        std::fs::write(proc.path().join("7/maps"), maps).unwrap();

        let found = replaced(proc.path(), 7).unwrap();

        let wanted = ["/opt/with a space/lib.so", "/usr/lib/postgresql/15/bin/postgres"].map(PathBuf::from);
        assert_eq!(found, BTreeSet::from(wanted));
        assert!(replaced(proc.path(), 8).is_err(), "nobody knows about a process that has gone");
    }

    #[test]
    fn a_program_that_is_replaced_while_it_runs_is_seen() {
        // Not below /tmp, where packages have nothing.
        let own = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
        let (program, newer) = (directory.path().join("program"), directory.path().join("newer"));
        std::fs::copy("/bin/sleep", &program).unwrap();
        std::fs::copy("/bin/sleep", &newer).unwrap();
        let mut child = std::process::Command::new(&program).arg("1000").spawn().unwrap();
        let proc = Path::new("/proc");
        // A new process is there before its program is.
        let maps = proc.join(child.id().to_string()).join("maps");
        let is_mapped = |line: &str| line.contains(" r-xp ") && line.ends_with("/program");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !std::fs::read_to_string(&maps).unwrap().lines().any(is_mapped) {
            assert!(Instant::now() < deadline, "it never begins");
            std::thread::yield_now();
        }
        let before = replaced(proc, child.id());

        std::fs::rename(newer, &program).unwrap();

        let after = replaced(proc, child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(before.unwrap(), BTreeSet::new());
        assert_eq!(after.unwrap(), BTreeSet::from([program]));
    }

    #[test]
    fn all_processes_of_a_control_group_are_looked_at() {
        let host = tempfile::tempdir().unwrap();
        let (proc, cgroup) = (host.path().join("proc"), host.path().join("cgroup"));
        for directory in [proc.join("7"), cgroup.join("barepod/pod1/db/0")] {
            std::fs::create_dir_all(directory).unwrap();
        }
        std::fs::write(cgroup.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        std::fs::write(proc.join("7/cgroup"), "0::/barepod/pod1/db/0\n").unwrap();
        std::fs::write(cgroup.join("barepod/pod1/db/0/cgroup.procs"), "7\n9\n").unwrap();

        assert_eq!(companions(&proc, &cgroup, 7), BTreeSet::from([7, 9]));
        assert_eq!(companions(&proc, &cgroup, 8), BTreeSet::from([8]), "what is not known is alone");
    }
}
