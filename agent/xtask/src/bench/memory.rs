//! What a hundred supervisors of one service each cost, in memory that is theirs alone, and how large their programs are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use barepod_statistics::Sample;
use barepod_tests::{Scratch, wait_for};

use super::stamps::Stamps;
use super::supervisor::{self, Service, Supervised, Supervisor};
use super::table::{Arm, Goal, Line};
use super::{Course, process};

const SERVICES: usize = 100;
/// Written by each service, where the supervisor takes its output: 1 MB.
const LINES: usize = 10_000;
const LENGTH: usize = 100;
const LIMIT: Duration = Duration::from_secs(60);

/// What a supervisor of one service is like.
struct Cost {
    private_dirty: Vec<f64>,
    binary: f64,
}

/// One arm after the other: they share nothing that could disturb them.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let program = course.built.musl("lines")?;
    let argv = vec![program.display().to_string(), LINES.to_string(), LENGTH.to_string()];
    let (mut memory, mut binaries) = (Vec::new(), Vec::new());
    for supervisor in supervisor::one_each(course)? {
        let name = supervisor.name();
        let cost = hundred(supervisor.as_ref(), &argv).with_context(|| name.clone())?;
        let sample = Sample::new(cost.private_dirty).context("no figures")?;
        memory.push(Arm { name: name.clone(), sample });
        binaries.push(Arm { name, sample: Sample::new(vec![cost.binary]).context("no figure")? });
    }
    Ok(vec![memory_line(memory), binary_line(binaries)])
}

fn memory_line(arms: Vec<Arm>) -> Line {
    let notes = format!(
        "{SERVICES} at a time, one service each, after {LINES} lines of {LENGTH} bytes from every service; only barepod \
         and conmon have them pass through themselves. barepod's is a shim and the process that stands by for its next \
         attempt; what they share counts once."
    );
    let title = "private dirty memory of a supervisor of one service".to_owned();
    Line { title, unit: "kB".into(), notes, goals: vec![Goal::at_most(128.0, &arms)], arms }
}

fn binary_line(arms: Vec<Arm>) -> Line {
    let notes = "The file; barepod-shim is static, the others need shared libraries besides.".to_owned();
    let title = "program of a supervisor of one service".to_owned();
    Line { title, unit: "kB".into(), notes, goals: vec![Goal::at_most(1000.0, &arms)], arms }
}

fn hundred(supervisor: &dyn Supervisor, argv: &[String]) -> anyhow::Result<Cost> {
    let scratch = Scratch::new()?;
    let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
    let service = Service::new(argv.to_vec(), stamps.path()).among(SERVICES);
    let mut supervised = Vec::new();
    for number in 0..SERVICES {
        let place = scratch.join(number.to_string());
        fs_err::create_dir(&place)?;
        let mut one = supervisor.supervise(&place, &service)?;
        one.begun(stamps.receive().context("a service did not start")?);
        stamps.receive().context("a service did not write its lines")?;
        supervised.push(one);
    }
    let pids = supervised.iter().map(|one| one.supervisor()).collect::<anyhow::Result<Vec<_>>>()?;
    let private_dirty = supervised.iter().map(dirty).collect::<anyhow::Result<_>>()?;
    let first = pids.first().context("no supervisor")?;
    let binary = fs_err::metadata(program_of(*first))?.len() as f64 / 1000.0;
    Ok(Cost { private_dirty, binary })
}

/// Dirty memory of all processes that are a service's cost, when they are all there. One that stands by may just then be
/// replaced by another.
fn dirty(one: &Supervised) -> anyhow::Result<f64> {
    let measured = || match one.supervisors()?.as_deref() {
        None => Ok(None),
        Some([alone]) => process::private_dirty(*alone).map(Some),
        Some(several) => process::dirty_together(several).map(Some),
    };
    let all = wait_for("all processes of a supervisor", LIMIT, || measured().ok().flatten());
    all.map_err(|vain| anyhow::anyhow!("{vain}; at last: {:?}", measured()))
}

fn program_of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("exe")
}
