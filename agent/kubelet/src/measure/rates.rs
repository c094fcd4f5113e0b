//! How fast CPU time goes by, between one question and the next: nobody measures while nobody asks.

use std::collections::HashMap;
use std::hash::Hash;

/// Nearer together, two measurements say little.
const LEAST_NS: i128 = 1_000_000_000;

/// What was measured before.
#[derive(Debug)]
pub(crate) struct Rates<K>(HashMap<K, Before>);

#[derive(Debug, Clone, Copy)]
struct Before {
    at_ns: i128,
    cpu_ns: u64,
    rate: Option<u64>,
    round: u64,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Rates<K> {
    /// Nanoseconds of CPU time a second, since the last measurement that is a second old; `None` as long as there is none. Time
    /// that went backwards is another container's.
    pub(crate) fn of(&mut self, key: K, at_ns: i128, cpu_ns: u64, round: u64) -> Option<u64> {
        let first = Before { at_ns, cpu_ns, rate: None, round };
        let before = self.0.entry(key).or_insert(first);
        before.round = round;
        let passed = at_ns - before.at_ns;
        if cpu_ns < before.cpu_ns || passed < 0 {
            *before = first;
        } else if passed >= LEAST_NS {
            let used = i128::from(cpu_ns - before.cpu_ns);
            let rate = u64::try_from(used * 1_000_000_000 / passed).ok();
            *before = Before { at_ns, cpu_ns, rate, round };
        }
        before.rate
    }

    /// Forgets all that were not measured in this round.
    pub(crate) fn forget_others(&mut self, round: u64) {
        self.0.retain(|_, before| before.round == round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_between_two_measurements_a_second_apart() {
        let mut rates = Rates::default();
        let second = LEAST_NS;
        assert_eq!(rates.of("a", 0, 1000, 1), None);
        assert_eq!(rates.of("a", second / 2, 2000, 1), None);
        assert_eq!(rates.of("a", 2 * second, 1_000_001_000, 1), Some(500_000_000));
        assert_eq!(rates.of("a", 2 * second + 1, 1_000_002_000, 1), Some(500_000_000));
        assert_eq!(rates.of("a", 4 * second, 7, 2), None, "it has begun anew");
        rates.of("b", 0, 0, 1);
        rates.forget_others(2);
        assert_eq!(rates.0.len(), 1);
    }
}
