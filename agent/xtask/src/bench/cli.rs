//! How long a person waits for the command line: for its start, for a completion, and for the list of many pods.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_statistics::Sample;
use barepod_test_programs::stamp::monotonic;
use barepod_tests::host::Host;
use barepod_tests::peers::{KUBERNETES, KUBERNETES_VERSION};
use barepod_tests::{Scratch, wait_for};

use super::Course;
use super::supervisor::name_of_ours;
use super::table::{Arm, Goal, Line};

const PODS: usize = 500;
const LIMIT: Duration = Duration::from_secs(300);

/// A program that is started and ends by itself.
struct Contestant {
    name: String,
    command: Command,
    /// What it has to print.
    prints: String,
}

/// All lines.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let host = full(course)?;
    Ok(vec![start(course, &host)?, completion(course, &host)?, list(course, &host)?])
}

/// A host with that many pods, all of them running.
fn full(course: &Course) -> anyhow::Result<Host> {
    let mut host = Host::of(course.built.clone(), "")?;
    host.start()?;
    let mut manifests = String::new();
    for number in 0..PODS {
        writeln!(
            manifests,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: service-{number}, labels: {{app: service}}}}\nspec: \
             {{terminationGracePeriodSeconds: 1, containers: [{{name: main, image: host, command: [sleep, infinity]}}]}}"
        )?;
    }
    host.apply("services", &manifests)?;
    let running = || {
        let list = host.barepod(&["get", "pods", "--no-headers"]).ok()?;
        (list.lines().filter(|line| line.contains(" Running ")).count() == PODS).then_some(())
    };
    wait_for("all pods to run", LIMIT, running)?;
    Ok(host)
}

fn start(course: &Course, host: &Host) -> anyhow::Result<Line> {
    let mut arms = vec![Contestant {
        name: name_of_ours(),
        command: host.command(&["version", "--client"])?,
        prints: env!("CARGO_PKG_VERSION").to_owned(),
    }];
    let mut peer = kubectl(&["version", "--client"])?;
    KUBERNETES_VERSION.clone_into(&mut peer.prints);
    arms.push(peer);
    let arms = turns(course, arms)?;
    Ok(Line {
        title: "command line: `version --client`".to_owned(),
        unit: "ms".into(),
        notes: "From before the process is made to its end.".to_owned(),
        goals: vec![Goal::at_most(10.0, &arms)],
        arms,
    })
}

fn completion(course: &Course, host: &Host) -> anyhow::Result<Line> {
    // As the script of bash asks, after `barepod logs ` and a tab.
    let socket = host.path("run/barepod/barepod.sock").display().to_string();
    let mut command = Command::new(host.program("barepod")?);
    command.args(["--", "barepod", "logs", ""]).env("BAREPOD_SOCKET", socket);
    command.env("BAREPOD_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_COMPLETE_COMP_TYPE", "9");
    command.env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n");
    let ours = Contestant { name: name_of_ours(), command, prints: format!("service-{}", PODS - 1) };
    let mut peer = kubectl(&["__complete", "ge"])?;
    peer.name += ", words of its grammar alone";
    "get".clone_into(&mut peer.prints);
    let arms = turns(course, vec![ours, peer])?;
    Ok(Line {
        title: format!("command line: completion of a pod's name, {PODS} pods"),
        unit: "ms".into(),
        notes: "What the shell's script asks on the tab key. kubectl is asked for what needs no server.".to_owned(),
        goals: vec![Goal::at_most(50.0, &arms)],
        arms,
    })
}

fn list(course: &Course, host: &Host) -> anyhow::Result<Line> {
    let command = host.command(&["get", "pods"])?;
    let ours = Contestant { name: name_of_ours(), command, prints: format!("service-{}", PODS - 1) };
    let arms = turns(course, vec![ours])?;
    Ok(Line {
        title: format!("command line: `get pods`, {PODS} pods"),
        unit: "ms".into(),
        notes: "All of them running. systemctl list-units is no peer here, where no systemd runs.".to_owned(),
        goals: vec![Goal::at_most(50.0, &arms)],
        arms,
    })
}

/// kubectl as the tests build it, with a home of its own: what it finds in one's own would be read too.
fn kubectl(arguments: &[&str]) -> anyhow::Result<Contestant> {
    let mut command = Command::new(KUBERNETES.program("kubectl")?);
    command.args(arguments).env_clear().env("HOME", "/nonexistent");
    Ok(Contestant { name: format!("kubectl {KUBERNETES_VERSION}"), command, prints: String::new() })
}

fn turns(course: &Course, mut contestants: Vec<Contestant>) -> anyhow::Result<Vec<Arm>> {
    let scratch = Scratch::new()?;
    let mut figures = vec![Vec::new(); contestants.len()];
    for _ in 0..course.rounds {
        for (contestant, figures) in contestants.iter_mut().zip(&mut figures) {
            std::thread::sleep(course.gap);
            let name = contestant.name.clone();
            figures.push(contestant.once(&scratch).with_context(|| name)?);
        }
    }
    let arm = |(contestant, figures): (Contestant, Vec<f64>)| {
        Ok(Arm { name: contestant.name, sample: Sample::new(figures).context("no figures")? })
    };
    contestants.into_iter().zip(figures).map(arm).collect()
}

impl Contestant {
    /// Milliseconds from before it is made to its end. It writes into a file: nobody has to be awake to read.
    fn once(&mut self, scratch: &Scratch) -> anyhow::Result<f64> {
        let path = scratch.join("output");
        let output = fs_err::File::create(&path)?.into_parts().0;
        self.command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        let begin = monotonic()?;
        let status = self.command.status()?;
        let elapsed = monotonic()?.saturating_sub(begin);
        ensure!(status.success(), "it ended with {status}");
        let text = fs_err::read_to_string(path)?;
        ensure!(text.contains(&self.prints), "it does not print {}: {text}", self.prints);
        Ok(elapsed.as_secs_f64() * 1e3)
    }
}
