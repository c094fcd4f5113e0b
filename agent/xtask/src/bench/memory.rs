//! What a hundred idle supervisors of one service each cost, in memory that is theirs alone.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use barepod_tests::Scratch;

use super::Course;
use super::statistics::Sample;
use super::supervisor::{self, Service, Stamps, Supervisor};
use super::table::{Arm, Line};

const SERVICES: usize = 100;
/// Written by each service, where the supervisor takes its output: 1 MB.
const LINES: usize = 10_000;
const LENGTH: usize = 100;
const LIMIT: Duration = Duration::from_secs(60);

/// One arm after the other: they share nothing that could disturb them.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let program = course.built.musl("lines")?;
    let argv = vec![program.display().to_string(), LINES.to_string(), LENGTH.to_string()];
    let mut arms = Vec::new();
    for supervisor in supervisor::one_each() {
        let name = supervisor.name();
        let figures = hundred(supervisor.as_ref(), &argv).with_context(|| name.clone())?;
        arms.push(Arm { name, sample: Sample::new(figures).context("no figures")? });
    }
    let notes = format!(
        "{SERVICES} at a time, one service each, after {LINES} lines of {LENGTH} bytes from every service; only conmon \
         has them pass through itself. Promised: 128 kB or less."
    );
    let title = "private dirty memory of a supervisor of one service".to_owned();
    Ok(vec![Line { title, unit: "kB", notes, arms }])
}

fn hundred(supervisor: &dyn Supervisor, argv: &[String]) -> anyhow::Result<Vec<f64>> {
    let scratch = Scratch::new()?;
    let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
    let service = Service { argv: argv.to_vec(), socket: stamps.path().to_owned() };
    let mut supervised = Vec::new();
    for number in 0..SERVICES {
        let place = scratch.join(number.to_string());
        fs_err::create_dir(&place)?;
        let mut one = supervisor.supervise(&place, &service)?;
        one.begun(stamps.receive().context("a service did not start")?);
        stamps.receive().context("a service did not write its lines")?;
        supervised.push(one);
    }
    supervised.iter().map(|one| private_dirty(one.supervisor())).collect()
}

/// In kB, of a whole process.
fn private_dirty(pid: u32) -> anyhow::Result<f64> {
    let text = fs_err::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup"))?;
    rolled_up(&text).context("no Private_Dirty in smaps_rollup")
}

fn rolled_up(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_dirty_memory_is_read_from_the_kernel_s_sum() {
        let text = "00400000-7ffe ---p 00000000 00:00 0  [rollup]\nRss: 3 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty:      96 kB\n";

        assert_eq!(rolled_up(text), Some(96.0));
        assert_eq!(rolled_up("Rss: 3 kB\n"), None);
        assert!(private_dirty(std::process::id()).unwrap() > 0.0);
    }
}
