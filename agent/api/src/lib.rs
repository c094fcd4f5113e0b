//! The daemon's socket: the messages of `proto/barepod.proto`, a client for them, and how a refusal travels.

mod client;
pub mod events;
pub mod flow;
mod refusal;

pub use client::{
    ActsFor, ConnectError, StreamClient, connect, reach, reach_for, reach_for_stream, reach_for_stream_for,
};
pub use refusal::{reason_of, refusal};

/// The annotation of a pod of Nomad's that lists the CPUs it may run on, by their numbers: `3,4`.
pub const CPUS_ANNOTATION: &str = "nomad.barepod.dev/cpus";

/// The condition of a pod that says whether a Nomad cluster counts what it has of the host. The bridge's to set.
pub const ACCOUNTED: &str = "nomad.barepod.dev/Accounted";

/// Messages, client and server, generated from `proto/barepod.proto` by `cargo xtask gen`.
pub mod v1 {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto file")]
    include!("generated.rs");
}
