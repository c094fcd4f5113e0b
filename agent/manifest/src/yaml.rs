//! YAML and JSON as Kubernetes reads them, each value with its place.
//!
//! Plain scalars follow go-yaml v2, which every Kubernetes tool uses: `yes` and `on` are booleans and `0644` is octal. What
//! makes a reader guess is refused instead: duplicate keys, keys that are not text, unknown tags. Size, depth and the
//! expansion of aliases are bounded, so that no input costs more than a little memory.

mod build;
mod scalar;

use std::collections::BTreeMap;

use serde_json::Number;

use crate::place::{FieldPath, Place, Step};

pub(crate) use build::documents;

/// The largest manifest, in bytes. The API server's own limit for a request is 3 MiB, etcd's for an object 1.5 MiB.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The most values a file may hold once its aliases are expanded.
const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

/// What kind of thing is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Syntax,
    Duplicate,
    TooLarge,
}

/// How far a path led.
enum Reached {
    End,
    Ancestor,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The value at these keys.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Its number, if it is a whole one.
    pub(crate) fn integer(&self) -> Option<i64> {
        match &self.value {
            Value::Number(number) => number.as_i64(),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Its elements, none if it is no list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// The entries of a map that are text.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().filter_map(|e| Some((e.key.clone(), e.value.text()?.to_owned()))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => BTreeMap::new(),
        }
    }

    /// Puts a value into a map, in the place of the one that is there.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        if let Value::Map(entries) = &mut self.value {
            entries.retain(|entry| entry.key != key);
            entries.push(Entry { key: key.to_owned(), place: value.place, value });
        }
    }

    /// The place of the field at `path`, or of what comes nearest to it on the way there.
    pub(crate) fn place_of(&self, path: &FieldPath) -> Place {
        self.follow(path).0.place
    }

    /// The text at `path`.
    pub(crate) fn text_of(&self, path: &FieldPath) -> Option<&str> {
        match self.follow(path) {
            (Node { value: Value::Text(text), .. }, Reached::End) => Some(text),
            _ => None,
        }
    }

    /// The length of the list at `path`, 0 if there is none.
    pub(crate) fn length_of(&self, path: &FieldPath) -> usize {
        match self.follow(path) {
            (Node { value: Value::List(items), .. }, Reached::End) => items.len(),
            _ => 0,
        }
    }

    /// Follows `path` as far as it leads.
    fn follow(&self, path: &FieldPath) -> (&Node, Reached) {
        let mut at = self;
        for step in path.steps() {
            let next = match (step, &at.value) {
                (Step::Key(key), Value::Map(_)) => at.get(key),
                (Step::Index(index), Value::List(items)) => items.get(*index),
                _ => None,
            };
            let Some(next) = next else { return (at, Reached::Ancestor) };
            at = next;
        }
        (at, Reached::End)
    }

    /// What the value is called in an error.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }
}
