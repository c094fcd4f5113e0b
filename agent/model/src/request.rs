//! The hand-over between a manifest and what stands in for its image: what one container asks for, and what it gets.
//!
//! `barepod-manifest` makes a [`ContainerRequest`], `barepod-presets` answers with a [`Resolved`]; neither knows the other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    Brought, Confinement, ContainerKind, ContainerName, Env, EnvFile, Launch, NamespaceUse, NetworkFiles, Probe,
    Reason, Resources, Stdin, StopPlan, VolumeMount,
};

/// What a container's manifest says, as far as its process depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRequest {
    /// The container's name.
    pub name: ContainerName,
    /// Its part in the pod.
    pub kind: ContainerKind,
    /// The image as written.
    pub image: String,
    /// `command`, with `$(VAR)` expanded; empty if not given. Takes the place of the image's entry point.
    pub command: Vec<String>,
    /// `args`, with `$(VAR)` expanded; empty if not given.
    pub args: Vec<String>,
    /// `env`, with `$(VAR)` expanded.
    pub env: Env,
    /// Variables that files of volumes hold.
    pub env_files: Vec<EnvFile>,
    /// `workingDir`.
    pub working_dir: Option<PathBuf>,
    /// Requests and limits.
    pub resources: Resources,
    /// `volumeMounts`, in order of their paths, parents first.
    pub mounts: Vec<VolumeMount>,
    /// Who it asks to run as.
    pub user: UserRequest,
    /// `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// Capabilities beyond those of the preset.
    pub capabilities: CapabilityRequest,
    /// `allowPrivilegeEscalation`, where it is given.
    pub allow_privilege_escalation: Option<bool>,
    /// Namespaces shared with the host.
    pub namespaces: NamespaceUse,
    /// `tty`.
    pub tty: bool,
    /// `stdin` and `stdinOnce`.
    pub stdin: Stdin,
    /// Host name of the pod.
    pub hostname: String,
    /// What it is to be told of names and of the network.
    pub network: NetworkFiles,
    /// What the kernel is to keep it from.
    pub confinement: Confinement,
}

/// Ids as the manifest gives them: those of the image, which a preset maps to accounts of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct UserRequest {
    /// `runAsUser`.
    pub uid: Option<u32>,
    /// `runAsGroup`.
    pub gid: Option<u32>,
    /// `supplementalGroups`.
    pub groups: Vec<u32>,
    /// `runAsNonRoot`.
    pub non_root: bool,
    /// `fsGroup`, which all processes of the pod belong to.
    pub fs_group: Option<u32>,
    /// `supplementalGroupsPolicy: Strict`: no group that the account has by itself.
    pub strict_groups: bool,
}

/// `securityContext.capabilities`, by kernel number (`CAP_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CapabilityRequest {
    /// Added to those of the preset, once that is done which is said of all.
    pub add: Vec<u32>,
    /// Dropped at the end.
    pub drop: Vec<u32>,
    /// `add: [ALL]`.
    #[serde(default)]
    pub add_all: bool,
    /// `drop: [ALL]`: those of the preset, and what `add_all` adds.
    pub drop_all: bool,
}

/// What stands in for the image: how the container is started, asked, and stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The preset, with the version found: `postgresql 15.20`.
    pub preset: String,
    /// What of all that the preset brings by itself.
    pub brought: Brought,
    /// What its process is started with.
    pub launch: Launch,
    /// How it is stopped.
    pub stop: StopPlan,
    /// Startup probe, used where the manifest has none.
    pub startup: Option<Probe>,
    /// Readiness probe, used where the manifest has none.
    pub readiness: Option<Probe>,
    /// Liveness probe, used where the manifest has none.
    pub liveness: Option<Probe>,
    /// Directories inside the view that no two pods may write at once.
    pub data_paths: Vec<PathBuf>,
    /// The host's group that `fsGroup` stands for.
    pub fs_group: Option<u32>,
    /// Processes and threads it may have at most.
    #[serde(default)]
    pub pids_limit: Option<u64>,
    /// Its processes are killed together when one of them must go for memory.
    #[serde(default)]
    pub oom_group: bool,
    /// What differs from the image in a way worth telling.
    pub warnings: Vec<RequestError>,
}

/// Why a container cannot be resolved, or, as a warning, what its author should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// The code.
    pub reason: Reason,
    /// The container's field that is to blame, as a path from the container: `image`, `securityContext.runAsUser`. The
    /// value of the environment variable `X` is `env[X]`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
}
