//! What a Nomad server does when clients come back, by the type of the jobs that count their services: 100 simulated clients
//! with 20 services each. `tests/peers/nomad-fleet` speaks for the clients; the server is a real one.

use std::process::Command;

use anyhow::Context as _;
use barepod_tests::peers::{NOMAD, NOMAD_FLEET};
use serde::Deserialize;

use crate::bench::Course;
use crate::bench::table::{Arm, Line};
use barepod_statistics::Sample;

/// How many come back at a time. With jobs of the type `system` each one takes minutes.
const SERVICE: &str = "1,10,100";
const SYSTEM: &str = "1";

/// What became of one event.
#[derive(Deserialize)]
struct Figures {
    event: String,
    clients: usize,
    evaluations: u64,
    /// Of the server's CPU, without what it takes all the time.
    seconds: f64,
}

pub(in crate::bench) fn measure(_: &Course) -> anyhow::Result<Vec<Line>> {
    let (service, system) = (of("service", SERVICE)?, of("system", SYSTEM)?);
    let mut lines = Vec::new();
    for (event, what) in [
        ("registered", "all are registered"),
        ("restarted", "clients restart, as they were"),
        ("changed", "clients restart with another attribute, as after an upgrade"),
        ("missed", "clients are missed"),
        ("returned", "clients come back that were missed"),
    ] {
        for (unit, of) in
            [("evaluations", (|it: &Figures| it.evaluations as f64) as fn(&Figures) -> f64), ("CPU s", |it| it.seconds)]
        {
            lines.push(line(event, what, unit, of, &[("service", &service), ("system", &system)])?);
        }
    }
    Ok(lines)
}

fn line(
    event: &str,
    what: &str,
    unit: &'static str,
    of: fn(&Figures) -> f64,
    types: &[(&str, &Vec<Figures>)],
) -> anyhow::Result<Line> {
    let mut arms = Vec::new();
    for (name, figures) in types {
        for one in figures.iter().filter(|one| one.event == event) {
            let name = format!("{name} jobs, {} clients", one.clients);
            arms.push(Arm { name, sample: Sample::new(vec![of(one)]).context("no figure")? });
        }
    }
    let notes = "100 clients with 20 jobs each, pinned to their nodes. One figure each: the evaluations are counted, and the server's \
                 CPU is without what it takes all the time."
        .to_owned();
    Ok(Line {
        title: format!("Nomad's server, {unit}, when {what}"),
        unit: unit.into(),
        notes,
        goals: Vec::new(),
        arms,
    })
}

fn of(kind: &str, counts: &str) -> anyhow::Result<Vec<Figures>> {
    let mut fleet = Command::new(NOMAD_FLEET.program("nomad-fleet")?);
    fleet.arg("-nomad").arg(NOMAD.program("nomad")?).args(["-type", kind, "-restart", counts]);
    let output = fleet.env_remove("AWS_CA_BUNDLE").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
