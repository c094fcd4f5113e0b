//! Kubernetes objects to validated pods, with errors that name line and field.
//!
//! ```text
//!   text ──yaml──▶ values with places ──check──▶ fields known and honoured ──pod──▶ ParsedPod ──into_pod──▶ model::Pod
//! ```
//!
//! [`read`] takes a text and finds everything that is wrong with it at once: each field is looked up in Kubernetes' own
//! types and in the table of what barepod honours (`schema/`), then the values are held against Kubernetes' rules. What
//! stands in for an image is not known here: [`ParsedPod::into_pod`] asks for it.
//!
//! Pure: text in, values out. No file system, no clock.

mod actions;
mod assemble;
mod check;
mod container;
mod error;
mod expand;
mod names;
mod network;
mod paths;
mod place;
mod pod;
mod probes;
mod read;
mod resources;
mod restart;
mod schema;
mod security;
mod volumes;
mod yaml;

pub use assemble::Assembled;
pub use container::{ParsedContainer, Port};
pub use error::ManifestError;
pub use pod::ParsedPod;
pub use read::{read, read_bytes};
