//! What the kernel is to keep a container's processes from, in the shim's words: filters are compiled here, so that the shim
//! needs to know nothing of profiles.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barepod_core::StartFailure;
use barepod_linux::seccomp::{self, Filter, ProfileError, Situation};
use barepod_linux::{app_armor, se_linux};
use barepod_model::{AppArmor, Container, Launch, Reason, Root, Seccomp};
use barepod_shim::wire;

use super::launch::failure;
use super::ledger::chain;

/// What every view has to be written to. In `/proc` that is what the kernel lets a process say of itself.
const OWN: [&str; 5] = ["/dev", "/proc", "/run", "/tmp", "/var/tmp"];

/// `CAP_SYS_ADMIN`: who may mount is asked for by name, and Landlock lets nobody mount.
const SYS_ADMIN: u32 = 21;

/// What a confinement is made from besides a launch.
#[derive(Debug)]
pub(crate) struct Confining {
    profiles: PathBuf,
    kernel: (u32, u32),
    /// barepod's own filter, by what the container may do.
    made: Mutex<HashMap<Vec<u32>, Filter>>,
}

impl Confining {
    /// Profiles lie below `profiles`.
    pub(crate) fn new(profiles: PathBuf) -> Self {
        let release = nix::sys::utsname::uname().ok().and_then(|name| version(name.release().to_str()?));
        Self { profiles, kernel: release.unwrap_or_default(), made: Mutex::default() }
    }

    /// What holds for every process of a container. `by_default`: who asks for no profile gets barepod's own. `warn` hears
    /// what its author should know.
    ///
    /// # Errors
    /// A profile that is not there or is not what it should be.
    pub(super) fn of(
        &self,
        container: &Container,
        by_default: bool,
        warn: impl FnOnce(&str),
    ) -> Result<wire::Confinement, StartFailure> {
        let launch = &container.launch;
        let mut wanted =
            wire::Confinement { app_armor: app_armor(&launch.confinement.app_armor)?, ..Default::default() };
        if let Some(label) = launch.confinement.se_linux.as_ref().filter(|_| se_linux::is_enabled()) {
            wanted.se_linux = se_linux::label(label);
        }
        if launch.confinement.landlock && !launch.confinement.privileged && !launch.capabilities.contains(&SYS_ADMIN) {
            wanted.landlock = Some(wire::Landlock { writable: writable(container) });
        }
        if launch.confinement.privileged {
            wanted.app_armor = app_armor(&AppArmor::Unconfined)?;
            return Ok(wanted);
        }
        let situation = Situation { capabilities: &launch.capabilities, kernel: self.kernel };
        let filter = match &launch.confinement.seccomp {
            Seccomp::Unconfined => return Ok(wanted),
            Seccomp::Unset if !by_default => return Ok(wanted),
            Seccomp::Unset | Seccomp::RuntimeDefault => self.default(&situation),
            Seccomp::Localhost(name) => seccomp::localhost(&self.profiles, name, &situation),
        };
        if let (Err(ProfileError::Machine(_)), Seccomp::Unset) = (&filter, &launch.confinement.seccomp) {
            // Nobody asked for one.
            return Ok(wanted);
        }
        let filter = filter.map_err(|error| failure(Reason::CreateContainerConfigError, chain(&error)))?;
        if !filter.unknown.is_empty() {
            let names = filter.unknown.join(", ");
            warn(&format!(
                "its seccomp profile lets calls through that barepod does not know, so they are refused: {names}"
            ));
        }
        Ok(wire::Confinement { seccomp: filter.program, seccomp_flags: filter.flags, ..wanted })
    }

    /// The file of the host's that a container's confinement is made from.
    pub(super) fn file(&self, launch: &Launch) -> Option<PathBuf> {
        match &launch.confinement.seccomp {
            Seccomp::Localhost(name) => Some(self.profiles.join(name)),
            Seccomp::Unset | Seccomp::Unconfined | Seccomp::RuntimeDefault => None,
        }
    }

    fn default(&self, situation: &Situation<'_>) -> Result<Filter, ProfileError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = made.get(situation.capabilities) {
            return Ok(filter.clone());
        }
        let filter = seccomp::runtime_default(situation)?;
        made.insert(situation.capabilities.to_vec(), filter.clone());
        Ok(filter)
    }
}

/// What the view shows writable. The root itself is, where it is a tree's own layer.
fn writable(container: &Container) -> Vec<String> {
    let launch = &container.launch;
    let volumes = launch.mounts.iter().filter(|mount| !mount.read_only).map(|mount| mount.path.as_path());
    let shared = launch.shared.iter().map(|shared| shared.path.as_path());
    let root = matches!(launch.root, Root::Tree(_)) && !launch.read_only_root;
    let root = root.then_some(Path::new("/"));
    let own = OWN.iter().map(Path::new).chain([container.termination_message.path.as_path()]);
    own.chain(volumes).chain(shared).chain(root).map(|path| path.display().to_string()).collect()
}

/// Whether the manifest asks for it, so that running without is no choice.
pub(super) fn is_asked_for(launch: &Launch) -> bool {
    let confinement = &launch.confinement;
    let seccomp = matches!(confinement.seccomp, Seccomp::RuntimeDefault | Seccomp::Localhost(_));
    let app_armor = matches!(confinement.app_armor, AppArmor::RuntimeDefault | AppArmor::Localhost(_));
    seccomp || app_armor || !confinement.sysctls.is_empty()
}

pub(super) fn sysctls(launch: &Launch) -> Vec<wire::Sysctl> {
    let one = |(name, value): (&String, &String)| wire::Sysctl { name: name.clone(), value: value.clone() };
    launch.confinement.sysctls.iter().map(one).collect()
}

/// The profile that exec changes to; empty for the host's own rules. One that is not loaded is looked for again, as where a
/// container runtime finds it missing.
fn app_armor(wanted: &AppArmor) -> Result<String, StartFailure> {
    app_armor::profile(Path::new("/"), wanted).map_err(|error| failure(Reason::CreateContainerError, chain(&error)))
}

/// Of `6.1.0-18-amd64`: 6 and 1.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_release_begins_with_its_version() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.14"), Some((5, 14)));
        assert_eq!(version("odd"), None);
    }
}
