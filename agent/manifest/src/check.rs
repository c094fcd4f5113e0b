//! Every field of an object against the tables: unknown names, wrong types, missing fields, what is not honoured.

use barepod_model::Reason;

use crate::error::{Finding, Findings};
use crate::place::FieldPath;
use crate::schema::{self, Field, Support, Type};
use crate::yaml::{Entry, Node, Value};

/// Checks a whole object of this type.
pub(crate) fn whole(node: &Node, type_name: &str, out: &mut Findings) {
    object(node, type_name, &FieldPath::default(), Depth::Looked, out);
}

/// Whether it still matters what barepod does with a field: below one that has no effect or is refused, it does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Looked,
    Beneath,
}

fn value(node: &Node, kind: &Type, path: &FieldPath, depth: Depth, out: &mut Findings) {
    match (kind, &node.value) {
        (Type::Any, _) | (_, Value::Null) => {}
        (Type::Text, Value::Text(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::Quantity, Value::Text(_) | Value::Number(_)) => {}
        (Type::Integer, Value::Number(number)) if number.is_i64() => {}
        (Type::List(element), Value::List(items)) => {
            for (i, item) in items.iter().enumerate() {
                list_element(item, element, &path.index(i), depth, out);
            }
        }
        (Type::Map(element), Value::Map(entries)) => {
            for entry in entries {
                value(&entry.value, element, &path.key(&entry.key), depth, out);
            }
        }
        (Type::Object(name), Value::Map(_)) => object(node, name, path, depth, out),
        _ => out.error(wrong_type(node, kind, path)),
    }
}

fn list_element(node: &Node, kind: &Type, path: &FieldPath, depth: Depth, out: &mut Findings) {
    if matches!(node.value, Value::Null) {
        let message = format!("expected {}, found nothing", name_of(kind));
        let finding = Finding::new(Reason::InvalidType, path, message).at(node.place);
        return out.error(finding.hint("fill the element in or remove it"));
    }
    value(node, kind, path, depth, out);
}

fn object(node: &Node, type_name: &str, path: &FieldPath, depth: Depth, out: &mut Findings) {
    let Value::Map(entries) = &node.value else {
        return out.error(wrong_type(node, &Type::Map(Box::new(Type::Any)), path));
    };
    let fields = schema::fields(type_name);
    for entry in entries {
        match fields.iter().find(|f| f.name == entry.key) {
            Some(known) => field(entry, known, &path.key(&entry.key), depth, out),
            None => out.error(unknown(entry, fields, path)),
        }
    }
    for missing in fields.iter().filter(|f| f.required && depth == Depth::Looked) {
        if node.get(missing.name).is_none_or(|n| matches!(n.value, Value::Null)) {
            let path = path.key(missing.name);
            let finding = Finding::new(Reason::MissingField, &path, "this field is required").at(node.place);
            out.error(finding.hint(format!("add {:?}, {}", missing.name, name_of(&missing.kind))));
        }
    }
}

fn field(entry: &Entry, known: &Field, path: &FieldPath, depth: Depth, out: &mut Findings) {
    let says_something = depth == Depth::Looked && !is_harmless(&entry.value, known);
    match known.support {
        Some(Support::Honoured) => value(&entry.value, &known.kind, path, depth, out),
        Some(Support::NoEffect) => {
            value(&entry.value, &known.kind, path, Depth::Beneath, out);
            if says_something {
                let message = format!("accepted without effect: {}", known.note);
                out.warn(Finding::new(Reason::UnsupportedField, path, message).at(entry.place));
            }
        }
        Some(Support::Refused) | None if says_something => out.error(refused(entry, known, path)),
        Some(Support::Refused) | None => value(&entry.value, &known.kind, path, Depth::Beneath, out),
    }
}

/// Nothing, or a value that says what happens anyhow.
fn is_harmless(node: &Node, known: &Field) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Text(text) if text.is_empty() => true,
        Value::List(items) if items.is_empty() => true,
        Value::Map(entries) if entries.is_empty() => true,
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            known.harmless.contains(&node.to_json())
        }
    }
}

fn refused(entry: &Entry, known: &Field, path: &FieldPath) -> Finding {
    let finding = Finding::new(Reason::UnsupportedField, path, "barepod does not honour this field").at(entry.place);
    if known.note.is_empty() { finding.hint("remove it") } else { finding.hint(known.note) }
}

fn unknown(entry: &Entry, fields: &[Field], path: &FieldPath) -> Finding {
    let finding = Finding::new(Reason::UnknownField, &path.key(&entry.key), "no such field").at(entry.place);
    match nearest(&entry.key, fields.iter().map(|f| f.name)) {
        Some(name) => finding.hint(format!("did you mean {name:?}?")),
        None => finding.hint("remove it, or look whether it is indented as it should be"),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

fn wrong_type(node: &Node, kind: &Type, path: &FieldPath) -> Finding {
    let message = format!("expected {}, found {}", name_of(kind), node.kind());
    let finding = Finding::new(Reason::InvalidType, path, message).at(node.place);
    match (kind, &node.value) {
        (Type::Text, Value::Bool(_) | Value::Number(_)) => finding.hint("put the value in quotes"),
        (Type::Integer | Type::Number | Type::Bool, Value::Text(_)) => finding.hint("write it without quotes"),
        (Type::Integer, Value::Number(_)) => finding.hint("write a whole number"),
        (Type::List(_), _) => finding.hint("write a list: begin each element with '- '"),
        (Type::Map(_) | Type::Object(_), _) => finding.hint("write `name: value` lines, indented below this field"),
        _ => finding.hint("look whether the lines are indented as they should be"),
    }
}

fn name_of(kind: &Type) -> &'static str {
    match kind {
        Type::Text => "a string",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Bool => "true or false",
        Type::Quantity => "a quantity",
        Type::Any => "anything",
        Type::List(_) => "a list",
        Type::Map(_) | Type::Object(_) => "a map",
    }
}
