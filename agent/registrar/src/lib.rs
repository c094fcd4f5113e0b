//! A host's pods in the books of a Nomad cluster.
//!
//! An allocation is the only thing that Nomad counts. So every pod that Nomad did not start appears there as a job of its own:
//! pinned to this host's client, of the driver `barepod` in adopt mode, detached when it stops. Whatever becomes of such a job
//! or of Nomad, the pod's processes are the same. The other way round, what Nomad has given to tasks that are no pods is told to the
//! daemon, which gives it to nobody else.
//!
//! ```text
//!   daemon: pods ──▶ wanted ─┐            ┌─▶ plan, register, purge ──▶ Nomad
//!                            ├─▶ decide ──┤
//!   Nomad: jobs, allocations ┘            └─▶ conditions of pods, bookings ──▶ daemon
//! ```
//!
//! What is decided is pure ([`decide`], [`wanted`], [`job`], [`booked`], [`verdict`]); [`Registrar`] acts. [`setup`] prepares
//! a Nomad cluster and this host for it.
#![forbid(unsafe_code)]

pub mod booked;
pub mod check;
mod client;
pub mod decide;
mod follow;
pub mod job;
mod jobs;
pub mod node;
mod registrar;
mod settings;
pub mod setup;
pub mod status;
mod tls;
mod token;
pub mod verdict;
mod volumes;
pub mod wanted;

pub use client::{Client, ClientError};
pub use registrar::Registrar;
pub use settings::{Settings, SettingsError};
