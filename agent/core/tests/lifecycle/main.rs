//! The rules of a pod's life, each as a theorem.

mod bench;
mod booking;
mod causes;
mod conditions;
mod deletion;
mod ephemeral;
mod halt;
mod hooks;
mod host_rules;
mod notify;
mod policy;
mod pressure;
mod probes;
mod recovery;
mod resources;
mod rules;
mod semantics;
mod shutdown;
mod sidecars;
mod starting;
mod storage;
mod updates;
