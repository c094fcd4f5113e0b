//! A line of the bench as a table in Markdown: one row an arm, ratios to the first of them.

use std::borrow::Cow;
use std::fmt::{Display, Formatter, Result};

use barepod_statistics::{Median, Sample};

/// What was measured, by all arms in turns.
pub(crate) struct Line {
    /// What the figures are.
    pub(crate) title: String,
    /// Their unit.
    pub(crate) unit: Cow<'static, str>,
    /// How they were taken.
    pub(crate) notes: String,
    /// What is promised, and whether it holds.
    pub(crate) goals: Vec<Goal>,
    /// The first is the one that the others are compared with.
    pub(crate) arms: Vec<Arm>,
}

/// What the first arm's median was promised to be.
pub(crate) struct Goal {
    text: String,
    met: bool,
}

impl Goal {
    /// No more than this, in the line's unit.
    pub(super) fn at_most(limit: f64, arms: &[Arm]) -> Self {
        Self { text: format!("{limit} or less"), met: medians(arms).next().is_some_and(|median| median <= limit) }
    }

    /// No less than this, in the line's unit.
    pub(super) fn at_least(limit: f64, arms: &[Arm]) -> Self {
        Self { text: format!("{limit} or more"), met: medians(arms).next().is_some_and(|median| median >= limit) }
    }

    /// Less than any other's.
    pub(super) fn first_is_least(arms: &[Arm]) -> Self {
        let mut medians = medians(arms);
        let first = medians.next();
        let met = first.is_some_and(|first| medians.all(|other| first < other));
        Self { text: "less than any other".to_owned(), met }
    }

    /// The second's and so much more, or less.
    pub(super) fn beside_the_second(more: f64, arms: &[Arm]) -> Self {
        let mut medians = medians(arms);
        let met = medians.next().zip(medians.next()).is_some_and(|(first, second)| first <= second + more);
        Self { text: format!("no more than {more} beyond the second's"), met }
    }

    /// So many times the second's, or less.
    pub(super) fn of_the_second(share: f64, arms: &[Arm]) -> Self {
        let mut medians = medians(arms);
        let met = medians.next().zip(medians.next()).is_some_and(|(first, second)| first <= share * second);
        Self { text: format!("{share} times the second's or less"), met }
    }
}

fn medians(arms: &[Arm]) -> impl Iterator<Item = f64> {
    arms.iter().map(|arm| arm.sample.median().value)
}

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: **{}**", self.text, if self.met { "met" } else { "missed" })
    }
}

/// One contestant and its figures.
pub(crate) struct Arm {
    /// With its version.
    pub(crate) name: String,
    /// One figure a round.
    pub(crate) sample: Sample,
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let unit = &self.unit;
        writeln!(f, "## {}\n\n{}\n", self.title, self.notes)?;
        if !self.goals.is_empty() {
            let goals: Vec<_> = self.goals.iter().map(Goal::to_string).collect();
            writeln!(f, "Goal, for barepod's median: {}.\n", goals.join("; "))?;
        }
        writeln!(f, "| | samples | median, {unit} | 95 % of it | p5 to p95, {unit} | times the first |")?;
        writeln!(f, "|---|---:|---:|---|---|---|")?;
        self.arms.iter().try_for_each(|arm| self.row(arm, f))
    }
}

impl Line {
    fn row(&self, arm: &Arm, f: &mut Formatter<'_>) -> Result {
        let Median { value, low, high } = arm.sample.median();
        let (p5, p95) = (arm.sample.quantile(0.05), arm.sample.quantile(0.95));
        write!(f, "| {} | {} ", arm.name, arm.sample.count())?;
        write!(f, "| {} | {} to {} ", figure(value), figure(low), figure(high))?;
        writeln!(f, "| {} to {} | {} |", figure(p5), figure(p95), self.ratio(arm))
    }

    fn ratio(&self, arm: &Arm) -> String {
        let ratio = self.arms.first().and_then(|first| arm.sample.times(&first.sample));
        ratio.map_or_else(String::new, |ratio| {
            let Median { value, low, high } = ratio.median();
            format!("{} ({} to {})", figure(value), figure(low), figure(high))
        })
    }
}

/// Three significant digits, which is more than most figures deserve.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(medians: &[f64]) -> Vec<Arm> {
        let arm = |median: &f64| Arm { name: String::new(), sample: Sample::new(vec![*median]).unwrap() };
        medians.iter().map(arm).collect()
    }

    #[test]
    fn a_goal_is_met_by_the_first_arm_s_median() {
        assert!(Goal::at_most(3.0, &arms(&[3.0, 1.0])).met && !Goal::at_most(3.0, &arms(&[3.1])).met);
        assert!(Goal::at_least(3.0, &arms(&[3.0])).met && !Goal::at_least(3.0, &arms(&[2.9])).met);
        assert!(Goal::first_is_least(&arms(&[1.0, 2.0])).met && !Goal::first_is_least(&arms(&[2.0, 2.0])).met);
        assert!(Goal::of_the_second(0.5, &arms(&[1.0, 2.0])).met && !Goal::of_the_second(0.5, &arms(&[1.1, 2.0])).met);
        assert!(Goal::beside_the_second(20.0, &arms(&[30.0, 10.0])).met);
        assert!(!Goal::beside_the_second(20.0, &arms(&[30.1, 10.0])).met);
        assert_eq!(Goal::at_most(3.0, &arms(&[4.0])).to_string(), "3 or less: **missed**");
    }

    #[test]
    fn a_line_is_a_table_with_ratios_to_its_first_arm() {
        let arm = |name: &str, figures: [f64; 3]| {
            let sample = Sample::new(figures.to_vec()).unwrap();
            Arm { name: name.to_owned(), sample }
        };
        let arms = vec![arm("ours", [2.0, 4.0, 3.0]), arm("theirs", [200.0, 400.0, 300.0])];
        let line =
            Line { title: "Title".to_owned(), unit: "ms".into(), notes: "Notes.".to_owned(), goals: Vec::new(), arms };

        let rows: Vec<_> = line.to_string().lines().skip(4).map(str::to_owned).collect();

        assert_eq!(
            rows,
            [
                "| | samples | median, ms | 95 % of it | p5 to p95, ms | times the first |",
                "|---|---:|---:|---|---|---|",
                "| ours | 3 | 3.00 | 2.00 to 4.00 | 2.10 to 3.90 | 1.00 (1.00 to 1.00) |",
                "| theirs | 3 | 300 | 200 to 400 | 210 to 390 | 100 (100 to 100) |",
            ]
        );
    }
}
