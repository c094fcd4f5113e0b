//! What `barepod-prober` does: asks services over the network for `barepodd`, which runs as root and so never does.
//!
//! The daemon starts it with a socket as descriptor 0 and writes questions; it answers each ([`serve`]). It gives up every
//! right before the first ([`privileges`]), and knows no pod, no state and no configuration: killed at any moment, another
//! takes its place. Meanings are kubelet's (`pkg/probe`), to the texts of failures.
#![forbid(unsafe_code)]

mod agent;
mod dial;
mod exchange;
pub mod grpc;
mod headers;
pub mod http;
pub mod privileges;
mod redirect;
mod serve;
mod target;
pub mod tcp;
mod tls;
mod verdict;

pub use serve::serve;
pub use verdict::Verdict;
