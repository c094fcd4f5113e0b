//! What can go wrong with control groups.

use std::io;
use std::path::PathBuf;

use barepod_model::Bytes;

/// Why a control group could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Nothing is mounted where control groups should be.
    #[error(
        "no control groups are mounted at {}: mount them with \
         `mount -t cgroup2 none {}`, or boot with systemd",
        root.display(), root.display()
    )]
    NotMounted {
        /// Where was looked.
        root: PathBuf,
    },
    /// Only cgroup v1: groups could be neither watched nor killed as a whole.
    #[error(
        "only cgroup v1 is mounted at {}, and barepod needs cgroup2 to watch and kill groups: mount it beside them with \
         `mkdir -p {}/unified && mount -t cgroup2 none {}/unified`, or boot with systemd.unified_cgroup_hierarchy=1",
        root.display(), root.display(), root.display()
    )]
    LegacyOnly {
        /// Where was looked.
        root: PathBuf,
    },
    /// The configured base would leave the control group file system.
    #[error("the cgroup base {} must be a relative path of plain names, such as barepod or system.slice/barepod", base.display())]
    Base {
        /// The refused base.
        base: PathBuf,
    },
    /// A group cannot be made.
    #[error("cannot make the cgroup {}", path.display())]
    Make {
        /// The group.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A group that must be new is there, with processes in it.
    #[error("the cgroup {} is in use: something of an earlier attempt lives in it", path.display())]
    Used {
        /// The group.
        path: PathBuf,
    },
    /// A controller cannot be handed down the tree.
    #[error(
        "cannot enable the controller {controller} in {}; if the cause is EBUSY, processes sit in that very group: move \
         them into a child",
        path.display()
    )]
    Enable {
        /// The controller.
        controller: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of a group cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of a group does not say what it should.
    #[error("{} does not hold what was expected: {contents:?}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it holds.
        contents: String,
    },
    /// A file of a group cannot be written.
    #[error("cannot write {value} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// The cause.
        source: io::Error,
    },
    /// The memory limit would lie below what is in use and cannot be given back.
    #[error(
        "the memory limit of {} cannot be lowered to {limit}: {used} are in use and cannot be reclaimed; restart the \
         container with the new limit, or lower it less",
        path.display()
    )]
    InUse {
        /// The group.
        path: PathBuf,
        /// The limit that was asked for.
        limit: Bytes,
        /// What is used after reclaim.
        used: Bytes,
    },
    /// A group cannot be removed.
    #[error("cannot remove the cgroup {}; if the cause is EBUSY, a process is left in it", path.display())]
    Remove {
        /// The group.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
