//! barepod as a task driver of Nomad: a plugin that Nomad's client starts, and that has the tasks of its jobs run as pods.
//!
//! The plugin is a thin client of the daemon's socket and keeps nothing: what it must know of a task is in the handle that the
//! client keeps for it, and in the daemon. Its death touches no service. A task is a pod of the source `nomad`, whose UID
//! follows from the task's id, or, where it is to outlive its allocation, from its place in the job; or it is a pod that is there
//! already and is adopted.
//!
//! What Nomad makes of each answer is written beside it in `proto/driver.proto`.
#![forbid(unsafe_code)]

mod base;
mod config;
mod cty;
mod daemon;
mod driver;
mod env;
mod exec;
mod fault;
mod fingerprint;
mod logs;
mod manifest;
mod meter;
mod names;
mod outcome;
mod resources;
mod schema;
mod service;
mod settings;
mod start;
mod stats;
mod stop;
mod table;
mod thrift;
mod volumes;
pub mod wire;

pub use base::HANDSHAKE;
pub use driver::Driver;
