//! Raw system calls: clone3, pidfd, mounts, prctl, terminals. The only crate with unsafe code; what it gives is safe.
//!
//! One module for each noun. Everything is synchronous; errors are `std::io::Error` with the kernel's errno.
#![expect(unsafe_code, reason = "system calls have no safe interface; this crate is where they get one")]

pub mod allocator;
pub mod capability;
pub mod clock;
pub mod clone;
pub mod datagram;
pub mod descriptor;
pub mod identity;
pub mod keyring;
pub mod landlock;
pub mod launch;
pub mod map;
pub mod mount;
pub mod pass;
pub mod path;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod priority;
pub mod proc;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod standby;
pub mod terminal;
pub mod wait;

mod result;
