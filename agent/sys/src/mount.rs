//! Mounts: detached copies of trees (open_tree, mount_setattr, move_mount; Linux 5.12), file systems, and the root.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use crate::result::{c_path, c_string, check, done};

const HERE: &CStr = c"";

// `linux/mount.h`
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

/// One mount, or also all that is mounted below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One.
    One,
    /// All.
    Tree,
}

impl Depth {
    fn at_flag(self) -> libc::c_int {
        match self {
            Self::One => 0,
            Self::Tree => libc::AT_RECURSIVE,
        }
    }
}

/// What is not allowed on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// Writing.
    pub read_only: bool,
    /// Set-user-ID and file capabilities.
    pub no_suid: bool,
    /// Device nodes.
    pub no_dev: bool,
    /// Execution.
    pub no_exec: bool,
}

impl Restrictions {
    fn attributes(self) -> u64 {
        [
            (self.read_only, libc::MOUNT_ATTR_RDONLY),
            (self.no_suid, libc::MOUNT_ATTR_NOSUID),
            (self.no_dev, libc::MOUNT_ATTR_NODEV),
            (self.no_exec, libc::MOUNT_ATTR_NOEXEC),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |all, (_, bit)| all | bit)
    }
}

/// How mounts made elsewhere reach this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// They arrive here; those made here do not leave.
    Slave,
}

impl Propagation {
    fn flag(self) -> libc::c_ulong {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
        }
    }
}

/// A detached copy of what is mounted at `source`, to be attached with [`attach`].
///
/// # Errors
/// As open_tree(2).
pub fn copy_of(source: BorrowedFd<'_>, depth: Depth) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE as libc::c_int
        | libc::OPEN_TREE_CLOEXEC as libc::c_int
        | libc::AT_EMPTY_PATH
        | depth.at_flag();
    // SAFETY: the path is a live C string.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), HERE.as_ptr(), flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Adds restrictions to a mount and sets its propagation, if one is given.
///
/// # Errors
/// As mount_setattr(2).
pub fn restrict(
    mount: BorrowedFd<'_>,
    depth: Depth,
    restrictions: Restrictions,
    propagation: Option<Propagation>,
) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain structure of numbers.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = restrictions.attributes();
    attributes.propagation = propagation.map_or(0, Propagation::flag);
    let flags = libc::AT_EMPTY_PATH | depth.at_flag();
    let size = size_of::<libc::mount_attr>();
    // SAFETY: path and structure are live; the size is that of the structure.
    done(unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), HERE.as_ptr(), flags, &raw const attributes, size)
    })
}

/// Attaches a detached mount at `target`.
///
/// # Errors
/// As move_mount(2).
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are live C strings.
    done(unsafe {
        libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), HERE.as_ptr(), target.as_raw_fd(), HERE.as_ptr(), flags)
    })
}

/// Mounts a new file system at `target`. `/proc` must be there.
///
/// # Errors
/// As mount(2).
pub fn file_system(
    kind: &str,
    source: &str,
    target: BorrowedFd<'_>,
    restrictions: Restrictions,
    data: &str,
) -> io::Result<()> {
    attach(new(kind, source, restrictions, data)?.as_fd(), target)
}

/// A file system that is mounted nowhere yet. Made without a path, so that it works where `/proc` is not mounted.
fn new(kind: &str, source: &str, restrictions: Restrictions, data: &str) -> io::Result<OwnedFd> {
    let kind = c_string(kind)?;
    // SAFETY: a live C string and a number.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    configure(&context, Parameter::Text("source", source))?;
    for option in data.split(',').filter(|option| !option.is_empty()) {
        let parameter =
            option.split_once('=').map_or(Parameter::Flag(option), |(name, value)| Parameter::Text(name, value));
        configure(&context, parameter)?;
    }
    configure(&context, Parameter::Create)?;
    // SAFETY: takes numbers only.
    owned(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            restrictions.attributes() as libc::c_uint,
        )
    })
}

/// One step of fsconfig(2).
enum Parameter<'a> {
    Flag(&'a str),
    Text(&'a str, &'a str),
    Create,
}

fn configure(context: &OwnedFd, parameter: Parameter<'_>) -> io::Result<()> {
    let (command, name, value) = match parameter {
        Parameter::Flag(name) => (FSCONFIG_SET_FLAG, Some(c_string(name)?), None),
        Parameter::Text(name, value) => (FSCONFIG_SET_STRING, Some(c_string(name)?), Some(c_string(value)?)),
        Parameter::Create => (FSCONFIG_CMD_CREATE, None, None),
    };
    let pointer = |text: &Option<std::ffi::CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: both are null or live C strings, as the command wants them.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, pointer(&name), pointer(&value), 0) })
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sets the propagation of everything mounted in this namespace.
///
/// # Errors
/// As mount(2).
pub fn propagate_all(propagation: Propagation) -> io::Result<()> {
    let flags = libc::MS_REC | propagation.flag();
    // SAFETY: the target is a live C string; the other pointers may be null for this operation.
    done(unsafe { libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
}

/// Makes the mount point `root` the root of this mount namespace, and detaches the old one.
///
/// # Errors
/// As fchdir(2), pivot_root(2), umount2(2).
pub fn become_root(root: impl AsFd) -> io::Result<()> {
    // SAFETY: takes a descriptor that is open.
    done(unsafe { libc::fchdir(root.as_fd().as_raw_fd()) })?;
    // SAFETY: both paths are live C strings. With the same directory twice the old root lies on the new one.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: a live C string.
    done(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    // SAFETY: a live C string.
    done(unsafe { libc::chdir(c"/".as_ptr()) })
}

/// Detaches what is mounted at this path, and all below it.
///
/// # Errors
/// As umount2(2).
pub fn detach(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: a live C string.
    done(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) })
}
