//! Order statistics of a sample: nothing is assumed about how the figures are spread, because latencies have long tails.

#![forbid(unsafe_code)]

use serde::Serialize;

/// Two-sided 2.5 % of the standard normal distribution.
const Z: f64 = 1.96;

/// Figures of one of those that are compared, in the order of the rounds they were taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    rounds: Vec<f64>,
    sorted: Vec<f64>,
}

/// A median and the interval that covers it 95 times in 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Median {
    /// The median of the figures.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Median {
    /// Whether the interval has this value in it.
    #[must_use]
    pub fn covers(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl Sample {
    /// `None` where there is no figure, or one that is not a number.
    #[must_use]
    pub fn new(rounds: Vec<f64>) -> Option<Self> {
        if rounds.is_empty() || rounds.iter().any(|figure| figure.is_nan()) {
            return None;
        }
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Self { rounds, sorted })
    }

    /// How many figures: one at least.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The figures, in the order of their rounds.
    #[must_use]
    pub fn rounds(&self) -> &[f64] {
        &self.rounds
    }

    /// The quantile of `q` in 0..=1, interpolated between neighbours.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let place = q.clamp(0.0, 1.0) * (self.sorted.len() - 1) as f64;
        let (below, above) = (self.sorted[place.floor() as usize], self.sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }

    /// The median with its interval by ranks: the number of figures below the true median is binomial, approximated by
    /// a normal distribution. Fewer than six figures can promise no more than their extremes.
    #[must_use]
    pub fn median(&self) -> Median {
        let count = self.sorted.len() as f64;
        let reach = Z * count.sqrt() / 2.0;
        let low = (count / 2.0 - reach).floor().max(0.0) as usize;
        let high = ((count / 2.0 + reach).ceil() as usize).min(self.sorted.len() - 1);
        Median { value: self.quantile(0.5), low: self.sorted[low], high: self.sorted[high] }
    }

    /// Round by round, so many times the other's figure. `None` where the rounds do not pair or the other has a zero.
    #[must_use]
    pub fn times(&self, other: &Self) -> Option<Self> {
        if self.rounds.len() != other.rounds.len() || other.rounds.contains(&0.0) {
            return None;
        }
        Self::new(self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| mine / theirs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figures: impl IntoIterator<Item = i32>) -> Sample {
        Sample::new(figures.into_iter().map(f64::from).collect()).unwrap()
    }

    #[test]
    fn no_figures_are_no_sample() {
        assert_eq!(Sample::new(Vec::new()), None);
        assert_eq!(Sample::new(vec![1.0, f64::NAN]), None);
    }

    #[test]
    fn quantiles_do_not_depend_on_the_order_and_lie_between_neighbours() {
        let figures = sample([4, 1, 3, 2]);

        assert_eq!([0.0, 0.5, 1.0].map(|q| figures.quantile(q)), [1.0, 2.5, 4.0]);
        assert_eq!(sample([7]).quantile(0.95), 7.0);
        assert_eq!(figures.count(), 4);
    }

    #[test]
    fn one_outlier_moves_neither_median_nor_interval_far() {
        let calm = sample(1..=31).median();
        let rough = sample((1..=30).chain([1_000_000])).median();

        assert_eq!(calm, Median { value: 16.0, low: 11.0, high: 22.0 });
        assert!(calm.covers(11.0) && calm.covers(22.0) && !calm.covers(10.9) && !calm.covers(22.1));
        assert_eq!(rough, calm);
    }

    #[test]
    fn few_figures_promise_no_more_than_their_extremes() {
        assert_eq!(sample([5, 1, 3]).median(), Median { value: 3.0, low: 1.0, high: 5.0 });
    }

    #[test]
    fn the_interval_covers_the_true_median_about_95_times_in_100() {
        // A fixed congruential sequence: the same draws in every run.
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let covered = (0..2000)
            .filter(|_| {
                let median = Sample::new((0..30).map(|_| draw()).collect()).unwrap().median();
                median.low <= 0.5 && 0.5 <= median.high
            })
            .count();

        assert!((1880..=1990).contains(&covered), "{covered} of 2000");
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // A disturbance that doubles both arms' figures in a round leaves the ratio alone.
        let ratio = sample([30, 60, 30]).times(&sample([10, 20, 10])).unwrap();

        assert_eq!(ratio.median(), Median { value: 3.0, low: 3.0, high: 3.0 });
        assert_eq!(sample([1]).times(&sample([1, 2])), None);
        assert_eq!(sample([1]).times(&sample([0])), None);
    }
}
