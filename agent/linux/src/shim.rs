//! The daemon's side of the shims: starting one, speaking with it, and joining its container.
//!
//! A shim outlives the daemon. [`ensure`] finds the living one by its socket, or starts one in the same directory, which
//! takes over whatever process the one before has left.

mod attach;
mod client;
mod error;
mod exec;
mod spawn;

pub use attach::{Heard, Said, attach};
pub use client::{Requests, ShimClient};
pub use error::ShimError;
pub use exec::{Executed, Joined, exec};
pub(crate) use spawn::reap;
pub use spawn::{Spawn, ensure};

#[cfg(test)]
mod tests;
