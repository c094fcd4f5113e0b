//! Giving up what a prober does not need, before it has read a byte from anybody.

use std::io;

use barepod_sys::{capability, identity, process};

/// As whom the prober runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nobody {
    /// User.
    pub uid: u32,
    /// Group; it has no others.
    pub gid: u32,
}

/// What could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot give up {what}")]
pub struct PrivilegeError {
    /// A word for it.
    pub what: &'static str,
    /// The cause.
    pub source: io::Error,
}

/// Sockets at once, and what little else there is: each probe and hook under way holds one.
const DESCRIPTORS: u64 = 4096;

/// Data of the process: far more than it needs, and so little that no service can fill the host's memory with its answers.
const DATA: u64 = 192 << 20;

/// Where the kernel looks first when memory runs out: a new prober costs milliseconds, a database minutes.
const OOM_SCORE: &str = "800";

/// Becomes `nobody`, for good: no capability, no way to gain one, no file to be written, and little memory.
///
/// # Errors
/// What could not be given up. The process must end then.
pub fn give_up(nobody: Nobody) -> Result<(), PrivilegeError> {
    let failed = |what| move |source| PrivilegeError { what, source };
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).map_err(failed("its place before the OOM killer"))?;
    for (what, resource, limit) in [
        ("descriptors", libc::RLIMIT_NOFILE, DESCRIPTORS),
        ("memory", libc::RLIMIT_DATA, DATA),
        ("core dumps", libc::RLIMIT_CORE, 0),
        ("writing files", libc::RLIMIT_FSIZE, 0),
        ("locked memory", libc::RLIMIT_MEMLOCK, 0),
    ] {
        lower(resource, limit).map_err(failed(what))?;
    }
    process::forbid_new_privileges().map_err(failed("new privileges"))?;
    capability::limit_bounding(capability::Set::default()).map_err(failed("the bounding set"))?;
    capability::clear_ambient().map_err(failed("ambient capabilities"))?;
    identity::set_groups(&[]).map_err(failed("groups"))?;
    identity::set_gid(nobody.gid).map_err(failed("its group"))?;
    identity::set_uid(nobody.uid).map_err(failed("root"))?;
    capability::set(capability::Set::default()).map_err(failed("capabilities"))?;
    // No code that answers to the network can undo any of it from here on.
    std::env::set_current_dir("/").map_err(failed("its directory"))
}

/// Sets both limits, never higher than they are.
fn lower(resource: u32, limit: u64) -> io::Result<()> {
    let (_, hard) = identity::limit(resource)?;
    let limit = limit.min(hard);
    identity::set_limit(resource, limit, limit)
}
