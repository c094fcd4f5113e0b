//! What a container's processes may do, beyond user, capabilities and view.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `securityContext`, as far as the kernel enforces it on the process itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confinement {
    /// `privileged`: every device, `/sys` and `/proc/sys` writable, no filter and no profile.
    pub privileged: bool,
    /// `procMount: Unmasked`: nothing of `/proc` is hidden or read-only.
    pub unmasked_proc: bool,
    /// `seccompProfile`.
    pub seccomp: Seccomp,
    /// `appArmorProfile`.
    pub app_armor: AppArmor,
    /// `seLinuxOptions`.
    #[serde(default)]
    pub se_linux: Option<SeLinux>,
    /// Files may be written in volumes and directories of its own alone, whatever the view's mounts say (Landlock); asked for
    /// by the preset.
    #[serde(default)]
    pub landlock: bool,
    /// `sysctls` of the namespaces it has: name with dots, value.
    pub sysctls: BTreeMap<String, String>,
}

/// Which system calls are let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Seccomp {
    /// What the host's configuration says.
    #[default]
    Unset,
    /// All.
    Unconfined,
    /// Not those that reach beyond a container.
    RuntimeDefault,
    /// Those of a profile of the host's, by its path below barepod's directory of profiles.
    Localhost(PathBuf),
}

/// The AppArmor profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum AppArmor {
    /// Whatever the host gives to programs of this path.
    #[default]
    Unset,
    /// None.
    Unconfined,
    /// barepod's own.
    RuntimeDefault,
    /// One that is loaded on the host, by name.
    Localhost(String),
}

/// The SELinux label; a part that is not given is the host's own for containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SeLinux {
    /// SELinux user.
    pub user: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Type.
    pub kind: Option<String>,
    /// Level.
    pub level: Option<String>,
}
