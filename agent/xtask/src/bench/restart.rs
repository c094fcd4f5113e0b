//! From kill -9 of a single-process service to its replacement's first instruction.
//!
//! The service is `stamp`, which reads the monotonic clock before anything else and sends it by datagram. All
//! supervisors run at the same time, each with one service; they are idle but for the kill whose turn it is.

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

/// No supervisor worth the name takes longer.
const LIMIT: Duration = Duration::from_secs(15);

/// One supervisor with its service under way.
struct Running {
    name: String,
    supervised: Supervised,
    stamps: Stamps,
    figures: Vec<f64>,
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let scratch = Scratch::new()?;
    let program = course.built.musl("stamp")?;
    let mut running = Vec::new();
    for (number, supervisor) in supervisor::all(course)?.iter().enumerate() {
        let place = scratch.join(number.to_string());
        let name = supervisor.name();
        running.push(Running::start(supervisor.as_ref(), &place, &program).with_context(|| name)?);
    }
    for round in 0..course.rounds {
        // Another one begins each time, so that none always follows the same neighbour.
        let first = round % running.len();
        running.rotate_left(first);
        for arm in &mut running {
            std::thread::sleep(course.gap);
            let figure = arm.kill_and_wait().with_context(|| arm.name.clone())?;
            arm.figures.push(figure);
        }
        running.rotate_right(first);
    }
    Ok(vec![line(course, running)?])
}

fn line(course: &Course, running: Vec<Running>) -> anyhow::Result<Line> {
    let mut arms = Vec::new();
    for arm in running {
        arms.push(Arm { name: arm.name, sample: Sample::new(arm.figures).context("no figures")? });
    }
    let notes = format!(
        "One service of one process under each, killed in turns, {} ms idle before each kill. barepod with a back-off of \
         0, as runit and daemontools have none; its service runs in namespaces, a view and a cgroup of its own, made \
         anew each time, the others' in none.",
        course.gap.as_millis()
    );
    let goals = vec![Goal::at_most(3.0, &arms), Goal::first_is_least(&arms)];
    Ok(Line {
        title: "kill -9 to the replacement's first instruction".to_owned(),
        unit: "ms".into(),
        notes,
        goals,
        arms,
    })
}

impl Running {
    fn start(supervisor: &dyn Supervisor, place: &Path, program: &Path) -> anyhow::Result<Self> {
        fs_err::create_dir(place)?;
        let meeting = place.with_extension("stamps");
        fs_err::create_dir(&meeting)?;
        let stamps = Stamps::bind(meeting.join("socket"), LIMIT)?;
        let service = Service::new(vec![program.display().to_string()], stamps.path());
        let mut supervised = supervisor.supervise(place, &service)?;
        supervised.begun(stamps.receive().context("the service did not start")?);
        Ok(Self { name: supervisor.name(), supervised, stamps, figures: Vec::new() })
    }

    /// Milliseconds from before the kill to the first instruction of the next process.
    fn kill_and_wait(&mut self) -> anyhow::Result<f64> {
        let killed = self.supervised.service().context("the service has not begun")?;
        let begin = monotonic()?;
        kill(killed, Signal::SIGKILL)?;
        let stamp = self.stamps.receive().context("no replacement came")?;
        self.supervised.begun(stamp);
        ensure!(stamp.pid != killed.as_raw(), "process {killed} said twice that it began");
        let elapsed = stamp.at.checked_sub(begin).context("the replacement began before the kill")?;
        Ok(elapsed.as_secs_f64() * 1e3)
    }
}
