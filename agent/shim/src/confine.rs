//! What a process is confined by besides its user, its capabilities and its view: profiles that exec changes to, Landlock,
//! the filter of system calls.
//!
//! ```text
//!   while_root   a keyring of its own, profiles of AppArmor and SELinux, Landlock; the filter if new privileges may come by exec
//!   at_last      else the filter, when nothing but exec is left to do
//! ```
//!
//! A filter needs `no_new_privs` or `CAP_SYS_ADMIN`. Put on at last, it may forbid everything but exec.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use barepod_sys::landlock::{self, Ruleset};
use barepod_sys::{keyring, path, seccomp};

use crate::child::Report;
use crate::failure::{At as _, Failure};
use crate::wire::start_failed::Stage;
use crate::wire::{Confinement, Landlock};

/// Where a process says which profile its next exec changes to: the file of the module alone, and the one that all share
/// on kernels before 5.8.
const APP_ARMOR: [&str; 2] = ["/proc/thread-self/attr/apparmor/exec", "/proc/thread-self/attr/exec"];
const SE_LINUX: [&str; 1] = ["/proc/thread-self/attr/exec"];

/// How a filter that cannot be put on is named.
pub(crate) const FILTER: &str = "seccomp filter";

/// What confines one process.
#[derive(Debug)]
pub(crate) struct Confine {
    wanted: Confinement,
    no_new_privileges: bool,
}

impl Confine {
    pub(crate) fn new(wanted: Option<Confinement>, no_new_privileges: bool) -> Self {
        Self { wanted: wanted.unwrap_or_default(), no_new_privileges }
    }

    pub(crate) fn while_root(&self, report: &mut Report) -> Result<(), Failure> {
        // as root, so that it counts against root's quota and not against that of a user with many containers
        if let Err(error) = keyring::leave_session() {
            report.warn("session keyring".to_owned(), &error);
        }
        if !self.wanted.app_armor.is_empty() {
            let profile = format!("exec {}", self.wanted.app_armor);
            label(&APP_ARMOR, &profile).at(Stage::User, &format!("AppArmor profile {}", self.wanted.app_armor))?;
        }
        if !self.wanted.se_linux.is_empty() {
            let name = format!("SELinux label {}", self.wanted.se_linux);
            label(&SE_LINUX, &self.wanted.se_linux).at(Stage::User, &name)?;
        }
        if let Some(wanted) = &self.wanted.landlock {
            restrict_files(wanted, report).at(Stage::User, "Landlock")?;
        }
        if self.no_new_privileges { Ok(()) } else { self.filter() }
    }

    /// What [`Self::at_last`] would put on, for a process that does its last steps without this crate.
    pub(crate) fn last_filter(&self) -> Option<(&[u8], u32)> {
        let wanted = &self.wanted;
        (self.no_new_privileges && !wanted.seccomp.is_empty()).then_some((&wanted.seccomp[..], wanted.seccomp_flags))
    }

    pub(crate) fn at_last(&self) -> Result<(), Failure> {
        if self.no_new_privileges { self.filter() } else { Ok(()) }
    }

    fn filter(&self) -> Result<(), Failure> {
        if self.wanted.seccomp.is_empty() {
            return Ok(());
        }
        seccomp::filter(&self.wanted.seccomp, self.wanted.seccomp_flags).at(Stage::User, FILTER)
    }
}

/// Writes to the first of the files that there is.
fn label(files: &[&str], text: &str) -> io::Result<()> {
    let there = files.iter().find(|file| Path::new(file).exists()).ok_or(io::ErrorKind::NotFound)?;
    fs::write(there, text)
}

/// Before this version files could not be moved from one directory to another, which services do.
const LEAST_ABI: u32 = 2;

/// `EBADFD`.
const NO_PLACE: i32 = 77;

/// A kernel that has no Landlock runs the process without.
fn restrict_files(wanted: &Landlock, report: &mut Report) -> io::Result<()> {
    let abi = match usable_abi() {
        Ok(abi) => abi,
        Err(error) => {
            report.warn("Landlock".to_owned(), &error);
            return Ok(());
        }
    };
    let rules = Ruleset::new(abi)?;
    for place in &wanted.writable {
        match path::refer(Path::new(place)) {
            Ok(place) => allow(&rules, place)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // They are opened again by name, as /dev/stdout, and lie outside of the view.
    for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
        match allow(&rules, stream) {
            // a pipe, which lies nowhere and which Landlock lets everybody open who has it
            Err(error) if error.raw_os_error() == Some(NO_PLACE) => {}
            allowed => allowed?,
        }
    }
    rules.restrict()
}

fn usable_abi() -> io::Result<u32> {
    match landlock::abi()? {
        abi if abi >= LEAST_ABI => Ok(abi),
        abi => Err(io::Error::other(format!("the kernel has version {abi} of it, and {LEAST_ABI} is needed"))),
    }
}

fn allow(rules: &Ruleset, place: impl AsFd) -> io::Result<()> {
    rules.allow_writes(place.as_fd(), path::kind(place.as_fd())?)
}
