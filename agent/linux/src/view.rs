//! What a container sees of the host: a list of mounts that its shim carries out in a mount namespace of its own.
//!
//! [`plan`] is pure: it asks a [`HostDirs`] what is where and answers with words of the shim's wire. Three kinds of root:
//!
//! - **The host's own.** A private tmpfs in which the host's top-level directories are bound read-only, with what is
//!   mounted below them, one by one: a recursive bind would take other pods' tmpfs volumes along and keep them alive.
//! - **A directory tree, read-only.** The same, with the tree's top-level entries.
//! - **A directory tree, writable.** An overlay of it with a private upper directory.
//!
//! ```text
//!   /                 tmpfs, read-only at the end
//!   ├── usr, etc, ..  bound read-only          ├── bin -> usr/bin   links made again
//!   ├── tmp, run      tmpfs of its own         ├── home, root, ..   empty
//!   ├── dev, proc, sys of its own              └── var/lib/barepod  masked
//! ```
//!
//! A container that runs as root sees no more of the host than everybody may: what is readable for some alone is masked.
//!
//! Nothing ever appears on the host. Where a mount point is missing there, its parent is *imitated*: a tmpfs of the same
//! mode and owner takes its place, the entries it has on the host are bound into it one by one, and the mount point is
//! made beside them. Only the nearest parent that exists is imitated, and it is read-only in the end like everything else.

mod host_dirs;
mod kernel;
mod mount;
mod plan;
mod private;
mod witness;

#[cfg(test)]
mod real;

pub use host_dirs::{Host, HostDirs, HostMount, Kind, Node, is_local};
pub use plan::{Manner, Place, Placement, Request, ViewError, plan};
pub use witness::{Witness, plan_witnessed};
