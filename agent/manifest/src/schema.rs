//! Kubernetes' Pod and the objects beside it as tables, and what barepod does with each of their fields.
//!
//! `schema/pod.tsv` and `schema/objects.tsv` are generated from Kubernetes' own types, `schema/support.tsv` is written by hand. All are data, so
//! that a page of what is honoured can be made from them and cannot drift from what the code does.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Integer,
    Number,
    Bool,
    /// Text or a number.
    Quantity,
    /// Not looked into.
    Any,
    List(Box<Type>),
    Map(Box<Type>),
    Object(&'static str),
}

/// What barepod does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Honoured,
    NoEffect,
    Refused,
}

/// A field of a Kubernetes type.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) required: bool,
    /// What the table says; a field that is not in it is refused.
    pub(crate) support: Option<Support>,
    /// Values that change nothing here and are not worth a word.
    pub(crate) harmless: Vec<Value>,
    /// What to tell the author where the field is not honoured.
    pub(crate) note: &'static str,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(load);

/// The fields of a Kubernetes type.
pub(crate) fn fields(type_name: &str) -> &'static [Field] {
    TYPES.get(type_name).map_or(&[], Vec::as_slice)
}

/// The rows of a table, but its comments.
pub(crate) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn load() -> HashMap<&'static str, Vec<Field>> {
    let support: HashMap<&str, Vec<&'static str>> =
        rows(include_str!("../schema/support.tsv")).map(|row| (row[0], row)).collect();
    let mut types: HashMap<&'static str, Vec<Field>> = HashMap::new();
    for row in rows(include_str!("../schema/pod.tsv")).chain(rows(include_str!("../schema/objects.tsv"))) {
        let key = format!("{}.{}", row[0], row[1]);
        types.entry(row[0]).or_default().push(field(&row, support.get(key.as_str()).map_or(&[], Vec::as_slice)));
    }
    types
}

fn field(row: &[&'static str], support: &[&'static str]) -> Field {
    let column = |i: usize| support.get(i).copied().unwrap_or_default();
    Field {
        name: row[1],
        kind: parse_type(row[2]),
        required: row.get(3) == Some(&"required"),
        support: match column(1) {
            "honoured" => Some(Support::Honoured),
            "no-effect" => Some(Support::NoEffect),
            "refused" => Some(Support::Refused),
            _ => None,
        },
        harmless: serde_json::from_str(column(2)).unwrap_or_default(),
        note: column(3),
    }
}

fn parse_type(text: &'static str) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::List(Box::new(parse_type(element)));
    }
    if let Some(value) = text.strip_prefix("map[]") {
        return Type::Map(Box::new(parse_type(value)));
    }
    match text {
        "string" | "Time" | "MicroTime" => Type::Text,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Bool,
        "Quantity" | "IntOrString" => Type::Quantity,
        "any" => Type::Any,
        object => Type::Object(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_support_table_speaks_of_a_field_that_exists() {
        for row in rows(include_str!("../schema/support.tsv")) {
            let (owner, name) = row[0].split_once('.').expect("type and field");
            assert!(fields(owner).iter().any(|f| f.name == name), "{} is in no table", row[0]);
            assert!(matches!(row[1], "honoured" | "no-effect" | "refused"), "{row:?}");
            assert_eq!(row[1] == "honoured", row.len() == 2, "{row:?}: what is not honoured says why");
            if let Some(harmless) = row.get(2).filter(|h| **h != "-") {
                serde_json::from_str::<Vec<Value>>(harmless).expect("a JSON list");
            }
        }
    }

    #[test]
    fn every_type_that_a_field_names_is_described() {
        fn object(kind: &Type) -> Option<&'static str> {
            match kind {
                Type::Object(name) => Some(name),
                Type::List(inner) | Type::Map(inner) => object(inner),
                Type::Text | Type::Integer | Type::Number | Type::Bool | Type::Quantity | Type::Any => None,
            }
        }
        for field in TYPES.values().flatten() {
            if let Some(name) = object(&field.kind) {
                assert!(TYPES.contains_key(name) || name == "FieldsV1", "{name}");
            }
        }
    }
}
