//! Reason codes: every refusal, waiting state and end has one. Kubernetes' own spelling where it has one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that is no identifier is given beside it.
macro_rules! spelt {
    ($variant:ident) => {
        stringify!($variant)
    };
    ($variant:ident, $text:literal) => {
        $text
    };
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $(= $text:literal)?),+ $(,)?) => {
        /// A machine-readable reason in the field's spelling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason there is, for tables and tests.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),+];

            /// The code as it appears in status, events and errors.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => spelt!($variant $(, $text)?),)+
                }
            }
        }
    };
}

reasons! {
    // Reading a manifest.
    /// The file is not YAML or JSON.
    InvalidYaml,
    /// The file holds no object.
    EmptyManifest,
    /// A field of this name does not exist in the Kubernetes type.
    UnknownField,
    /// A value is of the wrong type.
    InvalidType,
    /// A value breaks a rule of its field.
    InvalidValue,
    /// A required field is missing.
    MissingField,
    /// Two things that must differ carry the same name.
    Duplicate,
    /// The field exists in Kubernetes but barepod does not honour it (yet).
    UnsupportedField,
    /// The object's kind or API version is not taken here.
    UnsupportedKind,
    /// A volume mount names a volume that the pod does not have.
    UnknownVolume,
    /// An AppArmor profile that this host cannot enforce.
    AppArmor,
    /// A sysctl that a pod may not set.
    SysctlForbidden,
    /// The file cannot be read.
    UnreadableManifest,
    /// The file is larger than a manifest may be.
    ManifestTooLarge,

    // What the host is and has.
    /// The host's labels are not those that the pod wants.
    NodeAffinity,
    /// The pod is for another operating system.
    PodOSNotSupported,
    /// Another pod has the port.
    NodePorts,

    // Presets.
    /// No preset answers to the image.
    ImagePullBackOff,
    /// The image reference cannot be parsed (Kubernetes' `InvalidImageName`).
    InvalidImageName,
    /// The preset knows the service, but that version is not installed on this host.
    VersionNotInstalled,
    /// A preset file is invalid.
    InvalidPreset,
    /// The policy file is invalid: the one before it holds.
    InvalidPolicy,
    /// The contract of the image asks for something that is missing, e.g. a password.
    InvalidConfiguration,
    /// The host is not as the preset needs or advises it to be, e.g. a sysctl.
    HostCheckFailed,
    /// A user or group the preset maps to does not exist on this host.
    UnknownUser,

    // Admission.
    /// A live pod of another source has this name.
    NameTaken,
    /// Another pod uses this data path.
    DataPathInUse,
    /// A pod of the same name is still ending.
    WaitingForPredecessor,
    /// The request names a pod that does not exist.
    NotFound,
    /// The request names a container that the pod does not have.
    ContainerNotFound,
    /// The pod is ending; the request would not change that.
    PodTerminating,
    /// Only the pod's own source may do this.
    NotOwner,
    /// The change cannot be made to a living pod.
    Immutable,
    /// The caller may not do this.
    Forbidden,
    /// The intent could not be written to the ledger, so it is not accepted.
    LedgerUnavailable,
    /// The daemon is shutting down or has not finished looking around.
    NotReady,
    /// The host has not enough CPU left.
    OutOfcpu,
    /// The host has not enough memory left.
    OutOfmemory,
    /// The host has not enough disk space left.
    OutOfEphemeralStorage = "OutOfephemeral-storage",
    /// The host has not enough huge pages of 2 MiB left.
    OutOfHugePages2Mi = "OutOfhugepages-2Mi",
    /// The host has not enough huge pages of 1 GiB left.
    OutOfHugePages1Gi = "OutOfhugepages-1Gi",
    /// The host has as many pods as it may have.
    OutOfpods,
    /// A change of resources waits until others give back what it needs.
    Deferred,
    /// A change of resources asks for more than the host has.
    Infeasible,

    // Waiting.
    /// The pod's intent, directories or volumes are being made.
    PodInitializing,
    /// The container is about to be started.
    ContainerCreating,
    /// The container ended and is waiting for its next try.
    CrashLoopBackOff,
    /// After a start of the daemon: what became of the process is being found out.
    Recovering,
    /// The pod's volumes or directories could not be made; tried again.
    CreatePodError,
    /// The container could not be configured, e.g. a file cannot be written; tried again.
    CreateContainerConfigError,
    /// A volume could not be made, e.g. because the Secret it shows does not exist; tried again.
    FailedMount,
    /// The container's surroundings could not be made (namespaces, mounts, cgroup); tried again.
    CreateContainerError,
    /// The program could not be executed (Kubernetes' and runc's `RunContainerError`); tried again.
    RunContainerError,
    /// A pod that this one depends on is not ready.
    WaitingForDependency,
    /// The source no longer mentions the pod, which is no evidence that it was deleted.
    Orphaned,
    /// The pod's ledger file cannot be read; the pod runs on.
    LedgerUnreadable,

    // Ended.
    /// Exit code 0.
    Completed,
    /// Any other end.
    Error,
    /// The kernel killed a process of the container for memory.
    OOMKilled,
    /// The program could not be executed; it never ran.
    StartError,
    /// Nobody saw how it ended (Kubernetes' `ContainerStatusUnknown`).
    ContainerStatusUnknown,
    /// Deleted before it ended.
    Killed,
    /// The pod has run for as long as `activeDeadlineSeconds` lets it.
    DeadlineExceeded,
    /// The pod used more disk space than it may, or its host was short of something.
    Evicted,
    /// The pod ended because its host went down, and is not begun again there.
    Terminated,
    /// The host goes down: nothing is begun on it.
    NodeShutdown,
    /// An operator has stopped the pod, and nobody has started it since.
    Stopped,

    // Events.
    /// An intent was accepted.
    Accepted,
    /// A container was created.
    Created,
    /// A container was started.
    Started,
    /// A container is being stopped.
    Killing,
    /// A container failed to start.
    Failed,
    /// A container is not being restarted yet.
    BackOff,
    /// A probe failed.
    Unhealthy,
    /// A probe succeeded with something to tell, or could not be asked.
    ProbeWarning,
    /// A hook by HTTPS was answered by HTTP, and asked again without TLS.
    LifecycleHTTPFallback,
    /// A postStart hook failed; the container is stopped.
    FailedPostStartHook,
    /// A preStop hook failed; the stop goes on.
    FailedPreStopHook,
    /// A rule of a container asked for new processes of the whole pod.
    RestartingAllContainers,
    /// The grace was extended to the preset's minimum.
    GraceExtended,
    /// The kernel killed a process of a container for memory, and its main process lives.
    OOMKilling,
    /// A service has not said `READY=1` in time; the container is restarted.
    StartTimeout,
    /// A service has not said `WATCHDOG=1` in time, or has said that it is not well; the container is restarted.
    WatchdogTimeout,
    /// A service has named another process as its main one.
    MainProcessChanged,
    /// Something that was said to a container's socket was not taken.
    NotifyRefused,
    /// A service may have said `READY=1` while its shim was dead: it counts as started.
    StartAssumed,
    /// The limits of a running container were changed.
    Resized,
    /// The limits of a running container could not be changed.
    ResizeFailed,
    /// A shim died and another took its process over.
    ShimReplaced,
    /// Something is not as asked but the container runs, e.g. a missing capability.
    Degraded,
    /// The daemon's configuration was read again.
    ConfigReloaded,
    /// The file of the daemon's configuration cannot be used: what held holds.
    ConfigInvalid,
    /// The file of the daemon's configuration says something that a running daemon cannot change.
    ConfigNeedsRestart,
    /// A Nomad cluster does not count what the pod has.
    Unaccounted,
    /// The pod is gone.
    Deleted,
    /// A restart was asked for.
    Restarting,
}

impl Reason {
    /// Whether it says that this host does not take a pod that another one might.
    #[must_use]
    pub fn is_of_the_node(self) -> bool {
        self.is_out_of_resource() || matches!(self, Reason::Evicted | Reason::NodePorts | Reason::NodeShutdown)
    }

    /// Whether it says that the host has not enough left of something.
    #[must_use]
    pub fn is_out_of_resource(self) -> bool {
        self.as_str().starts_with("OutOf")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
