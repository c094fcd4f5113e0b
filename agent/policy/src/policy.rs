//! A policy, checked.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use barepod_model::{Bytes, MilliCpu, Pattern, Quota, Source};

use crate::subject::Verb;
use crate::words::{Profile, Who};

/// A policy: what no rule of it allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The file it was read from, as it was named to [`parse`](crate::parse).
    pub(crate) file: String,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    /// A policy that allows nothing.
    #[must_use]
    pub fn nothing(file: &str) -> Self {
        Self { file: file.to_owned(), rules: Vec::new() }
    }

    /// What it was read from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) line: u64,
    pub(crate) subjects: Subjects,
    pub(crate) verbs: BTreeSet<Verb>,
    pub(crate) allow: Allow,
}

impl Rule {
    /// How many pods it allows at once, if it says so.
    pub(crate) fn quota(&self) -> Option<Quota> {
        let Subjects { sources, namespaces, .. } = &self.subjects;
        let (sources, namespaces) = (sources.clone(), namespaces.clone());
        self.allow.limits.pods.map(|most| Quota { rule: self.name.clone(), most, sources, namespaces })
    }
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subjects {
    pub(crate) sources: Vec<Source>,
    pub(crate) namespaces: Vec<Pattern>,
    pub(crate) users: Vec<Who>,
    pub(crate) groups: Vec<Who>,
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Allow {
    pub(crate) presets: Vec<(Pattern, Option<Pattern>)>,
    pub(crate) commands: Vec<Pattern>,
    pub(crate) users: Vec<Who>,
    pub(crate) groups: Vec<Who>,
    pub(crate) volumes: Vec<VolumeType>,
    pub(crate) host_paths: Vec<HostPath>,
    pub(crate) devices: Vec<Pattern>,
    pub(crate) capabilities: Capabilities,
    pub(crate) privilege_escalation: bool,
    pub(crate) privileged: bool,
    pub(crate) host_pid: bool,
    pub(crate) host_ipc: bool,
    pub(crate) unmasked_proc: bool,
    pub(crate) bidirectional: bool,
    pub(crate) seccomp: Vec<Profile>,
    pub(crate) app_armor: Vec<Profile>,
    pub(crate) sysctls: Vec<Pattern>,
    pub(crate) probe_hosts: Vec<Pattern>,
    pub(crate) host_ports: Vec<RangeInclusive<u16>>,
    pub(crate) limits: Limits,
}

/// Kinds of volumes that are no path of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeType {
    /// `emptyDir`.
    EmptyDir,
    /// `persistentVolumeClaim`: a directory of barepod's own, of the pod's namespace.
    PersistentVolumeClaim,
    /// Made from objects or from the pod itself: `configMap`, `secret`, `downwardAPI`, `projected`.
    Projected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPath {
    pub(crate) prefix: PathBuf,
    pub(crate) read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Capabilities {
    pub(crate) all: bool,
    pub(crate) numbers: BTreeSet<u32>,
}

/// At most so much of each; `None` is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) cpu: Option<MilliCpu>,
    pub(crate) memory: Option<Bytes>,
    pub(crate) pids: Option<u64>,
    pub(crate) pods: Option<u32>,
}
