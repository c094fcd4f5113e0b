//! Cgroups, users, the view of the host, and the client of the shim.
//!
//! What barepod does to Linux, one module a noun. Everything that reads the kernel takes a root path or a trait, so that
//! its rules are tested on temporary directories and without root.

#![forbid(unsafe_code)]

pub mod app_armor;
pub mod cgroup;
mod dirs;
pub mod disk;
pub mod host;
pub mod host_usage;
pub mod ids;
pub mod listeners;
pub mod prober;
pub mod replaced;
pub mod sandbox;
pub mod se_linux;
pub mod seccomp;
pub mod shim;
pub mod terminal;
#[cfg(test)]
mod testing;
pub mod users;
pub mod view;
pub mod volumes;

pub use dirs::Dirs;
pub use ids::container_id;
