//! The preset catalogue: what stands in for a container image.
//!
//! A preset is a YAML file: which image names it answers to, where the software lies on the host and how its version is
//! read, who it runs as, and the contract of the official image: environment, arguments, initialisation, configuration,
//! tuning, probes, stop. Data, not code: a new service needs no Rust. Those in `configs/presets` are built in.
//!
//! ```text
//!   ContainerRequest ──image──▶ preset ──versions──▶ software ──contract──▶ service or plain command ──▶ Resolved
//! ```
//!
//! [`Catalogue::resolve`] asks the host only through [`Host`], so it can be tried out on a host that does not exist.

mod catalogue;
mod contract;
mod error;
mod file;
mod host;
mod image;
mod load;
mod resolve;
mod service;
mod template;
mod user;
mod version;
mod word;

pub use catalogue::{Catalogue, PresetSource};
pub use error::PresetError;
pub use host::{Account, Host, LocalHost};
