//! Files of a volume whose contents are made from objects and from the pod itself (`configMap`, `secret`, `downwardAPI`,
//! `projected`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Contents;

/// A volume of made files, looked up when its pod was read. Its containers see new contents while they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projected {
    /// Its files, by rising path; no path lies below another one.
    pub files: Vec<ProjectedFile>,
    /// It lies in memory, since it may hold secrets.
    pub in_memory: bool,
    /// What it is made from and does not exist, in words: until it does, contents that were made before stay, and a
    /// volume that was never made keeps its pod waiting.
    pub missing: Option<String>,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectedFile {
    /// Relative path, without `..`.
    pub path: PathBuf,
    /// What is in it.
    pub contents: Contents,
    /// Permission bits, at most 0777.
    pub mode: u32,
}
