//! What is read of a task's result.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::args::BenchWork;

/// Which figures are the good ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    More,
    Less,
}

/// A figure that a work yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

const LOG: [Measure; 2] = [
    Measure {
        name: "log",
        title: "Random writes of 8 KiB, one at a time, each followed by fdatasync: as a database writes its log",
        unit: "writes/s",
        better: Better::More,
    },
    Measure {
        name: "log-sync-p99",
        title: "Of these, the 99th percentile of fdatasync",
        unit: "ms",
        better: Better::Less,
    },
];
const HEAP: [Measure; 1] = [Measure {
    name: "heap",
    title: "Random reads and writes of 8 KiB, 32 at a time: as a database uses its tables",
    unit: "operations/s",
    better: Better::More,
}];
const FIRST_WRITE: [Measure; 1] = [Measure {
    name: "first-write",
    title: "Open a file that is there, write its first 8 KiB, fdatasync",
    unit: "ms",
    better: Better::Less,
}];
const POSTGRESQL: [Measure; 1] = [Measure {
    name: "postgresql",
    title: "PostgreSQL by pgbench: TPC-B, prepared statements",
    unit: "transactions/s",
    better: Better::More,
}];

/// What a work yields, in the order of [`read`].
pub(crate) fn measures(work: BenchWork) -> &'static [Measure] {
    match work {
        BenchWork::Log => &LOG,
        BenchWork::Heap => &HEAP,
        BenchWork::FirstWrite => &FIRST_WRITE,
        BenchWork::Postgresql => &POSTGRESQL,
    }
}

/// The figures in a task's result, one for each measure.
pub(crate) fn read(work: BenchWork, result: &str) -> Result<Vec<f64>> {
    match work {
        BenchWork::Log => {
            let job = job(result)?;
            let sync = number(&job, "/sync/lat_ns/percentile/99.000000")?;
            Ok(vec![number(&job, "/write/iops")?, sync / 1e6])
        }
        BenchWork::Heap => {
            let job = job(result)?;
            Ok(vec![number(&job, "/read/iops")? + number(&job, "/write/iops")?])
        }
        BenchWork::FirstWrite => {
            let nanoseconds: f64 = result.trim().parse().with_context(|| format!("{result:?} is no time"))?;
            Ok(vec![nanoseconds / 1e6])
        }
        BenchWork::Postgresql => Ok(vec![transactions(result).context("pgbench tells of no transactions")?]),
    }
}

/// fio may say something before its object.
fn job(result: &str) -> Result<Value> {
    let object = result.find('{').map_or(result, |at| &result[at..]);
    let report: Value = serde_json::from_str(object).context("fio's report is no JSON")?;
    report.pointer("/jobs/0").cloned().context("fio's report has no job")
}

fn number(job: &Value, pointer: &str) -> Result<f64> {
    job.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("fio's report has no {pointer}"))
}

/// Without the time that clients take to connect: before version 14 there are two such lines.
fn transactions(result: &str) -> Option<f64> {
    let line = result.lines().rfind(|line| line.starts_with("tps = "))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_of_what_each_tool_writes() {
        let fio = r#"fio: a note
            {"jobs": [{"read": {"iops": 10.5}, "write": {"iops": 20.0},
                       "sync": {"lat_ns": {"percentile": {"99.000000": 2500000}}}}]}"#;
        assert_eq!(read(BenchWork::Log, fio).unwrap(), [20.0, 2.5]);
        assert_eq!(read(BenchWork::Heap, fio).unwrap(), [30.5]);
        assert_eq!(read(BenchWork::FirstWrite, "420000\n").unwrap(), [0.42]);
        let new = "number of transactions: 7\ntps = 512.25 (without initial connection time)\n";
        let old = "tps = 1 (including connections establishing)\ntps = 2 (excluding connections establishing)\n";
        assert_eq!(read(BenchWork::Postgresql, new).unwrap(), [512.25]);
        assert_eq!(read(BenchWork::Postgresql, old).unwrap(), [2.0]);
    }

    #[test]
    fn what_has_no_figure_is_an_error() {
        for work in [BenchWork::Log, BenchWork::Heap, BenchWork::FirstWrite, BenchWork::Postgresql] {
            assert!(read(work, "").is_err(), "{work:?}");
            assert!(read(work, "{}").is_err(), "{work:?}");
        }
    }

    #[test]
    fn each_work_yields_as_many_figures_as_it_names() {
        assert_eq!(measures(BenchWork::Log).len(), 2);
        let names: Vec<_> =
            [LOG.as_slice(), &HEAP, &FIRST_WRITE, &POSTGRESQL].concat().iter().map(|m| m.name).collect();
        assert_eq!(names, ["log", "log-sync-p99", "heap", "first-write", "postgresql"]);
    }
}
