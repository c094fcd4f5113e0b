//! `cargo xtask disk`: `barepod bench disk` on this machine, and the repository's page of it.
//!
//! What measures is the verb itself, as it is shipped, against a daemon on a scratch host; here is only where, and the page.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use barepod_statistics::Sample;
use barepod_tests::host::Host;
use barepod_tests::programs::Built;
use serde_json::Value;

use crate::bench::table::{Arm, Line};
use crate::build::{self, Speed};
use crate::repository::{Repository, machine};
use crate::setup::{self, Purpose};

const SPEED: Speed = Speed::Release;
/// The committed page, and its picture.
const PAGE: &str = "tests/DISK.md";
const PICTURE: &str = "tests/DISK.svg";

/// Of fewer no page is written.
const ROUNDS: u32 = 20;

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; in each of them everything is measured once
    #[arg(long, default_value_t = ROUNDS)]
    rounds: u32,
    /// Seconds that each measurement takes
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    runtime: u32,
    /// Size of the file that is written to
    #[arg(long, default_value = "1Gi", value_name = "QUANTITY")]
    size: String,
    /// A directory on the disk that is measured
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    directory: PathBuf,
    /// Measures the programs as they were built last
    #[arg(long)]
    as_built: bool,
    /// Also writes tests/DISK.md and tests/DISK.svg
    #[arg(long)]
    write: bool,
}

/// Measures and prints the page.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds >= ROUNDS || !options.write, "--write takes {ROUNDS} rounds at least: fewer say too little");
    if !options.as_built {
        setup::run(repository, Purpose::Bench)?;
        build::at(repository, SPEED)?;
    }
    let host = {
        let mut host = Host::of(Built::at(repository.target(), SPEED.directory()), "")?;
        host.start()?;
        host
    };
    let picture = host.path("plot.svg");
    let mut bench = host.command(&["bench", "disk", "--output", "json"])?;
    bench.arg(&options.directory).arg("--plot").arg(&picture).args(["--size", &options.size]);
    bench.args(["--rounds", &options.rounds.to_string(), "--runtime", &options.runtime.to_string()]);
    let output = bench.stderr(std::process::Stdio::inherit()).output().context("barepod does not start")?;
    ensure!(output.status.success(), "barepod bench disk ended with {}", output.status);
    let page = page(repository, &serde_json::from_slice(&output.stdout)?)?;
    println!("{page}");
    if options.write {
        fs_err::write(repository.root().join(PAGE), page)?;
        fs_err::copy(picture, repository.root().join(PICTURE))?;
    }
    Ok(())
}

fn page(repository: &Repository, report: &Value) -> anyhow::Result<String> {
    let changed = if repository.is_dirty()? { " with changes" } else { "" };
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let (rounds, runtime) = (&report["rounds"], &report["runtimeSeconds"]);
    let size = report["sizeBytes"].as_u64().unwrap_or_default() >> 20;
    let mut page = format!(
        "# Disk\n\nCommit `{}`{changed}, {date}, {}. Written by `cargo xtask disk --write`, which runs `barepod bench disk`; \
         how it measures is in [its page](../agent/docs/disk.md).\n\n{rounds} rounds of {runtime} s on a file of {size} MiB; in each \
         round everything once, in an order by chance. The ratio to the bare process is taken round by round; the \
         interval covers the true median 95 times in 100. Where 1 lies in it, no difference was seen, and what is smaller than \
         the interval is wide could not have been seen.\n\n![The ratios](DISK.svg)\n\n",
        repository.commit()?,
        machine(),
    );
    page += &places(report);
    lines(report)?.iter().for_each(|line| page += &format!("\n{line}"));
    Ok(page)
}

/// What the data lie on, seen from each arm.
fn places(report: &Value) -> String {
    let mut table = "| | file system | on | device |\n|---|---|---|---|\n".to_owned();
    for arm in report["arms"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = &arm["place"];
        let [title, system, source, device] =
            [&arm["title"], &place["fileSystem"], &place["source"], &place["device"]].map(text);
        table += &format!("| {title} | {system} | {source} | {device} |\n");
    }
    for absent in report["leftOut"].as_array().into_iter().flatten() {
        table += &format!("\nLeft out: {}: {}.\n", absent["what"], absent["why"]);
    }
    table
}

fn lines(report: &Value) -> anyhow::Result<Vec<Line>> {
    let title = |arm: &Value| {
        let arms = report["arms"].as_array().into_iter().flatten();
        arms.filter(|present| present["arm"] == *arm).find_map(|present| present["title"].as_str()).map(str::to_owned)
    };
    let measures = report["measures"].as_array().context("no measures")?.iter();
    let line = |measure: &Value| {
        let arms = measure["arms"].as_array().context("no arms")?.iter().map(|arm| {
            let figures = arm["samples"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            let sample = Sample::new(figures).context("no figures")?;
            anyhow::Ok(Arm { name: title(&arm["arm"]).context("an arm without a title")?, sample })
        });
        let text = |key: &str| measure[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        Ok(Line {
            title: text("title")?,
            unit: text("unit")?.into(),
            notes: format!("{} is better.", if text("better")? == "more" { "More" } else { "Less" }),
            goals: Vec::new(),
            arms: arms.collect::<anyhow::Result<_>>()?,
        })
    };
    measures.map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_becomes_a_line_a_measure_with_ratios_to_the_bare_process() {
        let place = json!({"fileSystem": "ext4", "source": "/dev/vda", "device": "254:0"});
        let report = json!({
            "arms": [
                {"arm": "process", "title": "bare process", "place": place},
                {"arm": "barepod", "title": "barepod", "place": place},
            ],
            "leftOut": [{"what": "containers", "why": "none"}],
            "measures": [{
                "title": "Writes", "unit": "writes/s", "better": "more",
                "arms": [{"arm": "process", "samples": [10.0, 20.0]}, {"arm": "barepod", "samples": [10.0, 20.0]}],
            }],
        });

        let text = lines(&report).unwrap().iter().map(Line::to_string).collect::<String>();

        assert!(
            text.contains("| barepod | 2 | 15.0 | 10.0 to 20.0 |") && text.contains("| 1.00 (1.00 to 1.00) |"),
            "{text}"
        );
        assert!(places(&report).contains("| barepod | ext4 | /dev/vda | 254:0 |"));
        assert!(lines(&json!({"measures": [{}]})).is_err());
    }
}
