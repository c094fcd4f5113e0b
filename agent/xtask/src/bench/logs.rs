//! Lines through one logger into its file: how many a second, and how much processor time they take.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_test_programs::stamp::monotonic;
use barepod_tests::{Scratch, wait_for};

use super::Course;
use super::statistics::Sample;
use super::supervisor::{Conmon, Service, Stamps, Supervisor as _};
use super::table::{Arm, Line};

/// 50 MB a round.
const LINES: usize = 500_000;
const LENGTH: usize = 100;
const LIMIT: Duration = Duration::from_secs(120);

/// A way of the lines into a file: an arm of this line.
trait Logger {
    /// For the table, with the version.
    fn name(&self) -> String;

    /// Lets the service write all its lines, and ends it.
    fn pass(&self, place: &Path, service: &Service, stamps: &Stamps) -> anyhow::Result<Passed>;
}

/// All lines are in the file, none was lost.
struct Passed {
    /// From the service's first instruction to the last line in the file.
    elapsed: Duration,
    /// The logger's processor time.
    processor: Duration,
}

struct ByConmon;

impl Logger for ByConmon {
    fn name(&self) -> String {
        Conmon.name()
    }

    fn pass(&self, place: &Path, service: &Service, stamps: &Stamps) -> anyhow::Result<Passed> {
        let mut conmon = Conmon.supervise(place, service)?;
        let first = stamps.receive().context("the service did not start")?;
        conmon.begun(first);
        stamps.receive().context("the service did not write its lines")?;
        let log = Conmon::log(place);
        wait_for("the last line", LIMIT, || ends_with_line(&log, LINES - 1).ok().filter(|there| *there))?;
        let elapsed = monotonic()?.checked_sub(first.at).context("the clock went back")?;
        let processor = processor_time(conmon.supervisor())?;
        let lines = whole_lines(&fs_err::read_to_string(&log)?);
        ensure!(lines == LINES, "{lines} of {LINES} lines are in {}", log.display());
        Ok(Passed { elapsed, processor })
    }
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let program = course.built.musl("lines")?;
    let loggers: [&dyn Logger; 1] = [&ByConmon];
    let mut passed: Vec<Vec<Passed>> = loggers.iter().map(|_| Vec::new()).collect();
    for _ in 0..course.rounds {
        for (logger, passed) in loggers.iter().zip(&mut passed) {
            let scratch = Scratch::new()?;
            let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
            let argv = vec![program.display().to_string(), LINES.to_string(), LENGTH.to_string()];
            let service = Service { argv, socket: stamps.path().to_owned() };
            let place = scratch.join("place");
            fs_err::create_dir(&place)?;
            passed.push(logger.pass(&place, &service, &stamps).with_context(|| logger.name())?);
        }
    }
    lines(&loggers, &passed)
}

fn lines(loggers: &[&dyn Logger], passed: &[Vec<Passed>]) -> anyhow::Result<Vec<Line>> {
    let of = |figure: fn(&Passed) -> f64| -> anyhow::Result<Vec<Arm>> {
        let arms = loggers.iter().zip(passed).map(|(logger, passed)| {
            let sample = Sample::new(passed.iter().map(figure).collect()).context("no figures")?;
            Ok(Arm { name: logger.name(), sample })
        });
        arms.collect()
    };
    let notes = format!("{LINES} lines of {LENGTH} bytes from one service, one write each, into a file in CRI format.");
    let rate = Line {
        title: "log lines through one logger, more is better".to_owned(),
        unit: "lines/s",
        notes: format!("{notes} Promised: 1,500,000."),
        arms: of(|passed| LINES as f64 / passed.elapsed.as_secs_f64())?,
    };
    let cost = Line {
        title: "processor time of one logger".to_owned(),
        unit: "s/GB",
        notes: format!("{notes} Promised: at most half of conmon's."),
        arms: of(|passed| passed.processor.as_secs_f64() / (LINES * LENGTH) as f64 * 1e9)?,
    };
    Ok(vec![rate, cost])
}

/// Whether the last line in the file is whole and has this number.
fn ends_with_line(log: &Path, number: usize) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(log)?;
    let mut end = vec![0; LENGTH * 5];
    let from = file.metadata()?.len().saturating_sub(end.len() as u64);
    let length = file.read_at(&mut end, from)?;
    let end = String::from_utf8_lossy(&end[..length]).into_owned();
    Ok(end.ends_with('\n') && last_line(&end).is_some_and(|line| line.starts_with(&format!("{number:010}"))))
}

/// The tag and the text of a record `<time> <stream> <tag> <text>`.
fn record(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(4, ' ').skip(2);
    Some((fields.next()?, fields.next()?))
}

/// The last line, put together from its pieces: conmon cuts lines where its buffer ends, and tags all pieces but the last
/// with P. `None` where the last piece is missing.
fn last_line(records: &str) -> Option<String> {
    let (line, is_whole) =
        records.lines().filter_map(record).fold((String::new(), true), |(line, whole), (tag, text)| {
            let before = if whole { String::new() } else { line };
            (before + text, tag == "F")
        });
    is_whole.then_some(line)
}

/// How many lines are in a log, however many pieces each has.
fn whole_lines(log: &str) -> usize {
    log.lines().filter_map(record).filter(|(tag, _)| *tag == "F").count()
}

/// What a process has spent, user and system, by the scheduler's own count in nanoseconds.
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).context("no processor time in schedstat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_complete_only_with_its_whole_last_line() {
        let scratch = Scratch::new().unwrap();
        let log = scratch.join("log");
        let end = |text: &str| {
            std::fs::write(&log, text).unwrap();
            ends_with_line(&log, 1).unwrap()
        };

        assert!(end("T stdout F 0000000000..\nT stdout F 0000000001..\n"));
        assert!(!end("T stdout F 0000000000..\n"));
        assert!(!end("T stdout F 0000000000..\nT stdout F 0000000001.."));
        assert!(!end(""));
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let log = "T stdout F 0000000000..\nT stdout P 00000\nT stdout F 00001..\n";

        assert_eq!(last_line(log).as_deref(), Some("0000000001.."));
        assert_eq!(whole_lines(log), 2);
        assert_eq!(last_line("T stdout P 00000\n"), None);
    }
}
