//! The text of Prometheus (version 0.0.4): families of samples.

use std::fmt::{Display, Write as _};

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page in the making.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Numbers of a distribution, each under a name that says which: `_bucket`, `_sum`, `_count`.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A sample's labels, its value, and when it was measured, in milliseconds since 1970.
pub(crate) type Sample<'a> = (Vec<(&'a str, String)>, f64, Option<i64>);

impl Page {
    /// A family; one without samples is not shown.
    pub(crate) fn family<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        self.numbers(name, kind, help, samples.into_iter().map(|sample| ("", sample)));
    }

    /// A family of samples that have a word of their own behind its name.
    pub(crate) fn numbers<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (&'a str, Sample<'a>)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.word()));
        for (end, (labels, value, at)) in samples {
            self.put(format_args!("{name}{end}"));
            for (number, (label, text)) in labels.iter().enumerate() {
                let before = if number == 0 { '{' } else { ',' };
                self.put(format_args!("{before}{label}=\"{}\"", Escaped(text)));
            }
            if !labels.is_empty() {
                self.put(format_args!("}}"));
            }
            self.put(format_args!(" {value}"));
            if let Some(at) = at {
                self.put(format_args!(" {at}"));
            }
            self.put(format_args!("\n"));
        }
    }

    /// A family of one number.
    pub(crate) fn one(&mut self, name: &str, kind: Kind, help: &str, value: Option<f64>, at: Option<i64>) {
        self.family(name, kind, help, value.map(|value| (Vec::new(), value, at)));
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // Into a string nothing fails.
        self.0.write_fmt(what).ok();
    }
}

/// A label's value as it is written.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        let labels = vec![("pod", "a\"b".to_owned()), ("image", "c\\d\ne".to_owned())];
        page.family("used_total", Kind::Counter, "What was used.", [(labels, 1.5, Some(1_700_000_000_123))]);
        page.one("there", Kind::Gauge, "It is there.", Some(12_345_678_901.0), None);
        page.one("missing", Kind::Gauge, "It is not.", None, None);
        let wanted = "# HELP used_total What was used.\n# TYPE used_total counter\n\
                      used_total{pod=\"a\\\"b\",image=\"c\\\\d\\ne\"} 1.5 1700000000123\n\
                      # HELP there It is there.\n# TYPE there gauge\nthere 12345678901\n";
        assert_eq!(page.into_text(), wanted);
    }
}
