//! The words every other crate speaks: validated pods, what a container process is started with, states, reasons.
//!
//! Ring 0: nothing here reads a clock, a file or the environment. A value of these types has been checked; raw input is
//! parsed in `barepod-manifest` and `barepod-presets`.

mod admission;
mod capability;
mod confinement;
mod id;
mod launch;
mod lifecycle;
mod network;
mod notify;
mod pattern;
mod pod;
mod port;
mod probe;
mod projected;
mod quantity;
mod reason;
mod redacted;
mod request;
mod resources;
mod status;
mod stop;
mod time;

pub use admission::{Brought, Permit, Quota};
pub use capability::CAPABILITIES;
pub use confinement::{AppArmor, Confinement, SeLinux, Seccomp};
pub use id::{Attempt, ContainerKey, ContainerName, InvalidName, Namespace, PodName, PodUid};
pub use launch::{
    AsWritten, Credentials, EnvFile, FollowsResources, InitStep, Launch, MountPropagation, NamespaceUse, OwnedDir,
    RenderedFile, Rlimit, Root, SharedDir, Stdin, VolumeMount,
};
pub use lifecycle::{
    ContainerRestart, ExitCodes, Hook, HookKind, Lifecycle, RestartAction, RestartRule, TerminationMessage,
    TerminationMessagePolicy,
};
pub use network::{CLUSTER_DOMAIN, Dns, DnsBase, HostAlias, NetworkFiles};
pub use notify::{Notify, NotifyAccess, NotifyRequest};
pub use pattern::{InvalidPattern, Pattern};
pub use pod::{
    Container, ContainerKind, Ephemeral, FsGroup, FsGroupChangePolicy, HostPathType, Io, IoMax, Pod, PodRef,
    PodResources, RestartPolicy, Source, Volume, VolumeKind,
};
pub use port::HostPort;
pub use probe::{HttpGet, HttpScheme, Probe, ProbeHandler, ProbeKind};
pub use projected::{Projected, ProjectedFile};
pub use quantity::{Bytes, InvalidQuantity, MilliCpu};
pub use reason::Reason;
pub use redacted::{Contents, Env, Manifest};
pub use request::{CapabilityRequest, ContainerRequest, RequestError, Resolved, UserRequest};
pub use resources::{Amounts, HugePageSize, HugePages, OnResize, QosClass, ResizePolicy, Resources, total};
pub use status::{ExitStatus, Phase, StopCause, Termination};
pub use stop::{StopPlan, StopStage};
pub use time::{BootId, BootTime, Stamp, WallTime};
