//! How many passed, failed and were skipped, and why.

use std::fmt::{Display, Formatter, Result};
use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// The outcome of a step or of all. A check without tests of its own, such as the format, counts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// What ran and was right.
    pub(crate) passed: usize,
    /// What ran and was wrong, or should have run and could not.
    pub(crate) failed: usize,
    /// What could not run here: `<test>: <reason>`.
    pub(crate) skipped: Vec<String>,
}

impl Counts {
    /// One check.
    pub(crate) fn check(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed), skipped: Vec::new() }
    }

    /// One check that could not run.
    pub(crate) fn skip(reason: String) -> Self {
        Self { skipped: vec![reason], ..Self::default() }
    }

    /// The list of skips that the tests wrote: each of them had counted as passed.
    pub(crate) fn with_skips(mut self, list: &str) -> Self {
        let skips = list.lines().map(|line| line.trim_start_matches("SKIP: ").to_owned());
        let before = self.skipped.len();
        self.skipped.extend(skips);
        self.passed = self.passed.saturating_sub(self.skipped.len() - before);
        self
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut total, counts| {
            total.passed += counts.passed;
            total.failed += counts.failed;
            total.skipped.extend(counts.skipped);
            total
        })
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_does_not_count_as_passed() {
        let counts = Counts { passed: 10, ..Counts::default() }.with_skips("SKIP: a: why\nSKIP: b: why not\n");

        assert_eq!(counts.to_string(), "8 passed, 0 failed, 2 skipped");
        assert_eq!(counts.skipped, ["a: why", "b: why not"]);
    }

    #[test]
    fn the_total_is_the_sum_of_the_steps() {
        let steps = [Counts::check(true), Counts::check(false), Counts::skip("no network".to_owned())];

        assert_eq!(steps.into_iter().sum::<Counts>().to_string(), "1 passed, 1 failed, 1 skipped");
    }
}
