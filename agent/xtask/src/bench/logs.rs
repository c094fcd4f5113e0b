//! Lines through one logger into its file: how many a second, and how much processor time they take.

mod conmon;
mod shim;
mod tailer;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_statistics::Sample;
use barepod_test_programs::stamp::monotonic;
use barepod_tests::Scratch;

use super::stamps::Stamps;
use super::supervisor::Service;
use super::table::{Arm, Goal, Line};
use super::{Course, process};
use tailer::Tailer;

/// 100 MB a round.
const LINES: usize = 1_000_000;
const LENGTH: usize = 100;
const LIMIT: Duration = Duration::from_secs(120);
/// A round takes a second and writes 150 MB: so many say enough.
const ROUNDS: usize = 10;

/// A way of the lines into a file: an arm of this line.
trait Logger {
    /// For the table, with the version.
    fn name(&self) -> String;

    /// Starts the service in an empty directory; its log goes to a directory `logs` in there, as attempt 0.
    fn start(&self, place: &Path, service: &Service) -> anyhow::Result<Box<dyn Logging>>;
}

/// A logger at work. Service and logger end when it is dropped.
trait Logging {
    /// The service said that it began.
    fn begun(&mut self, stamp: barepod_test_programs::stamp::Stamp);

    /// The logger's process, which has one thread.
    fn pid(&self) -> anyhow::Result<u32>;
}

/// All lines are in the file and were read by the tailer, none was lost.
struct Passed {
    /// From the service's first instruction to the tailer's last line.
    elapsed: Duration,
    /// The logger's processor time.
    processor: Duration,
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let program = course.built.musl("lines")?;
    let tailer = course.built.musl("tailer")?;
    let argv = vec![program.display().to_string(), LINES.to_string(), LENGTH.to_string()];
    let shim = shim::ByShim { program: course.built.musl("barepod-shim")? };
    let loggers: [&dyn Logger; 2] = [&shim, &conmon::ByConmon];
    let mut passed: Vec<Vec<Passed>> = loggers.iter().map(|_| Vec::new()).collect();
    for _ in 0..course.rounds.min(ROUNDS) {
        for (logger, passed) in loggers.iter().zip(&mut passed) {
            passed.push(pass(*logger, &argv, &tailer).with_context(|| logger.name())?);
        }
    }
    lines(&loggers, &passed)
}

/// Lets a service write all its lines while the log is tailed.
fn pass(logger: &dyn Logger, argv: &[String], tailer: &Path) -> anyhow::Result<Passed> {
    let scratch = Scratch::new()?;
    let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
    let place = scratch.join("place");
    fs_err::create_dir_all(place.join("logs"))?;
    let tailer = Tailer::start(tailer, &place.join("logs"), LINES)?;
    let mut logging = logger.start(&place, &Service::new(argv.to_vec(), stamps.path()))?;
    let before = process::processor_time(logging.pid()?)?;
    let first = stamps.receive().context("the service did not start")?;
    logging.begun(first);
    stamps.receive().context("the service did not write its lines")?;
    let last = tailer.last_line()?;
    let processor = process::processor_time(logging.pid()?)?;
    let elapsed = last.checked_sub(first.at).context("the clock went back")?;
    ensure!(monotonic()? >= last, "the tailer's clock is ahead");
    Ok(Passed { elapsed, processor: processor - before })
}

fn lines(loggers: &[&dyn Logger], passed: &[Vec<Passed>]) -> anyhow::Result<Vec<Line>> {
    let of = |figure: fn(&Passed) -> f64| -> anyhow::Result<Vec<Arm>> {
        let arms = loggers.iter().zip(passed).map(|(logger, passed)| {
            let sample = Sample::new(passed.iter().map(figure).collect()).context("no figures")?;
            Ok(Arm { name: logger.name(), sample })
        });
        arms.collect()
    };
    let notes = format!(
        "{LINES} lines of {LENGTH} bytes from one service, one write each, into a file in CRI format, to the last line read \
         by a live tailer that checks each number: nothing was lost, or there would be no figure. barepod's shim rotates \
         every {} MB, conmon not at all. Service, logger and tailer share the cores.",
        shim::ROTATED_AT >> 20
    );
    let arms = of(|passed| LINES as f64 / passed.elapsed.as_secs_f64())?;
    let rate = Line {
        title: "log lines through one logger, more is better".to_owned(),
        unit: "lines/s".into(),
        notes: notes.clone(),
        goals: vec![Goal::at_least(1_500_000.0, &arms)],
        arms,
    };
    let arms = of(|passed| passed.processor.as_secs_f64() / (LINES * LENGTH) as f64 * 1e9)?;
    let cost = Line {
        title: "processor time of one logger".to_owned(),
        unit: "s/GB".into(),
        notes: "Of the same passes; user and system time of the logger alone.".to_owned(),
        goals: vec![Goal::of_the_second(0.5, &arms)],
        arms,
    };
    Ok(vec![rate, cost])
}
