//! The host as it is, without an opinion. What could not be read is absent.

use std::collections::BTreeSet;
use std::path::PathBuf;

use barepod_linux::disk::{Mount, Space};
use barepod_model::RequestError;
use barepod_presets::HostWants;

/// All that is judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// `/proc/sys/kernel/osrelease`.
    pub(crate) kernel: Option<String>,
    /// `/etc/os-release`.
    pub(crate) os: Os,
    pub(crate) cgroup: Cgroup,
    /// The kernel counts who waits (PSI).
    pub(crate) pressure: bool,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`: `always [madvise] never`.
    pub(crate) transparent_huge_pages: Option<String>,
    pub(crate) huge_pages: Option<HugePages>,
    pub(crate) overcommit_memory: Option<u64>,
    pub(crate) max_map_count: Option<u64>,
    pub(crate) swappiness: Option<u64>,
    pub(crate) files: Option<OpenFiles>,
    /// The kernel holds its clock to be synchronised.
    pub(crate) clock: Option<bool>,
    pub(crate) disks: Vec<Disk>,
    /// It is systemd that runs this host.
    pub(crate) systemd: bool,
    pub(crate) daemon: Daemon,
    pub(crate) in_use: Vec<InUse>,
    /// Pods whose processes could be looked at.
    pub(crate) running: Vec<Running>,
}

/// A pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Programs and libraries that it runs on, and that were replaced or removed meanwhile.
    pub(crate) replaced: BTreeSet<PathBuf>,
}

/// The distribution.
#[derive(Debug, Clone, Default)]
pub(crate) struct Os {
    /// As it calls itself.
    pub(crate) name: Option<String>,
    /// `ID` and `ID_LIKE`.
    pub(crate) family: Vec<String>,
}

/// Which control groups there are.
#[derive(Debug, Clone, Default)]
pub(crate) enum Cgroup {
    /// None that barepod can work with, and why.
    Unusable(String),
    /// Version 2, with its controllers.
    Unified(Vec<&'static str>),
    /// Version 1 beside version 2, with the controllers of both.
    Hybrid(Vec<&'static str>),
    #[default]
    Unknown,
}

/// Huge pages of the kernel's default size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HugePages {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Bytes of one.
    pub(crate) size: u64,
}

/// How many files may be open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFiles {
    /// The hard limit.
    pub(crate) hard: u64,
    /// It is that of the running daemon, which pods inherit; else that of this command.
    pub(crate) of_daemon: bool,
}

/// What directories of barepod lie on.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) mount: Mount,
    pub(crate) space: Option<Space>,
}

/// The daemon.
#[derive(Debug, Clone, Default)]
pub(crate) enum Daemon {
    /// It answers, and has this version.
    Runs { version: String },
    /// It does not, and why.
    Away(String),
    #[default]
    Unknown,
}

/// A preset that a pod uses, or that was asked about.
#[derive(Debug, Clone)]
pub(crate) struct InUse {
    pub(crate) image: String,
    /// `default/db`; none where nobody uses it yet.
    pub(crate) pods: Vec<String>,
    pub(crate) wants: Result<HostWants, RequestError>,
}
