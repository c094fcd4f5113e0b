//! What is drawn, so that many nodes do not all do something at the same time.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Anything from 0 to 1.
pub(crate) fn part() -> f64 {
    let random = RandomState::new().build_hasher().finish() >> 32;
    // Both are below 2^32, which a float holds exactly.
    f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX)
}
