//! Plugins for programs that use HashiCorp's [go-plugin](https://github.com/hashicorp/go-plugin), written in Rust: the
//! server's side of its protocol, version 1 over gRPC.
//!
//! The host starts the plugin with a cookie in its environment, reads one line from its standard output that says where the
//! plugin listens, and connects. [`serve`] does all of that, and answers what every plugin is asked: to shut down, for its
//! output, for further connections, for its health. The plugin's own services are added to the routes it is given.
//!
//! - The socket is a unix socket in a directory that its user alone may enter. There is no TCP, and no TLS (`AutoMTLS`).
//! - Nothing but the handshake's line is ever written to standard output. What is logged by [`hclog`] goes to standard
//!   error in the form in which hosts log it anew. A host that does not read, or is dead, holds up nothing.
//! - SIGINT is ignored: terminals send it to all of a process group, and a plugin ends when its host says so.
//! - A host that dies is survived: it, or the next one, may connect again.
#![forbid(unsafe_code)]

mod handshake;
pub mod hclog;
mod server;
mod socket;
mod standard;

/// Messages, clients and servers, generated from `proto/goplugin.proto` by `cargo xtask gen`.
pub mod wire {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated; documented in the .proto file")]
    include!("generated.rs");
}

pub use handshake::{Handshake, Refusal};
pub use server::{ServeError, serve};
