//! The parent of one container's process, and its wire with the daemon.
//!
//! The daemon uses `wire`, `layout` and `record`; the rest is the `barepod-shim` binary. It has one thread, no runtime and
//! no logger, since one stays resident for each container as long as its service lives.
#![forbid(unsafe_code)]

pub mod adopt;
pub mod attach;
pub mod attempt;
pub mod begin;
pub mod cgroup;
pub mod child;
mod confine;
pub mod exec;
pub mod failure;
pub mod handover;
pub mod input;
pub mod journal;
pub mod keeper;
pub mod launch;
pub mod layout;
pub mod link;
pub mod notify;
pub mod output;
pub mod pause;
pub mod ready;
pub mod record;
mod standard;
pub mod standby;
pub mod stranger;
pub mod supervisor;
pub mod view;
pub mod wire;

#[cfg(test)]
mod testing;
