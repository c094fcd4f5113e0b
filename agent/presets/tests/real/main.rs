//! The PostgreSQL preset with the PostgreSQL of this machine: what is rendered is run, as the account it is meant for, in a
//! PID namespace of its own, so that killing its first process kills everything, as in a pod.
//!
//! Needs root and an installed PostgreSQL; says so and does nothing without.

mod config;
mod kill;
mod sandbox;
mod start;
