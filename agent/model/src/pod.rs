//! A validated pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Brought, Bytes, ContainerName, ContainerRestart, HugePageSize, Launch, Lifecycle, Manifest, Namespace, PodName,
    PodUid, Probe, Projected, ResizePolicy, Resources, StopPlan, TerminationMessage,
};

/// Where a pod comes from. A pod is owned by exactly one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A manifest file on this host.
    File,
    /// Bound to this node by Kubernetes.
    Kubernetes,
    /// A task of Nomad's barepod driver.
    Nomad,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::File => "file",
            Source::Kubernetes => "kubernetes",
            Source::Nomad => "nomad",
        })
    }
}

/// When ended containers are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum RestartPolicy {
    /// Always.
    #[default]
    Always,
    /// Unless it exited with 0.
    OnFailure,
    /// Never.
    Never,
}

/// What is asked for: one pod, checked and resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its identity. What a source proposes is used only if no live pod of that source has the same name.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name, unique in the namespace.
    pub name: PodName,
    /// Its owner.
    pub source: Source,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Restart policy of its regular containers.
    pub restart_policy: RestartPolicy,
    /// `priority`: when the host is short of something, the lower ones go first, and from a certain one on none does.
    #[serde(default)]
    pub priority: i32,
    /// It tolerates the taint of a node that is short of memory (`node.kubernetes.io/memory-pressure`).
    #[serde(default)]
    pub bears_memory_pressure: bool,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// `activeDeadlineSeconds`: after so long from its creation the pod has failed.
    #[serde(default)]
    pub active_deadline: Option<Duration>,
    /// Conditions that others must set to true before the pod is ready (`readinessGates`).
    #[serde(default)]
    pub readiness_gates: Vec<String>,
    /// Pods that must be ready before a container of this one is started, and that end after it
    /// (annotation `barepod.dev/depends-on`).
    #[serde(default)]
    pub depends_on: Vec<PodRef>,
    /// What no two pods may have at once: for each data path of a preset, where on the host it really lies; claims that are
    /// one pod's (`ReadWriteOncePod`); and ports of the host, see [`crate::HostPort`].
    pub data_paths: BTreeSet<PathBuf>,
    /// The group that volumes are given to.
    #[serde(default)]
    pub fs_group: Option<FsGroup>,
    /// What it asks for as a whole.
    #[serde(default)]
    pub resources: PodResources,
    /// Volumes by name.
    pub volumes: Vec<Volume>,
    /// Containers: init containers and sidecars first in their order, then the regular ones, then ephemeral ones. Never
    /// empty.
    pub containers: Vec<Container>,
    /// The object as its author wrote it, to be shown again.
    pub manifest: Manifest,
}

/// What a pod asks for as a whole, beside its containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PodResources {
    /// `spec.resources`, with Kubernetes' defaults; `None` where it gives none.
    pub level: Option<Resources>,
    /// Its part of the disks.
    pub io: Io,
}

/// A pod's part of the disks (annotations `barepod.dev/io-weight` and `barepod.dev/io-max`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Io {
    /// Its weight against other pods, 1 to 10000; the kernel's default is 100.
    pub weight: Option<u16>,
    /// What it may use of single devices.
    pub max: Vec<IoMax>,
}

/// What a pod may use of one block device; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct IoMax {
    /// `major:minor`, or a path: of a device, or of anything on a file system that lies on one.
    pub device: String,
    /// Bytes read in a second.
    pub rbps: Option<u64>,
    /// Bytes written in a second.
    pub wbps: Option<u64>,
    /// Reads in a second.
    pub riops: Option<u64>,
    /// Writes in a second.
    pub wiops: Option<u64>,
}

/// `securityContext.fsGroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsGroup {
    /// The group's id on the host.
    pub gid: u32,
    /// `fsGroupChangePolicy`.
    pub policy: FsGroupChangePolicy,
}

/// When a volume's files are gone through to give them to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum FsGroupChangePolicy {
    /// Whenever the volume is made ready.
    #[default]
    Always,
    /// When its root does not belong to the group already.
    OnRootMismatch,
}

/// A pod, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: PodName,
}

/// A container's part in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerKind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that runs on beside the others (`restartPolicy: Always`): the next one starts when it has
    /// started, and it ends after those that were started after it.
    Sidecar,
    /// Runs with the pod.
    Regular,
    /// Added to a pod that is there already, to look into it (`ephemeralContainers`): started once, whatever the others
    /// do, and never again; the pod does not wait for it, nor is it ready or ends by it.
    Ephemeral,
}

impl ContainerKind {
    /// Runs as long as the pod does, which is what the others see of it.
    #[must_use]
    pub fn lasts(self) -> bool {
        match self {
            Self::Sidecar | Self::Regular => true,
            Self::Init | Self::Ephemeral => false,
        }
    }
}

/// What an ephemeral container has beside all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ephemeral {
    /// The container in whose PID namespace it lives (`targetContainerName`).
    pub target: Option<ContainerName>,
    /// The container as its author wrote it, which never changes.
    pub written: Manifest,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, unique in the pod.
    pub name: ContainerName,
    /// Its part.
    pub kind: ContainerKind,
    /// Of an ephemeral container.
    #[serde(default)]
    pub ephemeral: Option<Ephemeral>,
    /// The image as written.
    pub image: String,
    /// The preset that stands in for it, with the version found: `postgresql 15.20`.
    pub preset: String,
    /// What of all that the preset brings by itself.
    #[serde(default)]
    pub brought: Brought,
    /// What its process is started with.
    pub launch: Launch,
    /// Requests and limits, as its manifest gives them.
    pub resources: Resources,
    /// What happens to it when they change.
    #[serde(default)]
    pub resize_policy: ResizePolicy,
    /// Its processes are killed together when one of them must go for memory (`memory.oom.group`).
    #[serde(default)]
    pub oom_group: bool,
    /// How it is stopped.
    pub stop: StopPlan,
    /// Startup probe.
    pub startup: Option<Probe>,
    /// Readiness probe.
    pub readiness: Option<Probe>,
    /// Liveness probe.
    pub liveness: Option<Probe>,
    /// Its hooks.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Its own rules of restart.
    #[serde(default)]
    pub restart: ContainerRestart,
    /// Where it leaves its last words.
    #[serde(default)]
    pub termination_message: TerminationMessage,
    /// What its environment refers to and does not exist, in words: it is not started before it does. What runs already
    /// goes on.
    #[serde(default)]
    pub missing: Option<String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// The PersistentVolumeClaim that it is, by its name in the pod's namespace.
    #[serde(default)]
    pub claim: Option<String>,
    /// What it is.
    pub kind: VolumeKind,
}

impl Pod {
    /// Whether it has something on this host that no other host has: a claim, or a path of the host's.
    #[must_use]
    pub fn has_local_data(&self) -> bool {
        self.volumes.iter().any(|volume| match volume.kind {
            VolumeKind::HostPath { .. } | VolumeKind::Claim { .. } => true,
            VolumeKind::EmptyDir { .. } | VolumeKind::Projected(_) => false,
        })
    }
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeKind {
    /// A directory that lives as long as the pod.
    EmptyDir {
        /// On tmpfs.
        memory: bool,
        /// On hugetlbfs, with pages of this size.
        #[serde(default)]
        huge_pages: Option<HugePageSize>,
        /// At most this large.
        size_limit: Option<Bytes>,
    },
    /// A path of the host.
    HostPath {
        /// Absolute path.
        path: PathBuf,
        /// What must be there.
        kind: HostPathType,
    },
    /// A directory of its own under barepod's volumes, kept when the pod goes (`persistentVolumeClaim`).
    Claim {
        /// The claim's name in the pod's namespace.
        claim: String,
        /// Mounted read-only.
        read_only: bool,
    },
    /// Files made from objects and from the pod itself; always mounted read-only.
    Projected(Projected),
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum HostPathType {
    /// No check.
    #[default]
    Unset,
    /// Made if it is missing, mode 0755.
    DirectoryOrCreate,
    /// Must be a directory.
    Directory,
    /// Made empty if it is missing, mode 0644.
    FileOrCreate,
    /// Must be a file.
    File,
    /// Must be a unix socket.
    Socket,
    /// Must be a character device.
    CharDevice,
    /// Must be a block device.
    BlockDevice,
}
