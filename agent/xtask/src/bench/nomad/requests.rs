//! What Nomad's API is asked by a host whose services it counts.

use std::time::Duration;

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

pub(in crate::bench) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let mut host = Host::of_in_view(course.built.clone(), bridge::CONFIG)?;
    host.start()?;
    let mut nomad = Nomad::start_with(&host, Options { bare: true, acl: true, ..Options::default() })?;
    nomad.prepare(&host)?;
    let begun = asked(&nomad);
    let bridge = Bridge::of_nomad(&host)?;
    for number in 0..SERVICES {
        let mut pod = pods::idle(&format!("service-{number}"));
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "5m", "memory": "16Mi"}});
        host.apply_object(&pod)?;
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
    let mut figures = Vec::new();
    for _ in 0..MINUTES {
        let before = asked(&nomad);
        std::thread::sleep(MINUTE);
        figures.push((asked(&nomad) - before) as f64);
    }
    let held = process::resident(bridge.pid().context("the bridge is gone")?)? / 1e3;
    let arms = vec![Arm { name: name_of_ours(), sample: Sample::new(figures).context("no figures")? }];
    Ok(vec![Line {
        title: format!("Nomad: requests to its API per minute, with {SERVICES} services that are counted"),
        unit: "requests".into(),
        notes: format!(
            "Of one host, while nothing changes, as the agent logs them. To have all of them counted took {counted} requests. \
             The bridge held {held:.1} MB then."
        ),
        goals: vec![Goal::at_most(30.0, &arms)],
        arms,
    }])
}

/// Requests that the agent has answered, as it logs each; those that are held back when they are answered.
fn asked(nomad: &Nomad) -> usize {
    nomad
        .log()
        .lines()
        .filter(|line| line.contains("http: request complete") || line.contains("http: request failed"))
        .count()
}
