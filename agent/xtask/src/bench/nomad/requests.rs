//! What Nomad's API is asked by a host whose services it counts.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use barepod_tests::bridge::{self, Bridge};
use barepod_tests::host::Host;
use barepod_tests::nomad::{Nomad, Options};
use barepod_tests::pods;

use serde_json::{Value, json};

use super::LIMIT;
use crate::bench::supervisor::name_of_ours;
use crate::bench::table::{Arm, Goal, Line};
use crate::bench::{Course, process};
use barepod_statistics::Sample;

const SERVICES: usize = 200;
const MINUTES: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);
/// So many change in each minute of churn, one after the other: one asks for more, one comes, one goes, and so on.
const CHANGES: u32 = 12;

pub(in crate::bench) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let mut host = Host::of_in_view(course.built.clone(), bridge::CONFIG)?;
    host.start()?;
    let mut nomad = Nomad::start_with(&host, Options { bare: true, acl: true, ..Options::default() })?;
    nomad.prepare(&host)?;
    let begun = asked(&nomad);
    let bridge = Bridge::of_nomad(&host)?;
    for number in 0..SERVICES {
        host.apply_object(&service(&format!("service-{number}"), 16))?;
    }
    nomad.within(10 * LIMIT, "all services to be counted", |nomad| {
        std::thread::sleep(Duration::from_secs(5));
        let jobs = nomad.get("/v1/jobs?namespace=barepod&meta=true").ok()?;
        let running = |job: &&Value| job["JobSummary"]["Summary"]["pod"]["Running"] == 1;
        (jobs.as_array()?.iter().filter(running).count() == SERVICES).then_some(())
    })?;
    let counted = asked(&nomad) - begun;
    // What has been begun comes to its end.
    std::thread::sleep(MINUTE);
    let quiet = minutes(&nomad, |_| {
        std::thread::sleep(MINUTE);
        Ok(())
    })?;
    let held = process::resident(bridge.pid().context("the bridge is gone")?)? / 1e3;
    let churn = minutes(&nomad, |minute| churn(&host, minute))?;
    let line = |title: &str, figures, notes: String, goal: Option<f64>| {
        let arms = vec![Arm { name: name_of_ours(), sample: Sample::new(figures).context("no figures")? }];
        let title = format!("Nomad: requests to its API per minute, with {SERVICES} services that are counted{title}");
        let goals = goal.map(|goal| Goal::at_most(goal, &arms)).into_iter().collect();
        anyhow::Ok(Line { title, unit: "requests".into(), notes, goals, arms })
    };
    let notes = format!(
        "Of one host, while nothing changes, as the agent logs them. To have all of them counted took {counted} requests. \
         The bridge held {held:.1} MB then."
    );
    let of_churn = format!(
        "{CHANGES} changes a minute, one after the other: in turn one asks for more, a new one comes, and that goes again."
    );
    Ok(vec![line("", quiet, notes, Some(30.0))?, line(", and change", churn, of_churn, None)?])
}

/// A service that asks for so many MiB.
fn service(name: &str, mib: u32) -> Value {
    let mut pod = pods::idle(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "5m", "memory": format!("{mib}Mi")}});
    pod
}

/// What is asked in each of some minutes, of which each is one turn of this.
fn minutes(nomad: &Nomad, mut minute: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    let mut figures = Vec::new();
    for number in 0..MINUTES {
        let before = asked(nomad);
        minute(number)?;
        figures.push((asked(nomad) - before) as f64);
    }
    Ok(figures)
}

/// A minute of it.
fn churn(host: &Host, minute: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    for change in 0..CHANGES {
        match change % 3 {
            0 => drop(host.apply_object(&service(&format!("service-{change}"), 17 + u32::try_from(minute)?))?),
            1 => drop(host.apply_object(&service("guest", 16))?),
            _ => drop(host.barepod(&["delete", "pod", "guest"])?),
        }
        std::thread::sleep((MINUTE / CHANGES * (change + 1)).saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// Requests that the agent has answered, as it logs each; those that are held back when they are answered.
fn asked(nomad: &Nomad) -> usize {
    nomad
        .log()
        .lines()
        .filter(|line| line.contains("http: request complete") || line.contains("http: request failed"))
        .count()
}
