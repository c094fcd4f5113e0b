//! A tree as YAML, for people.

use std::fmt::Write as _;

use crate::tree::{Branch, Tree};

/// Everything in it; each value with its file and line, if asked for.
pub(crate) fn yaml(tree: &Tree, origins: bool) -> String {
    let mut printer = Printer { text: String::new(), origins };
    printer.entries(tree, 0);
    printer.text
}

struct Printer {
    text: String,
    origins: bool,
}

impl Printer {
    fn entries(&mut self, tree: &Tree, depth: usize) {
        for entry in tree.entries() {
            self.indent(depth);
            self.text += &entry.key;
            self.text.push(':');
            self.value(&entry.value, depth);
        }
    }

    /// What follows a key or a dash.
    fn value(&mut self, tree: &Tree, depth: usize) {
        match &tree.value {
            Branch::List(items) if !items.is_empty() => {
                self.text.push('\n');
                for item in items {
                    self.indent(depth);
                    self.text += "-";
                    self.item(item, depth);
                }
            }
            Branch::Map(entries) if !entries.is_empty() => {
                self.text.push('\n');
                self.entries(tree, depth + 1);
            }
            Branch::Text(text) if text.contains('\n') => self.block(text, tree, depth),
            _ => {
                self.text.push(' ');
                self.text += &scalar(tree);
                self.origin(tree);
            }
        }
    }

    /// An element: a map begins behind its dash.
    fn item(&mut self, item: &Tree, depth: usize) {
        let Branch::Map(entries) = &item.value else { return self.value(item, depth + 1) };
        for (index, entry) in entries.iter().enumerate() {
            if index == 0 {
                self.text.push(' ');
            } else {
                self.indent(depth + 1);
            }
            self.text += &entry.key;
            self.text.push(':');
            self.value(&entry.value, depth + 1);
        }
        if entries.is_empty() {
            self.text += " {}\n";
        }
    }

    fn block(&mut self, text: &str, tree: &Tree, depth: usize) {
        self.text += if text.ends_with('\n') { " |" } else { " |-" };
        self.origin(tree);
        for line in text.lines() {
            if !line.is_empty() {
                self.indent(depth + 1);
                self.text += line;
            }
            self.text.push('\n');
        }
    }

    fn origin(&mut self, tree: &Tree) {
        if self.origins {
            // Writing to a String cannot fail.
            write!(self.text, "  # {}:{}", tree.spot.origin.file, tree.spot.place.line).ok();
        }
        self.text.push('\n');
    }

    fn indent(&mut self, depth: usize) {
        self.text += &"  ".repeat(depth);
    }
}

fn scalar(tree: &Tree) -> String {
    match &tree.value {
        Branch::Null => "null".to_owned(),
        Branch::Bool(value) => value.to_string(),
        Branch::Number(number) => number.to_string(),
        Branch::Text(text) if is_plain(text) => text.clone(),
        // Every JSON string is a YAML string.
        Branch::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Branch::List(_) => "[]".to_owned(),
        Branch::Map(_) => "{}".to_owned(),
    }
}

/// Whether a text means itself without quotes, whoever reads it.
fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-');
    let is_word = text.chars().all(word) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    is_word && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_lowercase().as_str())
}
