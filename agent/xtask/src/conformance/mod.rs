//! Kubernetes' own end to end suite as the judge of a node: run spec by spec against a real control plane and two hosts
//! of barepod, and what came of it as a page of the repository.
//!
//! Nothing in barepod knows of the suite. Its images are directory trees by two presets, as an administrator writes them.

mod images;
mod page;
mod results;
mod spec;
mod suite;

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use barepod_tests::cluster::{Credentials, Recipe};
use barepod_tests::fleet::Fleet;
use barepod_tests::host::{Host, HostError};
use barepod_tests::joined::PORT;
use barepod_tests::peers::{CONFORMANCE, CONFORMANCE_IMAGES};

use crate::repository::Repository;
use crate::{build, peers, setup};
use results::Results;
use spec::Spec;
use suite::Suite;

/// As many as Kubernetes' conformance asks for.
const NODES: u8 = 2;
/// How many specs one start of the suite runs: what is lost when it is interrupted.
const BATCH: usize = 6;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only specs whose name this regular expression of Go's fits
    #[arg(long, value_name = "REGEX")]
    focus: Option<String>,
    /// Only the Nth of M parts; several can run at once, each with a cluster of its own
    #[arg(long, value_name = "N/M", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Also those that have a result at this commit
    #[arg(long)]
    again: bool,
    /// Writes tests/CONFORMANCE.md from the results at this commit, and runs nothing more than what lacks one
    #[arg(long)]
    write: bool,
    /// With --write: from the results at this earlier commit, and runs nothing; what explains them is written after they are known
    #[arg(long, value_name = "COMMIT", requires = "write")]
    of: Option<String>,
}

/// Runs what has no result yet, and says how it went.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    setup::run(repository, setup::Purpose::Test)?;
    peers::build(repository, &[CONFORMANCE, CONFORMANCE_IMAGES])?;
    let suite = Suite::new()?;
    let all = suite.specs(options.focus.as_deref())?;
    if let Some(commit) = &options.of {
        return page::write(repository, &all, &Results::at(repository, commit)?);
    }
    build::at(repository, build::Speed::Debug)?;
    let mine = part(&all, options.shard);
    let mut results = Results::of(repository)?;
    let wanted: Vec<&Spec> = mine.iter().filter(|spec| options.again || results.get(spec).is_none()).collect();
    println!("conformance: {} specs, {} of them to be run", mine.len(), wanted.len());
    if !wanted.is_empty() {
        judge(&suite, &wanted, &mut results)?;
    }
    results.read()?;
    println!("{}", page::summary(&mine, &results));
    if options.write {
        page::write(repository, &all, &results)?;
    }
    Ok(())
}

/// On a cluster of their own.
fn judge(suite: &Suite, specs: &[&Spec], results: &mut Results) -> anyhow::Result<()> {
    let laid = |host: &Host| images::lay(host).map_err(|error| HostError::Io(io::Error::other(format!("{error:#}"))));
    let fleet = Fleet::start(NODES, &Recipe::default(), "", laid)?;
    for (node, place) in fleet.nodes.iter().zip(fleet.network.hosts()) {
        let port = SocketAddr::new(place.address(), PORT.port());
        fleet.until(&format!("the kubelet port of {} to show its certificate", node.name), |fleet| {
            fleet.plane.ask_at(port, &Credentials::none(), ("GET", "/healthz")).ok()
        })?;
    }
    for (number, batch) in specs.chunks(BATCH).enumerate() {
        let logs = results.directory().join(format!("run-{}-{number}", std::process::id()));
        fs_err::create_dir_all(&logs)?;
        println!("conformance: from {} of {}; logs in {}", number * BATCH + 1, specs.len(), logs.display());
        let outcomes = suite.run(&fleet.plane, batch, &logs)?;
        for node in &fleet.nodes {
            fs_err::write(logs.join(format!("{}-bridge.log", node.name)), node.bridge.log())?;
            fs_err::write(logs.join(format!("{}-barepodd.log", node.name)), node.host.log())?;
        }
        for (spec, outcome) in outcomes {
            println!("  {outcome} ({:.0} s) {}", outcome.seconds, spec.name);
            results.keep(spec, outcome)?;
        }
    }
    Ok(())
}

fn part(all: &[Spec], shard: Option<(usize, usize)>) -> Vec<Spec> {
    let (number, of) = shard.unwrap_or((1, 1));
    all.iter().enumerate().filter(|(index, _)| index % of == number - 1).map(|(_, spec)| spec.clone()).collect()
}

fn shard(text: &str) -> anyhow::Result<(usize, usize)> {
    let (number, of) = text.split_once('/').context("write N/M")?;
    let (number, of) = (number.parse()?, of.parse()?);
    if number == 0 || number > of {
        bail!("there is no part {number} of {of}");
    }
    Ok((number, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_together_are_all_and_no_two_share_a_spec() {
        let all: Vec<_> = (0..10).map(|number| Spec { name: number.to_string(), file: String::new() }).collect();

        let mut together: Vec<_> = (1..=3).flat_map(|number| part(&all, Some((number, 3)))).collect();

        together.sort();
        assert_eq!(together, all);
        assert!(shard("0/3").is_err() && shard("4/3").is_err() && shard("3").is_err());
    }
}
