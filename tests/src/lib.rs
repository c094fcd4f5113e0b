//! What the end-to-end tests, the demo and the bench share: scratch places, waiting, skips, built programs, and a booted
//! Debian.
//!
//! Nothing here sleeps where a condition can be waited for, and nothing waits without a limit.

pub mod bridge;
pub mod cache;
pub mod clock;
pub mod cluster;
pub mod fleet;
pub mod guest;
pub mod host;
pub mod joined;
pub mod keeper;
pub mod link;
pub mod listen;
pub mod logs;
pub mod mounts;
pub mod network;
pub mod nomad;
pub mod packages;
pub mod pages;
pub mod peers;
pub mod pods;
pub mod process;
pub mod programs;
mod scratch;
pub mod simulated;
#[doc(hidden)]
pub mod skip;
pub mod sockets;
pub mod terminal;
pub mod vm;
mod wait;

pub use scratch::{Scratch, free_port, steady_port};
pub use skip::{Tier, tier};
pub use wait::{PATIENCE, WaitedInVain, wait_for};
