//! The wire between `barepodd` and `barepod-prober`, written down in `proto/prober.proto`: messages, and their frames.
//!
//! Both sides read from a process that they do not have to trust (the prober holds the sockets, and what it says was said to
//! it by services): lengths are bounded, and nothing is reserved for what a length only promises.
#![forbid(unsafe_code)]

mod frame;
#[rustfmt::skip]
#[expect(missing_docs, reason = "generated; the words are explained in proto/prober.proto")]
mod generated;
mod shown;

pub use frame::{FrameError, Frames, MAX_FRAME, encode};
pub use generated::*;

/// The version of this wire.
pub const VERSION: u32 = 1;
