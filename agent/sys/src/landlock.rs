//! Landlock: a process gives away rights to files for itself and all that it starts (landlock(7)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::result::{check, done};

// `linux/landlock.h`
const CREATE_RULESET: libc::c_long = 444;
const ADD_RULE: libc::c_long = 445;
const RESTRICT_SELF: libc::c_long = 446;
const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: libc::c_int = 1;

const WRITE_FILE: u64 = 1 << 1;
/// Removing, and making of each kind but devices.
const MAKE: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12;
const MAKE_DEVICE: u64 = 1 << 6 | 1 << 11;
/// Linking and renaming from one directory to another; without this word it is always refused.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const SCOPE_ABSTRACT_SOCKET: u64 = 1;

/// What may be written at a path that is a file.
const FILE: u64 = WRITE_FILE | TRUNCATE;

#[repr(C)]
struct RulesetAttributes {
    files: u64,
    network: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Which words the kernel knows: its ABI, 1 or higher.
///
/// # Errors
/// `ENOSYS` or `EOPNOTSUPP` where it has no Landlock, or where that is not switched on.
pub fn abi() -> io::Result<u32> {
    let nothing = std::ptr::null::<RulesetAttributes>();
    // SAFETY: with this flag the kernel takes no structure.
    let abi = check(unsafe { libc::syscall(CREATE_RULESET, nothing, 0_usize, CREATE_RULESET_VERSION) })?;
    Ok(abi as u32)
}

/// Rules that are not in force yet.
#[derive(Debug)]
pub struct Ruleset {
    rules: OwnedFd,
    writes: u64,
}

impl Ruleset {
    /// Nothing may be written, no device made, and, from ABI 6 on, no abstract socket of others be connected to. Reading and
    /// executing are not its business.
    ///
    /// # Errors
    /// As landlock_create_ruleset(2).
    pub fn new(abi: u32) -> io::Result<Self> {
        let refer = if abi >= 2 { REFER } else { 0 };
        let truncate = if abi >= 3 { TRUNCATE } else { 0 };
        let writes = WRITE_FILE | MAKE | refer | truncate;
        let scoped = if abi >= 6 { SCOPE_ABSTRACT_SOCKET } else { 0 };
        let attributes = RulesetAttributes { files: writes | MAKE_DEVICE, network: 0, scoped };
        // An older kernel takes a shorter structure, or a longer one with zeros at its end.
        let size = size_of::<RulesetAttributes>();
        // SAFETY: the structure is live and of this size.
        let fd = check(unsafe { libc::syscall(CREATE_RULESET, &raw const attributes, size, 0_u32) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self { rules: unsafe { OwnedFd::from_raw_fd(fd as RawFd) }, writes })
    }

    /// Everything below this directory, or this file, may be written.
    ///
    /// # Errors
    /// As landlock_add_rule(2).
    pub fn allow_writes(&self, place: BorrowedFd<'_>, kind: crate::path::Kind) -> io::Result<()> {
        let allowed = match kind {
            crate::path::Kind::Directory => self.writes,
            crate::path::Kind::Other => self.writes & FILE,
        };
        let rule = PathBeneath { allowed, parent: place.as_raw_fd() };
        // SAFETY: the structure is live and of the kind that is named.
        done(unsafe { libc::syscall(ADD_RULE, self.rules.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0_u32) })
    }

    /// From now on, for this process and all that it starts. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// As landlock_restrict_self(2).
    pub fn restrict(self) -> io::Result<()> {
        // SAFETY: takes numbers only.
        done(unsafe { libc::syscall(RESTRICT_SELF, self.rules.as_raw_fd(), 0_u32) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::path;

    #[test]
    fn what_is_not_allowed_cannot_be_written_and_what_is_can() {
        let abi = match abi() {
            Ok(abi) => abi,
            // A kernel without it says so in one of two ways; what then happens to a container is shown end to end.
            Err(error) => {
                return assert!(matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP)), "{error}");
            }
        };
        let scratch = std::env::temp_dir().join(format!("barepod-sys-landlock-{}", std::process::id()));
        fs::create_dir_all(scratch.join("open")).unwrap();
        fs::create_dir_all(scratch.join("closed")).unwrap();
        let (open, closed) = (scratch.join("open"), scratch.join("closed"));
        let at = open.clone();
        // A domain is its thread's own.
        let tried = std::thread::spawn(move || -> io::Result<_> {
            let rules = Ruleset::new(abi)?;
            let place = path::refer(&at)?;
            rules.allow_writes(place.as_fd(), path::Kind::Directory)?;
            crate::process::forbid_new_privileges()?;
            rules.restrict()?;
            Ok((fs::write(at.join("file"), "x"), fs::write(closed.join("file"), "x"), fs::read_dir(&closed).is_ok()))
        });

        let (inside, outside, read) = tried.join().unwrap().unwrap();

        fs::remove_dir_all(&scratch).unwrap();
        assert!(inside.is_ok(), "{inside:?}");
        assert_eq!(outside.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(read);
    }
}
