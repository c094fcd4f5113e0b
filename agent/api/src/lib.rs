//! The daemon's socket: the messages of `proto/barepod.proto`, a client for them, and how a refusal travels.

mod client;
pub mod flow;
mod refusal;

pub use client::{ConnectError, StreamClient, connect, reach, reach_for_stream};
pub use refusal::{reason_of, refusal};

/// Messages, client and server, generated from `proto/barepod.proto` by `cargo xtask gen`.
pub mod v1 {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto file")]
    include!("generated.rs");
}
