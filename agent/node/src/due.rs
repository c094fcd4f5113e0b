//! When it is time for something, though the host's clock may be set: after so long by the clock that nobody sets, or by the
//! other one, which goes on while the host sleeps. The first of both counts.

use std::time::{Duration, Instant, SystemTime};

/// A time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    steady: Instant,
    wall: SystemTime,
}

impl Due {
    /// After so long.
    pub(crate) fn after(pause: Duration) -> Self {
        Self { steady: Instant::now() + pause, wall: SystemTime::now() + pause }
    }

    /// How long it is until then; nothing once it has come.
    pub(crate) fn left(self) -> Duration {
        self.left_at(Instant::now(), SystemTime::now())
    }

    fn left_at(self, steady: Instant, wall: SystemTime) -> Duration {
        let by_wall = self.wall.duration_since(wall).unwrap_or_default();
        self.steady.saturating_duration_since(steady).min(by_wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_clock_that_is_set_back_delays_nothing_and_one_that_went_on_alone_is_heeded() {
        let (steady, wall) = (Instant::now(), SystemTime::now());
        let due = Due { steady: steady + HOUR, wall: wall + HOUR };
        assert_eq!(due.left_at(steady, wall), HOUR);
        assert_eq!(due.left_at(steady + HOUR, wall - 100 * HOUR), Duration::ZERO);
        assert_eq!(due.left_at(steady + HOUR / 2, wall - 100 * HOUR), HOUR / 2);
        assert_eq!(due.left_at(steady, wall + HOUR), Duration::ZERO);
    }
}
