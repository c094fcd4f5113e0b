//! Who this process is: user, groups, host name, limits.

use std::io;

use crate::result::{c_string, done};

/// Sets the supplementary groups.
///
/// # Errors
/// As setgroups(2).
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length are those of a live slice of gid_t.
    done(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
}

/// Sets real, effective and saved group.
///
/// # Errors
/// As setresgid(2).
pub fn set_gid(gid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::setresgid(gid, gid, gid) })
}

/// Sets real, effective and saved user.
///
/// # Errors
/// As setresuid(2).
pub fn set_uid(uid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Sets the host name of this UTS namespace.
///
/// # Errors
/// As sethostname(2).
pub fn set_host_name(name: &str) -> io::Result<()> {
    let text = c_string(name)?;
    // SAFETY: pointer and length are those of a live string.
    done(unsafe { libc::sethostname(text.as_ptr(), name.len()) })
}

/// Sets a resource limit; `u64::MAX` is infinity.
///
/// # Errors
/// As setrlimit(2).
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is live; a resource that does not exist is EINVAL.
    done(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null_mut::<libc::rlimit>())
    })
}

/// A resource limit as it is, soft and hard.
///
/// # Errors
/// As getrlimit(2).
pub fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and written within its bounds; a resource that does not exist is EINVAL.
    done(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<libc::rlimit>(), &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets the file mode creation mask.
pub fn set_umask(mask: u32) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) };
}
