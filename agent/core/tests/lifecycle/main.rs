//! The rules of a pod's life, each as a theorem.

mod bench;
mod deletion;
mod probes;
mod recovery;
mod starting;
mod updates;
