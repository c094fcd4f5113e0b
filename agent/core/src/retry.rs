//! Trying again: after 1 s, then twice as long each time, at most 30 s apart, for ever.

use std::time::Duration;

use barepod_model::BootTime;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// When something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    at: BootTime,
    delay: Duration,
}

impl Retry {
    /// The first repetition.
    pub(crate) fn first(now: BootTime) -> Self {
        Self { at: now + FIRST, delay: FIRST }
    }

    /// The repetition after this one.
    pub(crate) fn next(self, now: BootTime) -> Self {
        let delay = (self.delay * 2).min(LONGEST);
        Self { at: now + delay, delay }
    }

    /// The repetition after `before`, or the first.
    pub(crate) fn after(before: Option<Retry>, now: BootTime) -> Self {
        before.map_or_else(|| Self::first(now), |retry| retry.next(now))
    }

    /// When.
    pub(crate) fn at(self) -> BootTime {
        self.at
    }

    /// Whether the time has come.
    pub(crate) fn is_due(self, now: BootTime) -> bool {
        self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_to_thirty_seconds() {
        let mut now = BootTime::default();
        let mut retry = Retry::first(now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(retry.at().since(now).as_secs());
            now = retry.at();
            retry = retry.next(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
