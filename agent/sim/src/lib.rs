//! A simulated host with faults, and the invariants the core must keep.
