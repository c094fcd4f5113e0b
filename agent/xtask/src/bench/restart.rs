//! From kill -9 of a single-process service to its replacement's first instruction.
//!
//! The service is `stamp`, which reads the monotonic clock before anything else and sends it by datagram. All
//! supervisors run at the same time, each with one service; they are idle but for the kill whose turn it is.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use barepod_test_programs::stamp::{self, Stamp, monotonic};
use barepod_tests::Scratch;
use barepod_tests::process::Owned;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::Course;
use super::peers;
use super::statistics::Sample;
use super::table::{Arm, Line};

/// No supervisor worth the name takes longer.
const LIMIT: Duration = Duration::from_secs(15);

/// A way to keep a service alive: an arm of this line.
pub(super) trait Supervisor {
    /// For the table, with the version.
    fn name(&self) -> String;

    /// Starts to keep the service alive, with files of its own in an empty directory.
    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised>;
}

/// The service: a static program without arguments, and the one variable of its environment.
pub(super) struct Service {
    pub(super) program: PathBuf,
    /// The value of `stamp::SOCKET`.
    pub(super) socket: PathBuf,
}

/// What ends when the measuring does, in this order.
pub(super) enum Supervised {
    /// The supervisor is this process; it is killed, and then the service.
    By(Owned),
}

/// One supervisor with its service under way.
struct Running {
    name: String,
    supervised: Supervised,
    stamps: UnixDatagram,
    pid: Pid,
    figures: Vec<f64>,
}

/// All arms in turns.
pub(super) fn measure(course: &Course) -> anyhow::Result<Line> {
    // A service outlives its killed supervisor and becomes ours to reap.
    set_child_subreaper(true)?;
    let scratch = Scratch::new()?;
    let program = course.built.musl("stamp")?;
    let mut running = Vec::new();
    for (number, supervisor) in peers::supervisors().iter().enumerate() {
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
    line(course, running)
}

fn line(course: &Course, running: Vec<Running>) -> anyhow::Result<Line> {
    let mut arms = Vec::new();
    for arm in running {
        let (name, figures) = arm.end()?;
        arms.push(Arm { name, sample: Sample::new(figures).context("no figures")? });
    }
    let notes = format!(
        "One service of one process under each, killed in turns, {} ms idle before each kill. Promised: 3 ms or less, \
         and less than any other.",
        course.gap.as_millis()
    );
    Ok(Line { title: "kill -9 to the replacement's first instruction".to_owned(), unit: "ms", notes, arms })
}

impl Running {
    fn start(supervisor: &dyn Supervisor, place: &Path, program: &Path) -> anyhow::Result<Self> {
        fs_err::create_dir(place)?;
        let service = Service { program: program.to_owned(), socket: place.with_extension("stamps") };
        let stamps = UnixDatagram::bind(&service.socket)?;
        stamps.set_read_timeout(Some(LIMIT))?;
        let supervised = supervisor.supervise(place, &service)?;
        let first = receive(&stamps).context("the service did not start")?;
        let pid = Pid::from_raw(first.pid);
        Ok(Self { name: supervisor.name(), supervised, stamps, pid, figures: Vec::new() })
    }

    /// Milliseconds from before the kill to the first instruction of the next process.
    fn kill_and_wait(&mut self) -> anyhow::Result<f64> {
        let begin = monotonic()?;
        kill(self.pid, Signal::SIGKILL)?;
        let stamp = receive(&self.stamps).context("no replacement came")?;
        let killed = std::mem::replace(&mut self.pid, Pid::from_raw(stamp.pid));
        if killed == self.pid {
            bail!("process {killed} said twice that it began");
        }
        let elapsed = stamp.at.checked_sub(begin).context("the replacement began before the kill")?;
        Ok(elapsed.as_secs_f64() * 1e3)
    }

    /// The supervisor first, or it would start the service once more.
    fn end(self) -> anyhow::Result<(String, Vec<f64>)> {
        match self.supervised {
            Supervised::By(process) => drop(process),
        }
        kill(self.pid, Signal::SIGKILL)?;
        waitpid(self.pid, None)?;
        Ok((self.name, self.figures))
    }
}

fn receive(stamps: &UnixDatagram) -> anyhow::Result<Stamp> {
    let mut bytes = [0; stamp::LENGTH + 1];
    let length = stamps.recv(&mut bytes)?;
    Stamp::decode(&bytes[..length]).context("a datagram that is no stamp")
}
