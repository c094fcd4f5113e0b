//! Container logs as Kubernetes' log readers expect them: CRI lines, files that rotate, and reading them again.
//!
//! Std only, since the shim writes with it: no allocation for a line, one write for a batch.
#![forbid(unsafe_code)]

pub mod cri;
pub mod files;
pub mod reader;
pub mod time;
pub mod writer;

#[cfg(test)]
mod testing;
