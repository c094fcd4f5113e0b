//! Parser events to values, without recursion, within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::place::Place;
use crate::{Entry, Fault, FaultKind, MAX_DEPTH, MAX_NODES, Node, Value, scalar};

/// Reads every document of a file; those that are empty are left out.
///
/// # Errors
/// The first fault.
pub fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| syntax(place(e.marker()), format!("this is not YAML: {}", e.info())))?;
        builder.take(event, place(&span.start))?;
    }
    Ok(builder.documents)
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

fn syntax(place: Place, message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::Syntax, place, message: message.into(), hint: None }
}

fn too_large(place: Place, message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::TooLarge, place, message: message.into(), hint: None }
}

/// A collection that is not complete yet.
struct Open {
    anchor: usize,
    place: Place,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map(OpenMap),
}

/// A map that is not complete yet.
#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// The line of each key in `entries`.
    lines: HashMap<String, usize>,
    /// The key whose value comes next.
    key: Option<(String, Place)>,
    /// What `<<` brings.
    merged: Vec<Entry>,
}

/// A finished value under an anchor, with the number of values in it.
struct Anchored {
    node: Node,
    nodes: usize,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
}

/// The key under which go-yaml merges other maps.
const MERGE: &str = "<<";

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Fault> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(id) => self.alias(id, at),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar_value(&text, style, tag.as_deref(), at)?;
                let plain_key = matches!(style, ScalarStyle::Plain).then(|| text.into_owned());
                self.count(1, at)?;
                self.put(Node { place: at, value }, anchor, plain_key)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at)?;
                self.open(Open { anchor, place: at, items: Items::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at)?;
                self.open(Open { anchor, place: at, items: Items::Map(OpenMap::default()) })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(too_large(at, format!("with its aliases expanded it has more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), Fault> {
        self.count(1, open.place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_large(open.place, format!("it is nested more than {MAX_DEPTH} levels deep")));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, at: Place) -> Result<(), Fault> {
        let Some(open) = self.stack.pop() else { return Err(syntax(at, "this ends nothing")) };
        let value = match open.items {
            Items::List(items) => Value::List(items),
            Items::Map(map) => Value::Map(map.finish()),
        };
        self.put(Node { place: open.place, value }, open.anchor, None)
    }

    fn alias(&mut self, id: usize, at: Place) -> Result<(), Fault> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(syntax(at, "this alias names an anchor that is not complete here"));
        };
        let nodes = anchored.nodes;
        self.count(nodes, at)?;
        // Cloned only after it was counted.
        let mut node = self.anchors[&id].node.clone();
        if self.stack.len() + depth(&node) > MAX_DEPTH {
            return Err(too_large(at, format!("it is nested more than {MAX_DEPTH} levels deep")));
        }
        node.place = at;
        self.put(node, 0, None)
    }

    /// Puts a finished value where it belongs. `plain` is its text if it is an unquoted scalar.
    fn put(&mut self, node: Node, anchor: usize, plain: Option<String>) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { nodes: size(&node), node: node.clone() });
            self.count(size(&node), node.place)?;
        }
        match self.stack.last_mut().map(|open| &mut open.items) {
            None if matches!(node.value, Value::Null) => Ok(()),
            None => {
                self.documents.push(node);
                Ok(())
            }
            Some(Items::List(items)) => {
                items.push(node);
                Ok(())
            }
            Some(Items::Map(map)) => map.put(node, plain),
        }
    }
}

impl OpenMap {
    fn put(&mut self, node: Node, plain: Option<String>) -> Result<(), Fault> {
        match self.key.take() {
            None => {
                self.key = Some((self.new_key(&node, plain)?, node.place));
                Ok(())
            }
            Some((name, _)) if name == MERGE => merge(node, &mut self.merged),
            Some((name, place)) => {
                self.lines.insert(name.clone(), place.line);
                self.entries.push(Entry { key: name, place, value: node });
                Ok(())
            }
        }
    }

    fn new_key(&self, node: &Node, plain: Option<String>) -> Result<String, Fault> {
        let name = key_text(node, plain)?;
        match self.lines.get(&name) {
            None => Ok(name),
            Some(line) => Err(Fault {
                kind: FaultKind::Duplicate,
                place: node.place,
                message: format!("the key {name:?} is already there in line {line}"),
                hint: Some("remove one of the two"),
            }),
        }
    }

    /// What is written wins over what is merged, and the first merge over the later ones.
    fn finish(mut self) -> Vec<Entry> {
        for entry in self.merged {
            if self.lines.insert(entry.key.clone(), entry.place.line).is_none() {
                self.entries.push(entry);
            }
        }
        self.entries
    }
}

fn key_text(node: &Node, plain: Option<String>) -> Result<String, Fault> {
    let quote = |message: String| Fault { hint: Some("put the key in quotes"), ..syntax(node.place, message) };
    match (&node.value, plain) {
        (Value::Text(text), _) => Ok(text.clone()),
        (Value::Null | Value::Bool(_) | Value::Number(_), Some(text)) => {
            Err(quote(format!("the key {text:?} is {}, not a string", node.kind())))
        }
        _ => Err(syntax(node.place, format!("a key must be a string, this one is {}", node.kind()))),
    }
}

fn merge(node: Node, merged: &mut Vec<Entry>) -> Result<(), Fault> {
    let place = node.place;
    match node.value {
        Value::Map(entries) => merged.extend(entries),
        Value::List(items) if items.iter().all(|i| matches!(i.value, Value::Map(_))) => {
            for item in items {
                merge(item, merged)?;
            }
        }
        Value::List(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            return Err(syntax(place, "'<<' merges maps only"));
        }
    }
    Ok(())
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Place) -> Result<Value, Fault> {
    let quoted = !matches!(style, ScalarStyle::Plain);
    match tag {
        None if quoted => Ok(Value::Text(text.to_owned())),
        None => Ok(scalar::resolve(text)),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::Text(text.to_owned())),
        Some(tag) if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "int" | "float" | "bool" | "null") => {
            Ok(scalar::resolve(text))
        }
        Some(tag) => Err(unknown_tag(tag, at)),
    }
}

fn collection_tag(tag: Option<&Tag>, allowed: &str, at: Place) -> Result<(), Fault> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == allowed => Ok(()),
        Some(tag) => Err(unknown_tag(tag, at)),
    }
}

fn unknown_tag(tag: &Tag, at: Place) -> Fault {
    let message = format!("the tag {}{} means nothing to Kubernetes", tag.handle, tag.suffix);
    Fault { hint: Some("remove the tag"), ..syntax(at, message) }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|e| size(&e.value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
    }
}

fn depth(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Vec<String> {
        documents(text).expect("valid").iter().map(|d| d.to_json().to_string()).collect()
    }

    #[test]
    fn each_document_is_read_and_empty_ones_are_left_out() {
        assert_eq!(json("---\na: 1\n---\n---\n# nothing\n---\nb: [x, 'y']\n"), [r#"{"a":1}"#, r#"{"b":["x","y"]}"#]);
        assert_eq!(json(r#"{"a": {"b": null}}"#), [r#"{"a":{"b":null}}"#]);
        assert!(json("").is_empty());
    }

    #[test]
    fn a_merge_key_gives_way_to_what_is_written() {
        assert_eq!(json("- &x {a: 1, b: 2}\n- <<: *x\n  b: 3\n"), [r#"[{"a":1,"b":2},{"a":1,"b":3}]"#]);
    }

    #[test]
    fn a_thousand_million_laughs_cost_nothing() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert_eq!(documents(&bomb).map_err(|f| f.kind), Err(FaultKind::TooLarge));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let fault = documents(&deep).expect_err("too deep");
        assert!(matches!(fault.kind, FaultKind::TooLarge | FaultKind::Syntax), "{fault:?}");
    }
}
