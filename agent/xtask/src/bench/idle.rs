//! What a daemon of many services costs while nothing happens: with none, and with two hundred.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use barepod_statistics::Sample;
use barepod_test_programs::stamp;
use barepod_tests::Scratch;
use barepod_tests::host::{SOON, signal};
use barepod_tests::process::Owned;

use super::stamps::Stamps;
use super::supervisor::{self, Barepod, Service, Supervisor as _, configuration};
use super::table::{Arm, Goal, Line};
use super::{Course, process};

const SERVICES: usize = 200;
/// A quiet minute, in pieces.
const PIECES: usize = 12;
const PIECE: Duration = Duration::from_secs(5);
/// Before it, so that nothing of the start is counted.
const CALM: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(120);

/// A daemon that is looked at.
struct Watched {
    name: String,
    pid: u32,
    resident: Vec<f64>,
    /// Percent of a core.
    processor: Vec<f64>,
}

/// supervisord with its services; it ends them when it is told to end.
struct Supervisord(Owned);

/// All four at the same time: each in the same quiet.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let scratch = Scratch::new()?;
    let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
    let service = Service::new(vec![course.built.musl("stamp")?.display().to_string()], stamps.path()).among(SERVICES);
    let ours = [Barepod::start(&course.built)?, Barepod::start(&course.built)?];
    let mut supervised = Vec::new();
    for _ in 0..SERVICES {
        supervised.push(ours[1].supervise(scratch.path(), &service)?);
        stamps.receive().context("a service of barepod did not start")?;
    }
    let theirs = [Supervisord::start(&scratch.join("none"), &service, 0)?];
    let theirs_full = Supervisord::start(&scratch.join("many"), &service, SERVICES)?;
    for _ in 0..SERVICES {
        stamps.receive().context("a service of supervisord did not start")?;
    }
    let mut watched = Vec::new();
    for barepod in &ours {
        let pid = barepod.host().daemon_pid().context("the daemon is gone")?;
        watched.push(Watched::new(barepod.name(), pid));
    }
    for supervisord in [&theirs[0], &theirs_full] {
        watched.push(Watched::new(supervisor::Supervisord.name(), supervisord.0.id()));
    }
    watch(&mut watched)?;
    lines(watched)
}

fn watch(watched: &mut [Watched]) -> anyhow::Result<()> {
    std::thread::sleep(CALM);
    for _ in 0..PIECES {
        let before = watched.iter().map(|one| process::processor_time_of_all_threads(one.pid));
        let before = before.collect::<anyhow::Result<Vec<_>>>()?;
        let begin = std::time::Instant::now();
        std::thread::sleep(PIECE);
        for (one, before) in watched.iter_mut().zip(before) {
            one.resident.push(process::resident(one.pid)?);
            let spent = process::processor_time_of_all_threads(one.pid)?.saturating_sub(before);
            one.processor.push(spent.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0);
        }
    }
    Ok(())
}

/// `watched`: ours with none, ours with all, theirs with none, theirs with all.
fn lines(watched: Vec<Watched>) -> anyhow::Result<Vec<Line>> {
    let whole: Vec<f64> = watched.iter().map(|one| one.processor.iter().sum::<f64>() / PIECES as f64).collect();
    let mut lines = Vec::new();
    for (first, services, most) in [(0, 0, 12_000.0), (1, SERVICES, 30_000.0)] {
        let arms = of(&watched, first, |one| one.resident.clone())?;
        lines.push(Line {
            title: format!("resident memory of the daemon with {services} services"),
            unit: "kB".into(),
            notes: "Over a quiet minute, without probes.".to_owned(),
            goals: vec![Goal::at_most(most, &arms)],
            arms,
        });
        let arms = of(&watched, first, |one| one.processor.clone())?;
        let means = format!("{:.3} and {:.3}", whole[first], whole[first + 2]);
        lines.push(Line {
            title: format!("processor time of the daemon with {services} services"),
            unit: "% of a core".into(),
            notes: format!(
                "In the same minute, in pieces of {} s, in steps of a tick of 10 ms. Over the whole minute: {means}.",
                PIECE.as_secs()
            ),
            goals: vec![Goal::at_most(0.5, &arms)],
            arms,
        });
    }
    Ok(lines)
}

fn of(watched: &[Watched], first: usize, figures: impl Fn(&Watched) -> Vec<f64>) -> anyhow::Result<Vec<Arm>> {
    let arm = |one: &Watched| -> anyhow::Result<Arm> {
        Ok(Arm { name: one.name.clone(), sample: Sample::new(figures(one)).context("no figures")? })
    };
    [first, first + 2].into_iter().map(|index| arm(&watched[index])).collect()
}

impl Watched {
    fn new(name: String, pid: u32) -> Self {
        Self { name, pid, resident: Vec::new(), processor: Vec::new() }
    }
}

impl Supervisord {
    fn start(place: &Path, service: &Service, services: usize) -> anyhow::Result<Self> {
        fs_err::create_dir(place)?;
        let file = place.join("supervisord.conf");
        fs_err::write(&file, configuration(place, service, services))?;
        let mut command = Command::new("supervisord");
        command.arg("-c").arg(file).env(stamp::SOCKET, &service.socket);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(Owned::spawn(&mut command)?))
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        let told = signal(self.0.id(), "TERM");
        if told.is_err() || self.0.wait("supervisord", SOON).is_err() {
            eprintln!("supervisord did not end; its services may be left");
        }
    }
}
