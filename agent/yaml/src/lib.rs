//! YAML and JSON as Kubernetes reads them, each value with its place.
//!
//! Plain scalars follow go-yaml v2, which every Kubernetes tool uses: `yes` and `on` are booleans and `0644` is octal. What
//! makes a reader guess is refused instead: duplicate keys, keys that are not text, unknown tags. Size, depth and the
//! expansion of aliases are bounded, so that no input costs more than a little memory.

mod build;
pub mod place;
mod scalar;

use std::collections::BTreeMap;

use serde_json::Number;

use place::{FieldPath, Place, Step};

pub use build::documents;

/// The largest manifest, in bytes. The API server's own limit for a request is 3 MiB, etcd's for an object 1.5 MiB.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The most values a file may hold once its aliases are expanded.
const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of its keys.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub place: Place,
    /// The value.
    pub value: Node,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Which kind of fault.
    pub kind: FaultKind,
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<&'static str>,
}

/// What kind of thing is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not YAML, or leaves open what it means.
    Syntax,
    /// A key stands twice.
    Duplicate,
    /// It is larger than it may be.
    TooLarge,
}

/// How far a path led.
enum Reached {
    End,
    Ancestor,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The value at these keys.
    #[must_use]
    pub fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Its text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Its number, if it is a whole one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match &self.value {
            Value::Number(number) => number.as_i64(),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Its elements, none if it is no list.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// The entries of a map that are text.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().filter_map(|e| Some((e.key.clone(), e.value.text()?.to_owned()))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => BTreeMap::new(),
        }
    }

    /// Puts a value into a map, in the place of the one that is there.
    pub fn set(&mut self, key: &str, value: Node) {
        if let Value::Map(entries) = &mut self.value {
            entries.retain(|entry| entry.key != key);
            entries.push(Entry { key: key.to_owned(), place: value.place, value });
        }
    }

    /// The place of the field at `path`, or of what comes nearest to it on the way there.
    #[must_use]
    pub fn place_of(&self, path: &FieldPath) -> Place {
        self.follow(path).0.place
    }

    /// The text at `path`.
    #[must_use]
    pub fn text_of(&self, path: &FieldPath) -> Option<&str> {
        match self.follow(path) {
            (Node { value: Value::Text(text), .. }, Reached::End) => Some(text),
            _ => None,
        }
    }

    /// The length of the list at `path`, 0 if there is none.
    #[must_use]
    pub fn length_of(&self, path: &FieldPath) -> usize {
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
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
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
