//! A preset's text as a tree of values, each with the file and the place it comes from: after a merge of several files an
//! error still names the line that somebody wrote.

use std::sync::Arc;

use barepod_yaml::place::{FieldPath, Place};
use barepod_yaml::{Node, Value};
use serde_json::Number;

use crate::error::Fault;

/// A file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// What errors call it.
    pub(crate) file: String,
    /// Its text, to find lines in.
    pub(crate) text: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) origin: Arc<Origin>,
    pub(crate) place: Place,
}

impl Spot {
    /// The line of the file in which line `line` (from 1) of a text stands that begins here. A block (`|`, `>`) begins in
    /// the line below its sign.
    pub(crate) fn line_of(&self, line: usize) -> usize {
        let below = self.origin.text.lines().nth(self.place.line - 1).is_some_and(|text| {
            let begins = text.chars().nth(self.place.column - 1);
            matches!(begins, Some('|' | '>'))
        });
        self.place.line + line - usize::from(!below)
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) spot: Spot,
    pub(crate) value: Branch,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Branch {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) spot: Spot,
    pub(crate) value: Tree,
}

/// Reads the one document of a file.
pub(crate) fn parse(origin: &Arc<Origin>) -> Result<Tree, Fault> {
    let spot = |place| Spot { origin: Arc::clone(origin), place };
    let mut documents = barepod_yaml::documents(&origin.text).map_err(|fault| {
        let hint = fault.hint.unwrap_or("compare with the presets in configs/presets");
        Fault::new(&spot(fault.place), &FieldPath::default(), fault.message).hint(hint)
    })?;
    if let Some(second) = documents.get(1) {
        let message = "a second document begins here, and a file holds one preset";
        return Err(Fault::new(&spot(second.place), &FieldPath::default(), message).hint("give it a file of its own"));
    }
    match documents.pop() {
        Some(node) => Ok(tree(node, origin)),
        None => Err(Fault::new(&spot(Place::START), &FieldPath::default(), "it holds no preset")
            .hint("begin with apiVersion, kind and name")),
    }
}

fn tree(node: Node, origin: &Arc<Origin>) -> Tree {
    let spot = |place| Spot { origin: Arc::clone(origin), place };
    let value = match node.value {
        Value::Null => Branch::Null,
        Value::Bool(value) => Branch::Bool(value),
        Value::Number(value) => Branch::Number(value),
        Value::Text(value) => Branch::Text(value),
        Value::List(items) => Branch::List(items.into_iter().map(|item| tree(item, origin)).collect()),
        Value::Map(entries) => Branch::Map(
            entries
                .into_iter()
                .map(|e| Entry { key: e.key, spot: spot(e.place), value: tree(e.value, origin) })
                .collect(),
        ),
    };
    Tree { spot: spot(node.place), value }
}

impl Tree {
    /// The value of a key, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Tree> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Branch::Text(text) => Some(text),
            Branch::Null | Branch::Bool(_) | Branch::Number(_) | Branch::List(_) | Branch::Map(_) => None,
        }
    }

    /// The entries of a map, none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Branch::Map(entries) => entries,
            Branch::Null | Branch::Bool(_) | Branch::Number(_) | Branch::Text(_) | Branch::List(_) => &[],
        }
    }

    /// The entries of a map, to be changed.
    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.value {
            Branch::Map(entries) => Some(entries),
            Branch::Null | Branch::Bool(_) | Branch::Number(_) | Branch::Text(_) | Branch::List(_) => None,
        }
    }

    /// The value at these keys, to be changed.
    pub(crate) fn at_mut(&mut self, keys: &[&str]) -> Option<&mut Tree> {
        keys.iter()
            .try_fold(self, |tree, key| tree.entries_mut()?.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value))
    }

    /// The elements of a list, to be changed; none of anything else.
    pub(crate) fn items_mut(&mut self) -> &mut [Tree] {
        match &mut self.value {
            Branch::List(items) => items,
            Branch::Null | Branch::Bool(_) | Branch::Number(_) | Branch::Text(_) | Branch::Map(_) => &mut [],
        }
    }

    /// What it is called in an error.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Branch::Null => "nothing",
            Branch::Bool(_) => "a boolean",
            Branch::Number(_) => "a number",
            Branch::Text(_) => "a string",
            Branch::List(_) => "a list",
            Branch::Map(_) => "a map",
        }
    }
}
