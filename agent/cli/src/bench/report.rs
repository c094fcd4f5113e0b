//! What was measured, for people and for programs.

use std::fmt::Write as _;

use barepod_model::Bytes;
use barepod_statistics::{Median, Sample};
use serde::Serialize;

use super::arm::{Absent, Arm, Arms, Present};
use super::figures::{Better, Measure};
use super::rounds::{Figures, Measured};
use crate::output::Table;

/// Of fewer figures than these, not even the smallest and the largest have the true median between them 95 times in 100.
const ENOUGH: usize = 6;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) directory: String,
    pub(crate) rounds: u32,
    pub(crate) runtime_seconds: u32,
    pub(crate) size_bytes: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) arms: Vec<Present>,
    #[serde(rename = "leftOut")]
    pub(crate) absent: Vec<Absent>,
    pub(crate) measures: Vec<OfMeasure>,
}

/// A measure, with the arms in the order of tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfMeasure {
    #[serde(flatten)]
    pub(crate) measure: Measure,
    pub(crate) arms: Vec<OfArm>,
}

/// An arm's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfArm {
    pub(crate) arm: Arm,
    /// One a round.
    pub(crate) samples: Vec<f64>,
    pub(crate) median: Median,
    /// So many times the bare process's figure of the same round; of that itself there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_process: Option<Ratio>,
}

/// A ratio round by round.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ratio {
    pub(crate) samples: Vec<f64>,
    #[serde(flatten)]
    pub(crate) median: Median,
    /// 1 lies outside of its interval, and there are rounds enough for one.
    pub(crate) differs: bool,
}

impl Report {
    pub(crate) fn new(subject: Subject, arms: &Arms<'_>, measured: &[Measured]) -> Self {
        let measures = measured.iter().map(of_measure).collect();
        Self { subject, arms: arms.present.clone(), absent: arms.absent.clone(), measures }
    }

    /// An arm's name for people.
    pub(crate) fn title(&self, arm: Arm) -> &str {
        self.arms.iter().find(|present| present.arm == arm).map_or("", |present| &present.title)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = self.places();
        for measure in &self.measures {
            text += &self.table(measure);
        }
        let Subject { rounds, runtime_seconds, size_bytes, .. } = &self.subject;
        let size = Bytes(*size_bytes);
        writeln!(
            text,
            "\n{rounds} rounds of {runtime_seconds} s on a file of {size}, arms in an order by chance. TIMES BARE is taken round by \
             round;\nits interval covers the true median 95 times in 100. Where 1 lies in it no difference was seen.",
        )
        .ok();
        text
    }

    /// What the data lie on, seen from each arm.
    fn places(&self) -> String {
        let mut text = format!("{}\n", self.subject.directory);
        let bare = self.arms.iter().find(|present| present.arm == Arm::Process).map(|present| &present.place);
        for Present { arm, title, place } in &self.arms {
            let same = match (arm, bare) {
                (Arm::Process, _) | (_, None) => "",
                (_, Some(bare)) if bare.device == place.device && bare.file_system == place.file_system => ": the same",
                _ => ": another one",
            };
            writeln!(text, "  {title}: {} on {}, device {}{same}", place.file_system, place.source, place.device).ok();
        }
        for Absent { what, why } in &self.absent {
            writeln!(text, "  {what}: left out: {why}").ok();
        }
        text
    }

    fn table(&self, measure: &OfMeasure) -> String {
        let Measure { title, unit, better, .. } = measure.measure;
        let better = match better {
            Better::More => "more",
            Better::Less => "less",
        };
        let mut table = Table::new(&["ARM", "MEDIAN", "95 % OF IT", "TIMES BARE", "95 % OF IT"]);
        for OfArm { arm, median, times_process, .. } in &measure.arms {
            let mut cells = vec![self.title(*arm).to_owned(), figure(median.value), interval(median)];
            cells.extend(times_process.iter().flat_map(|Ratio { median, differs, samples }| {
                let mark = match (samples.len() >= ENOUGH, differs) {
                    (false, _) => " (too few rounds to say)",
                    (true, false) => " (no difference seen)",
                    (true, true) => "",
                };
                [figure(median.value), interval(median) + mark]
            }));
            table.row(cells);
        }
        format!("\n{title}\n{unit}, {better} is better\n\n{}", table.render())
    }
}

fn of_measure(measured: &Measured) -> OfMeasure {
    let bare = measured.arms.iter().find(|figures| figures.arm == Arm::Process).map(|figures| &figures.sample);
    let of = |Figures { arm, sample }: &Figures| OfArm {
        arm: *arm,
        samples: sample.rounds().to_vec(),
        median: sample.median(),
        times_process: bare.filter(|_| *arm != Arm::Process).and_then(|bare| ratio(sample, bare)),
    };
    OfMeasure { measure: measured.measure, arms: measured.arms.iter().map(of).collect() }
}

fn ratio(sample: &Sample, bare: &Sample) -> Option<Ratio> {
    let times = sample.times(bare)?;
    let median = times.median();
    Some(Ratio { samples: times.rounds().to_vec(), median, differs: times.count() >= ENOUGH && !median.covers(1.0) })
}

fn interval(median: &Median) -> String {
    format!("{} to {}", figure(median.low), figure(median.high))
}

/// Three digits, which is more than most figures deserve.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::args::BenchWork;
    use crate::bench::figures::measures;
    use crate::bench::inside::Place;

    /// A report of three arms, in which nothing is by chance.
    pub(crate) fn report() -> Report {
        let place = |file_system: &str, device: &str| Place {
            device: device.to_owned(),
            file_system: file_system.to_owned(),
            source: if file_system == "overlay" { "overlay" } else { "/dev/vda" }.to_owned(),
        };
        let present = |arm, title: &str, place| Present { arm, title: title.to_owned(), place };
        let arms = vec![
            present(Arm::Process, "bare process", place("ext4", "254:0")),
            present(Arm::Barepod, "barepod", place("ext4", "254:0")),
            present(Arm::CopyUp, "crun, overlay, file of the image", place("overlay", "0:42")),
        ];
        let absent = vec![Absent { what: "PostgreSQL".to_owned(), why: "pgbench is not installed".to_owned() }];
        let of = |arm, by: f64, noise: f64| Figures {
            arm,
            sample: Sample::new((0..20).map(|round| by * (1.0 + noise * f64::from(round % 5 - 2))).collect()).unwrap(),
        };
        let measured = [
            Measured {
                measure: measures(BenchWork::Heap)[0],
                arms: vec![of(Arm::Process, 1000.0, 0.0), of(Arm::Barepod, 1000.0, 0.01)],
            },
            Measured {
                measure: measures(BenchWork::FirstWrite)[0],
                arms: vec![of(Arm::Process, 0.42, 0.0), of(Arm::Barepod, 0.42, 0.02), of(Arm::CopyUp, 1210.0, 0.01)],
            },
        ];
        let subject =
            Subject { directory: "/srv/data".to_owned(), rounds: 20, runtime_seconds: 5, size_bytes: 1 << 30 };
        Report { subject, arms, absent, measures: measured.iter().map(of_measure).collect() }
    }

    #[test]
    fn a_table_claims_only_what_its_interval_supports() {
        let text = report().text();
        insta::assert_snapshot!(text);
        assert_eq!(text.matches("no difference seen").count(), 2, "not of what differs");
    }

    #[test]
    fn of_few_rounds_nothing_is_claimed() {
        let of = |arm, rounds| Figures { arm, sample: Sample::new(rounds).unwrap() };
        let arms = vec![of(Arm::Process, vec![1.0; 5]), of(Arm::CopyUp, vec![1000.0; 5])];
        let few = of_measure(&Measured { measure: measures(BenchWork::FirstWrite)[0], arms });
        assert!(few.arms[1].times_process.as_ref().is_some_and(|ratio| !ratio.differs));
        assert!(report().table(&few).contains("too few rounds to say"));
    }

    #[test]
    fn programs_get_all_figures() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["measures"][1]["name"], "first-write");
        assert_eq!(json["measures"][1]["arms"][2]["arm"], "copy-up");
        assert_eq!(json["measures"][1]["arms"][2]["samples"].as_array().map(Vec::len), Some(20));
        assert_eq!(json["measures"][1]["arms"][2]["timesProcess"]["differs"], true);
        assert!(json["measures"][0]["arms"][0].get("timesProcess").is_none());
        assert_eq!((&json["leftOut"][0]["what"], &json["rounds"]), (&"PostgreSQL".into(), &20.into()));
    }
}
