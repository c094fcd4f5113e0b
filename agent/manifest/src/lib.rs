//! Kubernetes objects to validated pods, with errors that name line and field.
//!
//! ```text
//!   text ──yaml──▶ values with places ──check──▶ fields known and honoured ──pod──▶ ParsedPod ──into_pod──▶ model::Pod
//!                                          └────────────object──▶ Object ──▶ Objects ──────────────┘
//! ```
//!
//! [`read_all`] takes a text and finds everything that is wrong with it at once: each field is looked up in Kubernetes' own
//! types and in the table of what barepod honours (`schema/`), then the values are held against Kubernetes' rules. What
//! stands in for an image is not known here: [`ParsedPod::into_pod`] asks for it, and looks up what the pod refers to, so that
//! in a `model::Pod` nothing is left to look up.
//!
//! Pure: text in, values out. No file system, no clock.

mod actions;
mod assemble;
mod check;
mod cluster;
mod confinement;
mod container;
mod context;
mod ephemeral;
mod error;
mod expand;
pub mod fields;
mod kinds;
mod lookup;
mod names;
mod network;
mod notify;
mod object;
mod objects;
mod paths;
mod pod;
mod pod_resources;
mod priority;
mod probes;
mod program;
mod projections;
mod read;
mod references;
mod resources;
mod restart;
mod schema;
mod security;
mod volumes;
mod workload;

use barepod_yaml::{self as yaml, place};

pub use assemble::Assembled;
pub use cluster::{Cluster, TokenRef};
pub use container::{ParsedContainer, Port};
pub use context::{Context, HostFacts};
pub use error::ManifestError;
pub use objects::{Object, ObjectBody, ObjectKind, ObjectRef, Objects};
pub use pod::ParsedPod;
pub use read::{Manifests, read, read_all, read_bytes};
