//! When a shim that a daemon finds becomes the shim's binary as it is installed now: after an upgrade, in place. Process,
//! log and connection stay (see agent/decisions/0004-shims-follow-the-installed-binary.md).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use barepod_shim::wire::Welcome;

/// Whether the shim runs another file than `installed`, and is not newer than a daemon of `version`: what it would hand
/// over might then be more than the older binary understands.
pub(super) fn is_due(welcome: &Welcome, installed: &Path, version: &str) -> bool {
    let running = format!("/proc/{}/exe", welcome.shim_pid);
    let is_newer = number(&welcome.shim_version) > number(version);
    match (identity(Path::new(&running)), identity(installed)) {
        (Some(running), Some(installed)) => running != installed && !is_newer,
        // It has died, or nothing is installed: nothing to become, or nobody to become it.
        (None, _) | (_, None) => false,
    }
}

/// Which file it is: a package manager puts another one in its place, whatever its path and its version.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = fs_err::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// `1.2.3`, without what a pre-release adds.
fn number(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shim of this version whose executable is that of this test.
    fn shim(version: &str) -> Welcome {
        Welcome { shim_version: version.to_owned(), shim_pid: std::process::id(), ..Welcome::default() }
    }

    #[test]
    fn a_shim_of_another_file_is_renewed_unless_it_is_newer_than_the_daemon() {
        let other = Path::new("/proc/self/status");
        for (version, due) in [("0.1.0", true), ("0.2.0", true), ("0.2.1", false), ("0.10.0", false), ("1.0.0", false)]
        {
            assert_eq!(is_due(&shim(version), other, "0.2.0"), due, "{version}");
        }
    }

    #[test]
    fn a_shim_of_the_installed_file_and_one_without_an_installed_file_are_left_as_they_are() {
        let own = std::env::current_exe().unwrap();
        assert!(!is_due(&shim("0.1.0"), &own, "0.2.0"));
        assert!(!is_due(&shim("0.1.0"), Path::new("/no/such/file"), "0.2.0"));
    }
}
