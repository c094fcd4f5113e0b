//! System calls that no library wraps, or that libraries keep people from making wrongly. Each says what the kernel said.
#![expect(
    unsafe_code,
    reason = "calls with arguments that are wrong on purpose; a process of its own makes each of them"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

/// What the kernel said to a call that takes numbers and pointers to memory that lives as long as this process.
pub(crate) fn call(number: libc::c_long, arguments: &[usize]) -> io::Result<usize> {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: what is passed are numbers and addresses of live memory of sufficient size; nothing of this process's own is
    // changed but by calls whose success ends it.
    let said =
        unsafe { libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)) };
    if said < 0 { Err(io::Error::last_os_error()) } else { Ok(said as usize) }
}

/// The address of a text.
pub(crate) fn text(text: &CStr) -> usize {
    text.as_ptr().addr()
}

pub(crate) fn owned(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// The address of bytes that a call reads or fills.
pub(crate) fn bytes(bytes: &mut [u8]) -> usize {
    bytes.as_mut_ptr().expose_provenance()
}

/// A descriptor that a call gave.
pub(crate) fn descriptor(number: usize) -> OwnedFd {
    // SAFETY: the caller has it from the kernel a moment ago, and nobody else does.
    unsafe { OwnedFd::from_raw_fd(number as RawFd) }
}

/// Copies `length` bytes at `address` of another process.
pub(crate) fn read_memory(pid: u32, address: usize) -> io::Result<usize> {
    let mut copy = [0_u8; 8];
    let local = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len: copy.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: copy.len() };
    // SAFETY: the local vector is live; the remote one is an address of the other process.
    let said = unsafe { libc::process_vm_readv(pid as libc::pid_t, &raw const local, 1, &raw const remote, 1, 0) };
    if said < 0 { Err(io::Error::last_os_error()) } else { Ok(said as usize) }
}

/// The first data mapping of a process, as far as it is told.
pub(crate) fn mapping(pid: u32) -> io::Result<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let line = maps.lines().find(|line| line.contains(" rw")).ok_or(io::ErrorKind::NotFound)?;
    let start = line.split('-').next().and_then(|text| usize::from_str_radix(text, 16).ok());
    start.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The handle of a directory, given back to the kernel: what lies behind it is opened whatever the path to it would need.
pub(crate) fn by_handle(mount: &std::fs::File, inode: u64) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        inode: u32,
        generation: u32,
    }
    // What ext4, xfs and others call FILEID_INO32_GEN.
    let mut handle = Handle { bytes: 8, kind: 1, inode: inode as u32, generation: 0 };
    let at = (&raw mut handle).expose_provenance();
    call(libc::SYS_open_by_handle_at, &[mount.as_raw_fd() as usize, at, libc::O_RDONLY as usize]).map(descriptor)
}
