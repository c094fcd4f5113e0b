//! What happened in a run, step by step.

use std::time::Duration;

use barepod_core::{Effect, Input};
use serde::Serialize;

/// One line of a run.
#[derive(Debug, Serialize)]
pub enum Entry<'a> {
    /// The core was told.
    Input(&'a Input),
    /// The core wants.
    Effect(&'a Effect),
    /// Something happened on the host.
    Host(&'a str),
}

/// Where a run is written to, with the simulated time of each entry.
pub type Sink<'a> = Option<&'a mut dyn FnMut(Duration, &Entry<'_>)>;
