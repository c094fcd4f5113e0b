//! The committed page: what was measured together stands together, with its own commit, date and load. So one part can be measured
//! anew, and what it says of the others stays true.

use std::fmt::{Display, Formatter, Write as _};

use super::table::Line;

const HEAD: &str = "# Bench\n\nWritten by `cargo xtask bench --write`; with `--only`, the parts that were measured take the place of what they were. \
                    Each part says of which commit it is.\n\nThe samples of a line's arms were taken in turns, in the same minutes. \
                    The ratio is taken round by round; the interval covers the true median 95 times in 100. With other work on the \
                    machine all figures are larger than they need be, and their spread says how much.\n";

/// Before the name of a part, at the begin of a line.
const MARK: &str = "# `";

/// What was measured under one name.
pub(super) struct Part {
    name: String,
    text: String,
}

impl Part {
    /// `circumstances` are commit, date, machine and load.
    pub(super) fn new(name: &str, circumstances: &str, lines: &[Line]) -> Self {
        let mut text = format!("{MARK}{name}`\n\n{circumstances}\n");
        // Into a string nothing fails.
        lines.iter().for_each(|line| {
            write!(text, "\n{line}").ok();
        });
        Self { name: name.to_owned(), text }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The page with this part in the place of what it was; `order` are the names of all that there may be.
pub(super) fn renewed(page: &str, measured: Part, order: &[&str]) -> String {
    let mut parts = parts(page);
    parts.retain(|part| order.contains(&part.name.as_str()) && part.name != measured.name);
    parts.push(measured);
    parts.sort_by_key(|part| order.iter().position(|name| *name == part.name));
    of(&parts)
}

fn of(parts: &[Part]) -> String {
    parts.iter().fold(HEAD.to_owned(), |page, part| format!("{page}\n{part}"))
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('`')) {
            parts.push(Part { name: name.to_owned(), text: String::new() });
        }
        if let Some(part) = parts.last_mut() {
            part.text += line;
            part.text.push('\n');
        }
    }
    for part in &mut parts {
        part.text.truncate(part.text.trim_end().len());
        part.text.push('\n');
    }
    parts
}

#[cfg(test)]
mod tests {
    use barepod_statistics::Sample;

    use super::super::table::Arm;
    use super::*;

    fn part(name: &str, commit: &str) -> Part {
        let arms = vec![Arm { name: "ours".to_owned(), sample: Sample::new(vec![1.0, 2.0]).unwrap() }];
        let line = Line {
            title: format!("Title of {name}"),
            unit: "ms".into(),
            notes: "Notes.".to_owned(),
            goals: Vec::new(),
            arms,
        };
        Part::new(name, &format!("Commit {commit}."), &[line])
    }

    #[test]
    fn a_part_that_is_measured_anew_takes_its_place_and_the_others_stay_as_they_were() {
        let order = ["restart", "memory", "logs"];
        let page = of(&[part("restart", "a"), part("logs", "a")]);

        let both = renewed(&renewed(&page, part("memory", "b"), &order), part("restart", "b"), &order);

        assert_eq!(both, of(&[part("restart", "b"), part("memory", "b"), part("logs", "a")]));
        let without = renewed(&both, part("logs", "c"), &["logs"]);
        assert_eq!(without, of(&[part("logs", "c")]), "what is no line any more");
        let before = "# Bench\n\nAs it was before there were parts.\n";
        assert_eq!(renewed(before, part("logs", "c"), &order), of(&[part("logs", "c")]));
    }
}
