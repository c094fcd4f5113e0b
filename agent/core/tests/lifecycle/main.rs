//! The rules of a pod's life, each as a theorem.

mod bench;
mod deletion;
mod hooks;
mod policy;
mod probes;
mod recovery;
mod resources;
mod rules;
mod sidecars;
mod starting;
mod storage;
mod updates;
