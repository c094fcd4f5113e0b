//! What a preset makes of a container, and why: for people.

use std::path::PathBuf;

use barepod_model::Resolved;

use crate::tuning::Setting;

/// An explanation.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The file of the preset.
    pub file: String,
    /// The files of presets that it extends or takes the place of, from near to far.
    pub above: Vec<String>,
    /// Where the contract of the image is documented.
    pub documented: Option<String>,
    /// Paths that the image reads, and what is done with what lies there.
    pub paths: Vec<(PathBuf, String)>,
    /// What comes out.
    pub resolved: Resolved,
    /// What became of each rule of tuning, in order.
    pub settings: Vec<Setting>,
}
