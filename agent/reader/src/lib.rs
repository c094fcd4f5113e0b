//! From a manifest's text to pods that may be applied: manifest, presets, this host's software and accounts; and what this
//! host's policy says to them. The daemon reads so what it runs, the command line what it only looks at.

mod facts;
mod host;
mod reader;

pub use facts::gather as host_facts;
pub use host::{LocalHost, user_of};
pub use reader::{Diagnostic, Diagnostics, ReadPod, Reader, may_apply};
