//! A task of a real Nomad agent beside one of its own driver `raw_exec`, and what it costs to be counted by Nomad.

mod fleet;
mod memory;
mod requests;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use barepod_test_programs::stamp;
use barepod_tests::bridge;
use barepod_tests::host::Host;
use barepod_tests::nomad::{Nomad, Options};
use serde_json::{Value, json};

use super::Course;
use super::stamps::Stamps;
use super::supervisor::name_of_ours;
use super::table::Line;

const LIMIT: Duration = Duration::from_secs(120);

pub(super) use fleet::measure as fleet;
pub(super) use requests::measure as requests;

/// What is measured beside `raw_exec`, on one agent.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let pair = Pair::start(course)?;
    let mut lines = start::measure(course, &pair)?;
    lines.extend(memory::measure(&pair)?);
    Ok(lines)
}

/// Who runs a task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Barepod,
    RawExec,
}

impl Driver {
    fn name(self) -> String {
        match self {
            Self::Barepod => name_of_ours(),
            Self::RawExec => "Nomad 1.11.3, raw_exec".to_owned(),
        }
    }

    /// As a job has it.
    fn word(self) -> &'static str {
        match self {
            Self::Barepod => "barepod",
            Self::RawExec => "raw_exec",
        }
    }
}

/// An agent with both drivers, and a program that says when it begins.
struct Pair {
    nomad: Nomad,
    host: Host,
    stamps: Stamps,
    program: PathBuf,
}

impl Pair {
    fn start(course: &Course) -> anyhow::Result<Self> {
        let mut host = Host::of_in_view(course.built.clone(), bridge::CONFIG)?;
        // Where a pod sees them without a volume, as a process of raw_exec does.
        let (program, place) = (host.path("srv/stamp"), host.path("stamps"));
        for directory in [host.path("srv"), place.clone()] {
            fs_err::create_dir_all(directory)?;
        }
        fs_err::copy(course.built.musl("stamp")?, &program)?;
        let stamps = Stamps::bind(place.join("socket"), LIMIT)?;
        host.start()?;
        let nomad = Nomad::start_with(&host, Options { raw_exec: true, ..Options::default() })?;
        nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
        Ok(Self { nomad, host, stamps, program })
    }

    /// A job of so many tasks that say when they begin, and then wait for their end.
    fn job(&self, name: &str, driver: Driver, count: usize, logs: Logs) -> Value {
        let task = json!({
            "Name": "main", "Driver": driver.word(), "Config": {"command": self.program},
            "Env": {stamp::SOCKET: self.stamps.path()},
            "Resources": {"CPU": 20, "MemoryMB": 16},
            "KillTimeout": 1_000_000_000_u64,
            "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1, "Disabled": logs == Logs::Not},
        });
        json!({"Job": {
            "ID": name, "Name": name, "Type": "service", "Datacenters": ["*"], "Update": {"MaxParallel": 0},
            "TaskGroups": [{
                "Name": "main", "Count": count, "EphemeralDisk": {"SizeMB": 10}, "Tasks": [task],
            }],
        }})
    }

    /// Has a job forgotten, and waits until its tasks are over.
    fn end(&self, name: &str) -> anyhow::Result<()> {
        self.nomad.stop(name, false)?;
        self.nomad.within(LIMIT, "the tasks to be over", |nomad| {
            let all = nomad.get(&format!("/v1/job/{name}/allocations")).ok()?;
            all.as_array()?.iter().all(|one| one["ClientStatus"] == "complete").then_some(())
        })?;
        self.nomad.stop(name, true)?;
        Ok(())
    }

    /// When a job's only task came to its client's hands, by the clock of `stamp::monotonic`.
    fn received(&self, name: &str) -> anyhow::Result<Duration> {
        let events = self.nomad.within(LIMIT, "the task's events", |nomad| {
            let events = nomad.allocation(name)?["TaskStates"]["main"]["Events"].take();
            let at = events.as_array()?.iter().find(|event| event["Type"] == "Task Setup")?["Time"].as_u64()?;
            Some(at)
        })?;
        let (now, here) = (std::time::SystemTime::now(), stamp::monotonic()?);
        let age = now.duration_since(std::time::UNIX_EPOCH)?.checked_sub(Duration::from_nanos(events));
        here.checked_sub(age.context("an event of the future")?).context("an event before all time")
    }
}

/// Whether Nomad collects what tasks write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logs {
    Collected,
    Not,
}
