//! What the prober calls itself.
//!
//! It begins as kubelet's does (`kube-probe/1.36`): services leave such requests out of their logs, or let them in without a
//! password, by that beginning. Who looks closer sees that it is barepod.

/// Of probes.
pub(crate) const PROBE: &str = concat!("kube-probe/1.36 barepod/", env!("CARGO_PKG_VERSION"));

/// Of hooks.
pub(crate) const HOOK: &str = concat!("kube-lifecycle/1.36 barepod/", env!("CARGO_PKG_VERSION"));
