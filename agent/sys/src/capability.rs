//! Capabilities of this process (capabilities(7)), by kernel number.

use std::io;

use crate::result::done;

/// Version 3 of the header: two words of 32 bits each.
const VERSION: u32 = 0x2008_0522;
/// No kernel has a higher number in two words.
const HIGHEST: u32 = 63;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(u64);

impl FromIterator<u32> for Set {
    /// Numbers over 63 mean nothing to any kernel and are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        Self(numbers.into_iter().filter(|&n| n <= HIGHEST).fold(0, |set, n| set | (1 << n)))
    }
}

impl Set {
    /// Whether it is in.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        number <= HIGHEST && self.0 & (1 << number) != 0
    }
}

/// Drops all others from the bounding set. Needs `CAP_SETPCAP` where there is something to drop.
///
/// # Errors
/// As prctl(2).
pub fn limit_bounding(kept: Set) -> io::Result<()> {
    for number in 0..=HIGHEST {
        // SAFETY: PR_CAPBSET_READ takes a number and touches no memory.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number as libc::c_ulong, 0, 0, 0) };
        if present < 0 {
            break; // the kernel has no such capability, nor any above
        }
        if present == 1 && !kept.contains(number) {
            // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
            done(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) })?;
        }
    }
    Ok(())
}

/// What this process is permitted at present.
///
/// # Errors
/// As capget(2).
pub fn permitted() -> io::Result<Set> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut words = [Word { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: header and words are live, of the layout that version 3 has, and written within their bounds.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) })?;
    Ok(Set(u64::from(words[0].permitted) | u64::from(words[1].permitted) << 32))
}

/// Makes this the effective and permitted set, as far as it is permitted now; inheritable becomes empty, as in container
/// runtimes since CVE-2022-24769.
///
/// # Errors
/// As capset(2).
pub fn set(kept: Set) -> io::Result<()> {
    store(Set(kept.0 & permitted()?.0), Set::default())
}

fn store(kept: Set, inheritable: Set) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let word = |shift: u32| {
        let kept = (kept.0 >> shift) as u32;
        Word { effective: kept, permitted: kept, inheritable: (inheritable.0 >> shift) as u32 }
    };
    let words = [word(0), word(32)];
    // SAFETY: header and words are live and of the layout that version 3 has.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) })
}

/// Makes a change from root to another user keep the permitted set, until the next exec.
///
/// # Errors
/// As prctl(2).
pub fn keep_over_change_of_user() -> io::Result<()> {
    // SAFETY: this prctl takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })
}

/// Adds what of these is permitted now to the inheritable and the ambient set: an exec keeps it in effect for a user other than
/// root.
///
/// # Errors
/// As capset(2) and prctl(2).
pub fn raise_ambient(raised: Set) -> io::Result<()> {
    let raised = Set(raised.0 & permitted()?.0);
    store(permitted()?, raised)?;
    for number in (0..=HIGHEST).filter(|&number| raised.contains(number)) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        // SAFETY: this prctl takes numbers and touches no memory.
        done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number as libc::c_ulong, 0, 0) })?;
    }
    Ok(())
}

/// Empties the ambient set.
///
/// # Errors
/// As prctl(2).
pub fn clear_ambient() -> io::Result<()> {
    // SAFETY: this prctl takes numbers and touches no memory.
    done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0, 0, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_ignores_what_no_kernel_has() {
        let set: Set = [0, 5, 40, 63, 64, 1000].into_iter().collect();

        assert!([0, 5, 40, 63].into_iter().all(|n| set.contains(n)));
        assert!([1, 39, 64, 1000].into_iter().all(|n| !set.contains(n)));
    }
}
