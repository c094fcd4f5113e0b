//! What barepod does with each leaf of a Pod, by its path, and which test shows it: the table in FIELDS.md.
//!
//! Kubernetes' own description of a Pod (`schema/pod.tsv`) says which leaves there are, `schema/support.tsv` what barepod does
//! with them, `schema/effects.tsv` which test shows that on a real process. A field that is refused or without effect
//! speaks for all that lies below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::schema::{self, Support, Type};

/// One value of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its path: `[]` follows a list, `{}` a map.
    pub path: String,
    /// What is done with it.
    pub fate: Fate,
    /// Values for which that is not said, since they say what happens anyhow, as JSON.
    pub harmless: Vec<String>,
    /// What its author is told where it is not honoured.
    pub note: &'static str,
    /// The test that shows its effect: file below `tests/tests` without its ending, and function.
    pub test: Option<(&'static str, &'static str)>,
}

/// What is done with a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// What Kubernetes says.
    Honoured,
    /// Nothing, and a warning says so.
    NoEffect,
    /// It is an error.
    Refused,
    /// Nobody has said; it is refused.
    Unclassified,
}

static TESTS: LazyLock<BTreeMap<&str, (&str, &str)>> = LazyLock::new(|| {
    let rows = schema::rows(include_str!("../schema/effects.tsv"));
    rows.filter_map(|row| Some((row[0], row.get(1)?.split_once("::")?))).collect()
});

/// All leaves of a Pod, but of its status, in the order of their paths.
#[must_use]
pub fn leaves() -> Vec<Leaf> {
    let mut found = Vec::new();
    walk("Pod", "", None, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Paths of which `schema/effects.tsv` names a test.
#[must_use]
pub fn tested() -> BTreeSet<&'static str> {
    TESTS.keys().copied().collect()
}

/// What a field says for all below it.
#[derive(Clone)]
struct Said {
    fate: Fate,
    harmless: Vec<String>,
    note: &'static str,
}

fn walk(type_name: &str, above: &str, said: Option<&Said>, found: &mut Vec<Leaf>) {
    for field in schema::fields(type_name) {
        let (inner, marks) = inner(&field.kind);
        let dot = if above.is_empty() { "" } else { "." };
        let path = format!("{above}{dot}{}{marks}", field.name);
        let own = said.cloned().unwrap_or_else(|| of(field));
        match inner {
            Type::Object(name) if !schema::fields(name).is_empty() => {
                walk(name, &path, (own.fate != Fate::Honoured).then_some(&own), found);
            }
            _ => {
                let test = TESTS.get(path.as_str()).copied();
                found.push(Leaf { path, fate: own.fate, harmless: own.harmless, note: own.note, test });
            }
        }
    }
}

fn of(field: &schema::Field) -> Said {
    let fate = match field.support {
        Some(Support::Honoured) => Fate::Honoured,
        Some(Support::NoEffect) => Fate::NoEffect,
        Some(Support::Refused) => Fate::Refused,
        None => Fate::Unclassified,
    };
    Said { fate, harmless: field.harmless.iter().map(ToString::to_string).collect(), note: field.note }
}

/// What a list or map is of, and the marks of both.
fn inner(kind: &Type) -> (&Type, String) {
    let (element, mark) = match kind {
        Type::List(element) => (element, "[]"),
        Type::Map(element) => (element, "{}"),
        Type::Text | Type::Integer | Type::Number | Type::Bool | Type::Quantity | Type::Any | Type::Object(_) => {
            return (kind, String::new());
        }
    };
    let (inner, marks) = inner(element);
    (inner, format!("{mark}{marks}"))
}

const HEAD: &str = "\
# Fields of a Pod

Written by `cargo xtask gen` from Kubernetes' published description of a Pod (1.36), [support.tsv](schema/support.tsv) and
[effects.tsv](schema/effects.tsv). `[]` follows a list, `{}` a map. What is *honoured* does what Kubernetes says, and the test that is
named shows it on a real process: `cargo xtask nextest FUNCTION`. What is *without effect* is accepted with a warning. What
is *refused* is an error that names file, line, column and field, and changes nothing. Values under *silent* say what happens
anyhow: they are taken without a word.

";

/// The table, as a page.
#[must_use]
pub fn page() -> String {
    let leaves = leaves();
    let count = |fate| leaves.iter().filter(|leaf| leaf.fate == fate).count();
    let mut page = String::from(HEAD);
    let counts = [count(Fate::Honoured), count(Fate::NoEffect), count(Fate::Refused)];
    let [honoured, no_effect, refused] = counts;
    let all = leaves.len();
    line(
        &mut page,
        format_args!("{all} leaves: {honoured} honoured, {no_effect} without effect, {refused} refused.\n"),
    );
    line(&mut page, format_args!("## Honoured\n\n| field | shown by |\n|---|---|"));
    for leaf in leaves.iter().filter(|leaf| leaf.fate == Fate::Honoured) {
        let test = leaf.test.map_or_else(
            || "nothing yet".to_owned(),
            |(file, test)| format!("[{file}](../../tests/tests/{file}.rs) `{test}`"),
        );
        line(&mut page, format_args!("| `{}` | {test} |", leaf.path));
    }
    for (fate, title) in [(Fate::NoEffect, "Without effect"), (Fate::Refused, "Refused")] {
        line(&mut page, format_args!("\n## {title}\n\n| field | what is said | silent |\n|---|---|---|"));
        for leaf in leaves.iter().filter(|leaf| leaf.fate == fate) {
            let silent: Vec<_> = leaf.harmless.iter().map(|value| format!("`{value}`")).collect();
            line(&mut page, format_args!("| `{}` | {} | {} |", leaf.path, leaf.note, silent.join(" ")));
        }
    }
    page
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes all.
    let _ = writeln!(page, "{text}");
}
