//! AppArmor: whether this host has it, and the profile that a container's processes change to.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use barepod_model::AppArmor;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppArmorError {
    /// The kernel has no AppArmor, or it is switched off.
    #[error(
        "AppArmor is not enabled on this host, so no profile can be enforced; remove appArmorProfile, or enable it"
    )]
    NotEnabled,
    /// The host's administrator has not loaded it.
    #[error("the AppArmor profile {0:?} is not loaded on this host; load it with apparmor_parser")]
    NotLoaded(String),
    /// barepod's own cannot be loaded.
    #[error("barepod's AppArmor profile cannot be loaded with apparmor_parser; install the package apparmor")]
    Load(#[source] io::Error),
}

/// The name of barepod's own.
pub const OWN: &str = "barepod-default";

/// What `RuntimeDefault` means: files are the view's business; mounts, the kernel's memory and parameters, and processes that
/// are not confined by the same profile are out of reach.
const RUNTIME_DEFAULT: &str = include_str!("app_armor/barepod-default");

/// Whether the kernel enforces profiles.
#[must_use]
pub fn is_enabled(root: &Path) -> bool {
    let file = root.join("sys/module/apparmor/parameters/enabled");
    fs::read_to_string(file).is_ok_and(|text| text.starts_with('Y'))
}

/// The profile that exec changes to; empty for the host's own rules. barepod's own is loaded if it is missing.
///
/// # Errors
/// The host has no AppArmor, or not that profile.
pub fn profile(root: &Path, wanted: &AppArmor) -> Result<String, AppArmorError> {
    let enabled = is_enabled(root);
    match wanted {
        AppArmor::Unset => Ok(String::new()),
        AppArmor::Unconfined => Ok(if enabled { "unconfined".to_owned() } else { String::new() }),
        AppArmor::RuntimeDefault | AppArmor::Localhost(_) if !enabled => Err(AppArmorError::NotEnabled),
        AppArmor::RuntimeDefault => {
            if !is_loaded(root, OWN) {
                load(RUNTIME_DEFAULT).map_err(AppArmorError::Load)?;
            }
            Ok(OWN.to_owned())
        }
        AppArmor::Localhost(name) if is_loaded(root, name) => Ok(name.clone()),
        AppArmor::Localhost(name) => Err(AppArmorError::NotLoaded(name.clone())),
    }
}

/// The kernel's list has lines such as `name (enforce)`.
fn is_loaded(root: &Path, name: &str) -> bool {
    let list = fs::read_to_string(root.join("sys/kernel/security/apparmor/profiles")).unwrap_or_default();
    list.lines().any(|line| line.rsplit_once(" (").is_some_and(|(loaded, _)| loaded == name))
}

fn load(profile: &str) -> io::Result<()> {
    let mut parser = Command::new("apparmor_parser")
        .args(["--replace", "--skip-cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = parser.stdin.take() {
        input.write_all(profile.as_bytes())?;
    }
    let output = parser.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(enabled: &str, profiles: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in
            [("sys/module/apparmor/parameters/enabled", enabled), ("sys/kernel/security/apparmor/profiles", profiles)]
        {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn without_app_armor_nothing_is_asked_for_and_what_needs_it_is_refused() {
        for root in [host("N\n", ""), tempfile::tempdir().unwrap()] {
            assert_eq!(profile(root.path(), &AppArmor::Unset).unwrap(), "");
            assert_eq!(profile(root.path(), &AppArmor::Unconfined).unwrap(), "");
            for wanted in [AppArmor::RuntimeDefault, AppArmor::Localhost("a".to_owned())] {
                assert!(matches!(profile(root.path(), &wanted), Err(AppArmorError::NotEnabled)));
            }
        }
    }

    #[test]
    fn a_profile_of_the_hosts_must_be_loaded() {
        let root = host("Y\n", "barepod-default (enforce)\nmine (complain)\n");
        let named = |name: &str| profile(root.path(), &AppArmor::Localhost(name.to_owned()));
        assert_eq!(named("mine").unwrap(), "mine");
        assert!(matches!(named("min"), Err(AppArmorError::NotLoaded(_))));
        assert_eq!(profile(root.path(), &AppArmor::RuntimeDefault).unwrap(), OWN);
        assert_eq!(profile(root.path(), &AppArmor::Unconfined).unwrap(), "unconfined");
    }
}
