//! From kill -9 of a PostgreSQL's postmaster with twenty backends to the next one's first instruction, and to its first
//! accepted connection.
//!
//! All arms run the same program on a cluster of their own. The peers start the next postmaster beside what is left of the
//! old one, and PostgreSQL itself has to refuse; barepod starts it when the old one's group is empty.

mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_statistics::Sample;
use barepod_test_programs::stamp::monotonic;
use barepod_tests::Scratch;
use nix::sys::signal::{Signal, kill};

use super::Course;
use super::stamps::Stamps;
use super::supervisor::{self, Service, Supervised, Supervisor};
use super::table::{Arm, Goal, Line};
use server::{Emptied, Server};

const BACKENDS: usize = 20;
/// Each ends with a crash recovery.
const ROUNDS: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);

/// One supervisor with its PostgreSQL.
struct Running {
    name: String,
    supervised: Supervised,
    server: Server,
    stamps: Stamps,
    rounds: Vec<Round>,
}

/// Milliseconds.
struct Round {
    begun: f64,
    /// From the empty group, where the service has a group of its own.
    from_empty: Option<f64>,
    accepted: f64,
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let scratch = Scratch::new()?;
    let program = course.built.musl("stamped")?;
    let mut running = Vec::new();
    for (number, supervisor) in supervisor::all(course)?.iter().enumerate() {
        let name = supervisor.name();
        let place = scratch.join(number.to_string());
        running.push(Running::start(supervisor.as_ref(), &place, &program, number == 0).with_context(|| name)?);
    }
    for _ in 0..course.rounds.min(ROUNDS) {
        for arm in &mut running {
            std::thread::sleep(course.gap);
            let round = arm.kill_and_wait().with_context(|| arm.name.clone())?;
            arm.rounds.push(round);
        }
    }
    lines(&running)
}

fn lines(running: &[Running]) -> anyhow::Result<Vec<Line>> {
    let of = |figure: fn(&Round) -> Option<f64>| -> anyhow::Result<Vec<Arm>> {
        let mut arms = Vec::new();
        for arm in running {
            let figures: Vec<f64> = arm.rounds.iter().filter_map(figure).collect();
            if !figures.is_empty() {
                let sample = Sample::new(figures).context("no figures")?;
                arms.push(Arm { name: arm.name.clone(), sample });
            }
        }
        Ok(arms)
    };
    let title = |what: &str| format!("PostgreSQL with {BACKENDS} backends: {what}");
    let arms = of(|round| round.from_empty)?;
    let from_empty = Line {
        title: title("the empty cgroup to the replacement's first instruction"),
        unit: "ms".into(),
        notes: "Emptiness as a thread outside sees it by poll on cgroup.events, which may be a little late. The peers know \
                no emptiness and start at once, beside what is left."
            .to_owned(),
        goals: vec![Goal::at_most(3.0, &arms)],
        arms,
    };
    let begun = Line {
        title: title("kill -9 of the postmaster to the replacement's first instruction"),
        unit: "ms".into(),
        notes: "barepod's includes the kernel's end of all backends, which the peers do not wait for.".to_owned(),
        goals: Vec::new(),
        arms: of(|round| Some(round.begun))?,
    };
    let accepted = Line {
        title: title("kill -9 of the postmaster to the first accepted connection"),
        unit: "ms".into(),
        notes: "With crash recovery, looked for every millisecond.".to_owned(),
        goals: Vec::new(),
        arms: of(|round| Some(round.accepted))?,
    };
    Ok(vec![from_empty, begun, accepted])
}

impl Running {
    fn start(supervisor: &dyn Supervisor, place: &Path, program: &Path, has_group: bool) -> anyhow::Result<Self> {
        fs_err::create_dir(place)?;
        let stamps = Stamps::bind(place.with_extension("stamps"), LIMIT)?;
        let server = Server::create(&place.with_extension("data"), has_group)?;
        let mut argv = vec![program.display().to_string(), server.uid().to_string(), server.gid().to_string()];
        argv.extend(server.command());
        let user = Some((server.uid().as_raw(), server.gid().as_raw()));
        let service = Service { argv, socket: stamps.path().to_owned(), user, among: 1 };
        let mut supervised = supervisor.supervise(place, &service)?;
        supervised.begun(stamps.receive().context("PostgreSQL was not started")?);
        server.first_connection(LIMIT)?;
        Ok(Self { name: supervisor.name(), supervised, server, stamps, rounds: Vec::new() })
    }

    fn kill_and_wait(&mut self) -> anyhow::Result<Round> {
        let backends = self.server.backends(BACKENDS)?;
        let killed = self.supervised.service().context("PostgreSQL has not begun")?;
        let emptied = self.server.has_group.then(|| Emptied::of(killed)).transpose()?;
        let begin = monotonic()?;
        kill(killed, Signal::SIGKILL)?;
        let stamp = self.stamps.receive().context("no replacement came")?;
        ensure!(stamp.pid != killed.as_raw(), "process {killed} said twice that it began");
        let accepted = self.server.first_connection(LIMIT)?;
        drop(backends);
        // One that the old backends kept from starting was followed by others.
        self.supervised.begun(self.stamps.newest()?.unwrap_or(stamp));
        let from_empty = match emptied {
            Some(emptied) => Some(millis(emptied.at()?, stamp.at)?),
            None => None,
        };
        Ok(Round { begun: millis(begin, stamp.at)?, from_empty, accepted: millis(begin, accepted)? })
    }
}

/// Between two moments; a watcher outside may see the first after the second.
fn millis(from: Duration, to: Duration) -> anyhow::Result<f64> {
    Ok((to.as_secs_f64() - from.as_secs_f64()).max(0.0) * 1e3)
}
