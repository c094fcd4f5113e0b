//! Why a volume or a file is not there.

use std::io;
use std::path::{Path, PathBuf};

/// Why a volume or a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The file system refused.
    #[error("{what}: cannot use {}", path.display())]
    Io {
        /// What it was for.
        what: String,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name or path that must not reach the file system.
    #[error("volume {volume:?}: {rule}")]
    Refused {
        /// The volume.
        volume: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// Nothing that is mounted there reaches anybody else.
    #[error(
        "volume {volume:?}: {path:?} is mounted on {mount:?} but it is not a shared mount: `mount --make-shared {}` makes it one",
        mount.display()
    )]
    NotShared {
        /// The volume.
        volume: String,
        /// The path.
        path: PathBuf,
        /// The mount that it lies on.
        mount: PathBuf,
    },
    /// A container mounts what the pod does not have.
    #[error("volume {volume:?} is mounted, but the pod has no volume of this name")]
    Unknown {
        /// The volume.
        volume: String,
    },
    /// A file that is to hold a variable.
    #[error("variable {variable}: file {} of volume {volume:?}: {what}", file.display())]
    EnvFile {
        /// The variable.
        variable: String,
        /// The file, below the volume's root.
        file: PathBuf,
        /// The volume.
        volume: String,
        /// What is wrong, in words.
        what: String,
    },
    /// What it is made from does not exist.
    #[error("MountVolume.SetUp failed for volume {volume:?}: {missing}")]
    Missing {
        /// The volume.
        volume: String,
        /// What is missing, in words.
        missing: String,
    },
    /// What is at a host path is not what its type says.
    #[error("volume {volume:?}: hostPath type check failed: {} is not a {expected}; {hint}", path.display())]
    HostPathType {
        /// The volume.
        volume: String,
        /// The path.
        path: PathBuf,
        /// What was expected, in words.
        expected: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A host path into barepod's own directories.
    #[error(
        "volume {volume:?}: hostPath {} lies in barepod's own directory {}, which no pod may see; use a claim or another path",
        path.display(), own.display()
    )]
    OwnDirectory {
        /// The volume.
        volume: String,
        /// The path.
        path: PathBuf,
        /// barepod's.
        own: PathBuf,
    },
    /// A directory that must belong to the container's user holds somebody else's files.
    #[error(
        "{what}: {} must belong to uid {wanted}, belongs to uid {owner}, and is not empty: if these are this service's \
         data, run `chown -R {wanted}:{group} {}`",
        path.display(), path.display()
    )]
    ForeignOwner {
        /// The volume.
        what: String,
        /// The directory on the host.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        wanted: u32,
        /// The group it must have.
        group: u32,
    },
    /// A directory that must belong to the container's user lies in no volume.
    #[error("{} must belong to the service's user, but no volume is mounted at or above it", path.display())]
    NoVolume {
        /// The path in the view.
        path: PathBuf,
    },
    /// Something is mounted in what is to be removed.
    #[error("{} cannot be removed: something is mounted there; unmount it", path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
    },
}

pub(super) fn at(what: &str, path: &Path, source: io::Error) -> VolumeError {
    VolumeError::Io { what: what.to_owned(), path: path.to_owned(), source }
}

pub(super) fn refused(volume: &str, rule: &'static str) -> VolumeError {
    VolumeError::Refused { volume: volume.to_owned(), rule }
}
