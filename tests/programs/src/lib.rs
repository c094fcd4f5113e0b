//! Small static programs that the tests run as services and inside the guest, and what they share with the harness.
//!
//! A crate of its own, because these programs are built for musl and must not pull the harness' dependencies with them.

pub mod stamp;
pub mod wire;
