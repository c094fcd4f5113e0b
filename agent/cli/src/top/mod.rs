//! What pods and containers use, as a table, as JSON, and as a view that renews itself.
//!
//! ```text
//!   two answers of the daemon ──sample──▶ Sample ──table──▶ text ──screen──▶ what the terminal shows
//! ```

mod sample;
mod screen;

pub(crate) use sample::{Order, Sample, sample};
pub(crate) use screen::{Screen, fit};
