//! The preset catalogue: what stands in for a container image.
//!
//! A preset is a YAML file: which image names it answers to, where the software lies on the host and how its version is
//! read, who it runs as, and the contract of the official image: environment, arguments, initialisation, configuration,
//! tuning, probes, stop. Data, not code: a new service needs no Rust. Those in `configs/presets` are built in.
//!
//! ```text
//!   text ──parse──▶ Tree ──inherit──▶ Tree with its parents ──read──▶ PresetFile ──check──▶ Catalogue
//!
//!   ContainerRequest ──image──▶ preset ──versions──▶ software ──contract──▶ service or plain command ──▶ Resolved
//! ```
//!
//! [`Catalogue::resolve`] asks the host only through [`Host`], so it can be tried out on a host that does not exist.

mod arguments;
mod catalogue;
mod contract;
mod distribution;
mod error;
mod explain;
mod file;
mod host;
mod host_check;
mod image;
mod inherit;
mod load;
mod print;
mod read;
mod resolve;
mod run;
mod schema;
mod service;
mod template;
mod tree;
mod tree_root;
mod tuning;
mod user;
mod version;
mod word;

pub use catalogue::{Catalogue, Listed, PresetSource};
pub use error::PresetError;
pub use explain::Explanation;
pub use host::{Account, Host, LocalHost};
pub use host_check::{Unmet, Want};
pub use resolve::HostWants;
pub use run::{Password, RunPlan};
pub use schema::{json_schema, markdown, merge_keys_exist};
pub use tuning::{Setting, Verdict};
