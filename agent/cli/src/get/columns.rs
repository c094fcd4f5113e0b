//! `-o custom-columns`: columns that the user names, each with a path.

use serde_json::Value;

use crate::jsonpath::{Path, Shown};
use crate::output::Table;

/// Headings, and what stands under each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns(Vec<(String, Path)>);

impl Columns {
    /// Reads `NAME:.metadata.name,PHASE:.status.phase`.
    ///
    /// # Errors
    /// Which column is wrong, and what is right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let column = |text: &str| {
            let Some((heading, path)) = text.split_once(':').filter(|(heading, _)| !heading.trim().is_empty()) else {
                return Err(format!("column {text:?}: write HEADING:PATH, as in NAME:.metadata.name"));
            };
            let path = Path::parse(path).map_err(|fault| format!("path {path:?}: {fault}"))?;
            Ok((heading.trim().to_owned(), path))
        };
        split(text).into_iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    /// A row for each object.
    pub(super) fn table<'a>(&self, objects: impl Iterator<Item = &'a Value>, headings: bool) -> Table {
        let names: Vec<_> = self.0.iter().map(|(heading, _)| heading.as_str()).collect();
        let mut table = if headings { Table::new(&names) } else { Table::default() };
        objects.for_each(|object| table.row(self.0.iter().map(|(_, path)| cell(path, object)).collect()));
        table
    }
}

fn cell(path: &Path, object: &Value) -> String {
    let found = path.find(object);
    let found: Vec<_> = found.into_iter().filter(|value| !value.is_null()).map(|one| Shown(one).to_string()).collect();
    if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
}

/// At commas that stand in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_shows_all_that_its_path_finds() {
        let columns = Columns::parse("NAME:metadata.name,BOTH:{.a[0,1].x},ALL:.a[*].x,NONE:.b").unwrap();
        let object = json!({"metadata": {"name": "db"}, "a": [{"x": 1}, {"x": "two"}], "b": null});
        let table = columns.table([&object].into_iter(), true).render();
        assert_eq!(table, "NAME   BOTH    ALL     NONE\ndb     1,two   1,two   <none>\n");
    }

    #[test]
    fn a_wrong_column_is_named() {
        for (text, said) in [
            ("NAME", "\"NAME\": write HEADING:PATH"),
            (":.a", "\":.a\": write HEADING:PATH"),
            ("A:.a,B:.b[", "path \".b[\": character"),
            ("A:.a,", "\"\": write HEADING:PATH"),
        ] {
            let error = Columns::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
