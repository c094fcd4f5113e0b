//! The parent of one container's process, and its wire with the daemon.

pub mod layout;
pub mod wire;
