//! What the processes hold that stand beside a task.

use std::time::Duration;

use anyhow::Context as _;
use barepod_tests::wait_for;

use super::{Driver, LIMIT, Logs, Pair};
use crate::bench::process;
use crate::bench::supervisor::name_of_ours;
use crate::bench::table::{Arm, Goal, Line};
use barepod_statistics::Sample;

const TASKS: usize = 20;
const MORE_TASKS: usize = 100;
/// Twice as long as the driver waits for quiet.
const SETTLED: Duration = Duration::from_secs(5);
/// What is promised of the driver's process, and of all that is beside a task, in MB.
const PLUGIN: f64 = 8.0;
const BESIDE: f64 = 46.0;

pub(super) fn measure(pair: &Pair) -> anyhow::Result<Vec<Line>> {
    let arms = [
        ("barepod: shim, logmon", Driver::Barepod, Logs::Collected),
        ("Nomad's raw_exec: executor, logmon", Driver::RawExec, Logs::Collected),
        ("barepod, without logs in Nomad: shim", Driver::Barepod, Logs::Not),
    ];
    let mut measured = Vec::new();
    for (name, driver, logs) in arms {
        measured.push(Arm { name: name.to_owned(), sample: of_tasks(pair, driver, logs)? });
    }
    let line = Line {
        title: "Nomad: memory of all that stands beside a task".to_owned(),
        unit: "MB".into(),
        notes: format!(
            "Of {TASKS} tasks, each one's processes: what is theirs alone, and their part of what they share with others \
             (Pss). The driver's own process is the next line."
        ),
        goals: vec![Goal::at_most(BESIDE, &measured), Goal::of_the_second(1.0, &measured)],
        arms: measured,
    };
    Ok(vec![line, plugin(pair)?])
}

/// The driver's process with few tasks and with many.
fn plugin(pair: &Pair) -> anyhow::Result<Line> {
    let mut arms = Vec::new();
    for tasks in [MORE_TASKS, 1] {
        let job = pair.job("plugin", Driver::Barepod, tasks, Logs::Not);
        pair.nomad.ask("PUT", "/v1/jobs", &job)?;
        for _ in 0..tasks {
            pair.stamps.receive()?;
        }
        // What it took to start them is given back.
        std::thread::sleep(SETTLED);
        let [plugin] = pair.nomad.plugins()[..] else { anyhow::bail!("not one plugin") };
        let figures = (0..5).map(|_| Ok(process::resident(plugin)? / 1e3)).collect::<anyhow::Result<_>>()?;
        let name = format!("{}, {tasks} tasks", name_of_ours());
        arms.push(Arm { name, sample: Sample::new(figures).context("no figures")? });
        pair.end("plugin")?;
    }
    Ok(Line {
        title: "Nomad: resident memory of the driver's process".to_owned(),
        unit: "MB".into(),
        notes: "One for all tasks of a client, with many and, when these are over, with one; Nomad's own drivers are in the agent.".to_owned(),
        goals: vec![Goal::at_most(PLUGIN, &arms)],
        arms,
    })
}

fn of_tasks(pair: &Pair, driver: Driver, logs: Logs) -> anyhow::Result<Sample> {
    let name = format!("memory-{}", driver.word());
    pair.nomad.ask("PUT", "/v1/jobs", &pair.job(&name, driver, TASKS, logs))?;
    for _ in 0..TASKS {
        pair.stamps.receive()?;
    }
    let share = |pid: &u32| process::share(*pid).map(|kilobytes| kilobytes / 1e3);
    // One that was just being made may be gone when it is looked at.
    let figures = || {
        let tasks = beside(pair, driver, logs).ok()?;
        let is_whole = tasks.len() == TASKS && tasks.iter().all(|pids| !pids.is_empty());
        let sums = tasks.iter().map(|pids| pids.iter().map(share).sum::<anyhow::Result<f64>>());
        sums.collect::<anyhow::Result<_>>().ok().filter(|_| is_whole)
    };
    let sample = Sample::new(wait_for("all processes of the tasks", LIMIT, figures)?).context("no figures")?;
    pair.end(&name)?;
    wait_for("the processes to be gone", LIMIT, || pair.nomad.helpers("logmon").is_empty().then_some(()))?;
    Ok(sample)
}

/// What stands beside each task of a driver: of each kind the next process; which belong together says nothing.
fn beside(pair: &Pair, driver: Driver, logs: Logs) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut tasks = match driver {
        Driver::RawExec => pair.nomad.helpers("executor").into_iter().map(|pid| vec![pid]).collect(),
        Driver::Barepod => {
            let names = pair.host.barepod(&["get", "pods", "-o", "name"])?;
            let names =
                names.lines().filter_map(|name| name.strip_prefix("pod/")).filter(|name| name.starts_with("main-"));
            names.map(|name| Ok(pair.host.shims(name)?)).collect::<anyhow::Result<Vec<_>>>()?
        }
    };
    if logs == Logs::Collected {
        let collectors = pair.nomad.helpers("logmon");
        anyhow::ensure!(collectors.len() == tasks.len(), "{} of {} logmons", collectors.len(), tasks.len());
        tasks.iter_mut().zip(collectors).for_each(|(task, pid)| task.push(pid));
    }
    Ok(tasks)
}
