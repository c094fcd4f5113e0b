//! When it is time for the next certificate. Asked at each look, by the clock on the wall: clocks jump.

use barepod_credentials::Certificate;
use jiff::Timestamp;

use crate::chance;

/// Not before so much of its life is over, so that a cluster is not asked too often.
const EARLIEST: f64 = 0.7;
/// Not after, so that there is time for somebody to approve.
const LATEST: f64 = 0.9;

/// The point in a certificate's life at which the next one is asked for. It is drawn, so that nodes that were made together do
/// not ask together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Life(f64);

impl Life {
    /// Another one for each certificate.
    pub(super) fn draw() -> Self {
        Self(EARLIEST + chance::part() * (LATEST - EARLIEST))
    }

    /// When the next one is due.
    pub(super) fn due(self, certificate: &Certificate) -> Timestamp {
        certificate.after(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_between_seven_and_nine_tenths_of_its_life() {
        let drawn: Vec<_> = (0..1000).map(|_| Life::draw()).collect();
        assert!(drawn.iter().all(|life| (EARLIEST..=LATEST).contains(&life.0)));
        assert!(drawn.iter().any(|life| life.0 < 0.75) && drawn.iter().any(|life| life.0 > 0.85));
    }
}
