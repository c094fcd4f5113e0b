//! Tables, ages and objects as people read them.

use std::io::{self, Write};

use barepod_api::v1::{Pod, Timestamp};
use serde_json::{Value, json};

use crate::args::Output;

/// Rows under headings, columns padded with three blanks between them, as kubectl prints them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// Prints; a reader that has gone (`| head`) is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// How long ago, as kubectl's `duration.HumanDuration`: `45s`, `3m20s`, `5h`, `12d`.
pub(crate) fn age(then: Option<&Timestamp>, now: i64) -> String {
    let Some(then) = then else { return "<unknown>".to_owned() };
    let seconds = (now - then.seconds).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{sub}") }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A time as people write it, in UTC.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(|t| jiff::Timestamp::new(t.seconds, t.nanos).ok())
        .map_or_else(|| "<unknown>".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// The table of `get pods`.
pub(crate) fn pods(pods: &[Pod], wide: bool, namespaces: bool, now: i64) -> Table {
    let mut headings = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if namespaces {
        headings.insert(0, "NAMESPACE");
    }
    if wide {
        headings.extend(["SOURCE", "PID", "PRESET", "UID"]);
    }
    let mut table = Table::new(&headings);
    for pod in pods {
        table.row(pod_row(pod, wide, namespaces, now));
    }
    table
}

fn pod_row(pod: &Pod, wide: bool, namespaces: bool, now: i64) -> Vec<String> {
    let regular = || pod.containers.iter().filter(|c| !c.init && !c.ephemeral);
    let ready = regular().filter(|c| c.ready).count();
    let mut cells = vec![
        pod.name.clone(),
        format!("{ready}/{}", regular().count()),
        pod.phase.clone(),
        restarts(pod, now),
        age(pod.created.as_ref(), now),
    ];
    if namespaces {
        cells.insert(0, pod.namespace.clone());
    }
    if wide {
        let list = |of: fn(&barepod_api::v1::Container) -> String| regular().map(of).collect::<Vec<_>>().join(",");
        cells.push(pod.source.clone());
        cells.push(list(|c| if c.pid == 0 { "-".to_owned() } else { c.pid.to_string() }));
        cells.push(list(|c| c.preset.clone()));
        cells.push(pod.uid.clone());
    }
    cells
}

/// `3 (20s ago)`.
fn restarts(pod: &Pod, now: i64) -> String {
    let count: u32 = pod.containers.iter().map(|c| c.restart_count).sum();
    let last = pod.containers.iter().filter_map(|c| c.last.as_ref()?.finished).max_by_key(|t| t.seconds);
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", age(Some(&last), now)),
        Some(_) | None => count.to_string(),
    }
}

/// Pods as `-o` asks. `single` is the object itself instead of a list of one.
pub(crate) fn render(list: &[Pod], output: Option<Output>, namespaces: bool, single: bool) -> anyhow::Result<String> {
    let object = || -> anyhow::Result<Value> {
        let mut items = list.iter().map(|pod| serde_json::from_str(&pod.object)).collect::<Result<Vec<Value>, _>>()?;
        if single && items.len() == 1 {
            Ok(items.remove(0))
        } else {
            Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        }
    };
    Ok(match output {
        None => pods(list, false, namespaces, now()).render(),
        Some(Output::Wide) => pods(list, true, namespaces, now()).render(),
        Some(Output::Name) => list.iter().map(|pod| format!("pod/{}\n", pod.name)).collect(),
        Some(Output::Json) => format!("{:#}\n", object()?),
        Some(Output::Yaml) => serde_saphyr::to_string(&object()?)?,
    })
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::{Container, Termination};

    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let at = |seconds| age(Some(&Timestamp { seconds: 0, nanos: 0 }), seconds);
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (700, "11m"),
            (11_000, "3h3m"),
            (30_000, "8h"),
            (200_000, "2d7h"),
            (900_000, "10d"),
        ] {
            assert_eq!(at(seconds), text);
        }
    }

    #[test]
    fn pods_are_listed_as_kubectl_lists_them() {
        let container = Container {
            name: "db".to_owned(),
            ready: true,
            pid: 4711,
            restart_count: 2,
            preset: "postgresql 15.20".to_owned(),
            last: Some(Termination { finished: Some(Timestamp { seconds: 80, nanos: 0 }), ..Termination::default() }),
            ..Container::default()
        };
        let pod = Pod {
            name: "db".to_owned(),
            namespace: "default".to_owned(),
            phase: "Running".to_owned(),
            source: "file".to_owned(),
            uid: "u".to_owned(),
            created: Some(Timestamp { seconds: 0, nanos: 0 }),
            containers: vec![container],
            ..Pod::default()
        };
        insta::assert_snapshot!(pods(&[pod], true, true, 100).render(), @r"
        NAMESPACE   NAME   READY   STATUS    RESTARTS      AGE    SOURCE   PID    PRESET             UID
        default     db     1/1     Running   2 (20s ago)   100s   file     4711   postgresql 15.20   u
        ");
    }
}
