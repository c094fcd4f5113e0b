//! The reference of the daemon's configuration, made from what `configs/barepod.yaml` says of each key: there it is in the hand
//! of whoever changes one.
//!
//! In that file `# ` begins a sentence and `#` alone a key that has its default. Sentences are about the keys that follow them,
//! and their last one says when a change takes force. Keys below another one are indented by two.

use anyhow::{Context as _, bail};

/// The end of what is said of a key, and what the table has for it.
const FORCE: [(&str, &str); 3] = [
    (" A reload puts it in force at each container's next start.", "reload, at the next start of each container"),
    (" A reload puts it in force.", "reload"),
    (" It needs a restart.", "restart"),
];

/// Keys that are spoken of together.
#[derive(Debug, Default)]
struct Row {
    /// Each with its default.
    keys: Vec<(String, String)>,
    about: String,
}

/// The table.
pub(crate) fn table(yaml: &str) -> anyhow::Result<String> {
    let mut table =
        "| key | default; an example where there is none | a change takes force with a | |\n|---|---|---|---|\n"
            .to_owned();
    for row in rows(yaml)? {
        let Row { keys, about } = row;
        let Some((about, force)) = FORCE.iter().find_map(|(end, force)| Some((about.strip_suffix(end)?, force))) else {
            bail!("{keys:?}: the comment must end by saying when a change takes force: {:?}", FORCE.map(|(end, _)| end))
        };
        let names = keys.iter().map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join("<br>");
        let defaults = keys.iter().map(|(_, default)| format!("`{default}`")).collect::<Vec<_>>().join("<br>");
        table += &format!("| {names} | {defaults} | {force} | {about} |\n");
    }
    Ok(table)
}

fn rows(yaml: &str) -> anyhow::Result<Vec<Row>> {
    let (_, body) = yaml.split_once("\n\n").context("the file has no head")?;
    let mut rows: Vec<Row> = Vec::new();
    let mut parent = None;
    for line in body.lines().filter(|line| !line.is_empty()) {
        let bare = line.strip_prefix('#').unwrap_or(line);
        match (bare.strip_prefix("  "), bare.strip_prefix(' ')) {
            (Some(below), _) => match below.strip_prefix("# ") {
                Some(words) => say(&mut rows, words),
                None => nest(&mut rows, parent.as_deref(), below)?,
            },
            (None, Some(words)) => say(&mut rows, words),
            (None, None) => {
                let (key, value) = entry(bare)?;
                // One that only holds others has nothing to say of its own.
                parent = Some(key.clone());
                rows.last_mut().context("a key without a word about it")?.keys.push((key, value));
            }
        }
    }
    rows.retain(|row| row.keys.iter().any(|(_, default)| !default.is_empty()));
    Ok(rows)
}

/// A sentence, of the keys that come next.
fn say(rows: &mut Vec<Row>, words: &str) {
    match rows.last_mut().filter(|row| row.keys.is_empty()) {
        Some(row) => row.about = format!("{} {words}", row.about),
        None => rows.push(Row { keys: Vec::new(), about: words.to_owned() }),
    }
}

/// A key below another one: for itself where something was said of it, else as a part of the value of the other one.
fn nest(rows: &mut [Row], parent: Option<&str>, text: &str) -> anyhow::Result<()> {
    let (key, value) = entry(text)?;
    let parent = parent.with_context(|| format!("{key} is below nothing"))?;
    let row = rows.last_mut().with_context(|| format!("{key}: a key without a word about it"))?;
    match row.keys.last_mut() {
        Some((above, default)) if above == parent => {
            let before = default.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
            *default = before.map_or(format!("{{{key}: {value}}}"), |before| format!("{{{before}, {key}: {value}}}"));
        }
        _ => row.keys.push((format!("{parent}.{key}"), value)),
    }
    Ok(())
}

fn entry(line: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = line.split_once(':').with_context(|| format!("{line:?} is no key"))?;
    Ok((key.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_with_their_defaults_and_with_what_is_said_of_them() {
        let yaml = "# Head.\n\n# One. It needs a\n# restart.\n#one: 1\n\n# Two, and three. A reload puts it in force.\ntwo: a\n#three: []\n\n\
            # Parts. A reload puts it in force.\n#whole:\n#  a: 1\n#  b: 2\n\n# Others.\n#others:\n#  # Four. It needs a restart.\n#  \
            four: {}\n#  # Five. A reload puts it in force at each container's next start.\n#  five: x\n#  six: y\n";
        let table = table(yaml).unwrap();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `one` | `1` | restart | One. |",
                "| `two`<br>`three` | `a`<br>`[]` | reload | Two, and three. |",
                "| `whole` | `{a: 1, b: 2}` | reload | Parts. |",
                "| `others.four` | `{}` | restart | Four. |",
                "| `others.five`<br>`others.six` | `x`<br>`y` | reload, at the next start of each container | Five. |",
            ]
        );
        assert!(super::table("# Head.\n\n# One.\n#one: 1\n").is_err(), "nobody knows when it takes force");
    }
}
