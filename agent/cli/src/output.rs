//! Tables, ages and times as people read them.

use std::io::{self, Write};

use barepod_api::v1::Timestamp;

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

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Present,
    /// As after `| head`: nothing more need be said.
    Gone,
}

/// Prints bytes as they are, and says whether anybody reads them.
pub(crate) fn pass(text: &[u8]) -> io::Result<Reader> {
    pass_to(&mut io::stdout().lock(), text)
}

/// The same to another output.
pub(crate) fn pass_to(out: &mut impl Write, text: &[u8]) -> io::Result<Reader> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        other => other.map(|()| Reader::Present),
    }
}

/// Prints what is said once; a reader that has gone is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    pass(text.as_bytes()).map(drop)
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

/// A time for programs, as Kubernetes writes it.
pub(crate) fn rfc3339(time: Option<&Timestamp>) -> String {
    let time = time.and_then(|t| jiff::Timestamp::new(t.seconds, 0).ok());
    time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// What is not known.
pub(crate) const UNKNOWN: &str = "-";

/// `1.5Gi`, `12Mi`, `0`: three digits say enough.
pub(crate) fn size(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return UNKNOWN.to_owned() };
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return bytes.to_string();
    };
    let (whole, tenths) = (bytes >> shift, ((bytes % (1 << shift)) * 10) >> shift);
    if whole < 10 { format!("{whole}.{tenths}{unit}") } else { format!("{whole}{unit}") }
}

#[cfg(test)]
mod tests {
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
    fn sizes_have_three_digits_at_most() {
        let of = |bytes| size(Some(bytes));
        assert_eq!(
            [of(0), of(1023), of(1536), of(10 << 10), of(999 << 20), of(5 << 40)].join(" "),
            "0 1023 1.5Ki 10Ki 999Mi 5.0Ti"
        );
    }
}
