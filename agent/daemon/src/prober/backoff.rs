//! How long a dead prober is waited for: not at all, unless it dies as soon as it lives.

use std::time::Duration;

/// A prober that lived this long is replaced at once.
const SOUND: Duration = Duration::from_secs(1);

/// The first wait; it doubles.
const FIRST: Duration = Duration::from_millis(10);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(1);

/// The wait before the next prober.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Probers in a row that did not live long.
    short_lived: u32,
}

impl Backoff {
    /// After one that lived so long.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= SOUND {
            self.short_lived = 0;
            return Duration::ZERO;
        }
        let doubled = self.short_lived.checked_sub(1).map(|times| FIRST.saturating_mul(1 << times.min(16)));
        self.short_lived = self.short_lived.saturating_add(1);
        doubled.map_or(Duration::ZERO, |wait| wait.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_is_not_waited_for_and_no_wait_is_longer_than_a_second() {
        let mut backoff = Backoff::default();

        let waits: Vec<_> = (0..100).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();

        assert_eq!(waits[..9], [0, 10, 20, 40, 80, 160, 320, 640, 1000]);
        assert!(waits[9..].iter().all(|wait| *wait == 1000));
        assert_eq!(backoff.after(SOUND), Duration::ZERO);
        assert_eq!(backoff.after(Duration::ZERO), Duration::ZERO);
    }
}
