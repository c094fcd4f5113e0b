//! From a tree to typed values. One table says what a key means, reads it, and describes it: the rustdoc of a field is
//! also its description in the JSON Schema and in `configs/presets/README.md`.
//!
//! Reading goes on after a fault, so that everything wrong with a file is said at once.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use barepod_yaml::place::FieldPath;
use serde_json::json;

use crate::error::{Fault, near};
use crate::tree::{Branch, Entry, Spot, Tree};

/// What was found on the way.
pub(crate) type Faults = Vec<Fault>;

/// Descriptions of the records, by name.
pub(crate) type Definitions = BTreeMap<&'static str, serde_json::Value>;

/// Something that a tree can be read as.
pub(crate) trait Read: Sized {
    /// Reads it. `None` after a fault, which has been added.
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self>;

    /// What an absent key means; `None`: it must not be absent.
    fn absent() -> Option<Self> {
        None
    }

    /// Its JSON Schema.
    fn schema(definitions: &mut Definitions) -> serde_json::Value;
}

/// A value that remembers where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) spot: Spot,
    pub(crate) path: FieldPath,
}

impl<T> Placed<T> {
    pub(crate) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(&self.spot, &self.path, message)
    }
}

/// A text with its place: a template, an expression, or plain.
pub(crate) type Text = Placed<String>;

/// A value of another type than it should be.
pub(crate) fn mismatch<T>(tree: &Tree, path: &FieldPath, wanted: &str, faults: &mut Faults) -> Option<T> {
    let hint = match (&tree.value, wanted) {
        (Branch::Number(_) | Branch::Bool(_), "a string") => "put it in quotes".to_owned(),
        (Branch::Text(_) | Branch::Map(_), "a list") => "write it as a list: begin with \"- \"".to_owned(),
        _ => format!("write {wanted}"),
    };
    faults.push(Fault::new(&tree.spot, path, format!("this is {}, not {wanted}", tree.kind())).hint(hint));
    None
}

impl Read for String {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        match &tree.value {
            Branch::Text(text) => Some(text.clone()),
            _ => mismatch(tree, path, "a string", faults),
        }
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "type": "string" })
    }
}

impl Read for bool {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        match &tree.value {
            Branch::Bool(value) => Some(*value),
            _ => mismatch(tree, path, "true or false", faults),
        }
    }

    fn absent() -> Option<Self> {
        Some(false)
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

impl Read for i64 {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        match &tree.value {
            Branch::Number(number) if number.is_i64() => number.as_i64(),
            _ => mismatch(tree, path, "a whole number", faults),
        }
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "type": "integer" })
    }
}

impl Read for u32 {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        let number = match &tree.value {
            Branch::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        number.or_else(|| mismatch(tree, path, "a whole number from 0 to 4294967295", faults))
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
}

impl<T: Read> Read for Option<T> {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        T::read(tree, path, faults).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        T::schema(definitions)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        let Branch::List(items) = &tree.value else { return mismatch(tree, path, "a list", faults) };
        let read: Vec<_> = items.iter().enumerate().map(|(i, item)| T::read(item, &path.index(i), faults)).collect();
        read.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        let Branch::Map(entries) = &tree.value else { return mismatch(tree, path, "a map", faults) };
        let read: Vec<_> = entries
            .iter()
            .map(|e| Some((e.key.clone(), T::read(&e.value, &path.key(e.key.as_str()), faults)?)))
            .collect();
        read.into_iter().collect()
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        json!({ "type": "object", "additionalProperties": T::schema(definitions) })
    }
}

impl<T: Read> Read for Placed<T> {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        let value = T::read(tree, path, faults)?;
        Some(Self { value, spot: tree.spot.clone(), path: path.clone() })
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        T::schema(definitions)
    }
}

/// A word that is checked as it is read: written as a string, with a pattern or a list of what there is.
pub(crate) trait Word: Sized {
    /// What it means, or why it means nothing and what would.
    fn word(text: &str) -> Result<Self, (String, String)>;
    /// What its JSON Schema says beyond that it is a string.
    fn describe() -> serde_json::Value;
}

impl<T: Word> Read for T {
    fn read(tree: &Tree, path: &FieldPath, faults: &mut Faults) -> Option<Self> {
        let text = String::read(tree, path, faults)?;
        T::word(&text).map_err(|(message, hint)| faults.push(Fault::new(&tree.spot, path, message).hint(hint))).ok()
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        let mut schema = json!({ "type": "string" });
        if let (Some(all), serde_json::Value::Object(more)) = (schema.as_object_mut(), T::describe()) {
            all.extend(more);
        }
        schema
    }
}

/// One of these words, or what is near to it.
pub(crate) fn one_of<T: Copy>(text: &str, what: &str, words: &[(&str, T)]) -> Result<T, (String, String)> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = match near(text, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one of {}", names.join(", ")),
    };
    Err((format!("there is no {what} {text:?}"), hint))
}

/// The entries of a map that is a record with these keys. Unknown ones are faults.
pub(crate) fn fields<'a>(tree: &'a Tree, path: &FieldPath, keys: &[&str], faults: &mut Faults) -> Option<&'a [Entry]> {
    let Branch::Map(entries) = &tree.value else { return mismatch(tree, path, "a map", faults) };
    for entry in entries.iter().filter(|e| !keys.contains(&e.key.as_str())) {
        let hint = match near(&entry.key, keys.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", keys.join(", ")),
        };
        let path = path.key(entry.key.as_str());
        faults.push(Fault::new(&entry.spot, &path, "there is no such key here").hint(hint));
    }
    Some(entries)
}

/// The value of one key of a record.
pub(crate) fn field<T: Read>(
    tree: &Tree,
    entries: &[Entry],
    key: &str,
    path: &FieldPath,
    faults: &mut Faults,
) -> Option<T> {
    let path = path.key(key);
    match entries.iter().find(|e| e.key == key) {
        Some(Entry { value: Tree { value: Branch::Null, spot }, .. }) => {
            let empty = || Fault::new(spot, &path, "it has no value").hint("give it one, or leave the key out");
            T::absent().or_else(|| {
                faults.push(empty());
                None
            })
        }
        Some(entry) => T::read(&entry.value, &path, faults),
        None => T::absent().or_else(|| {
            faults.push(Fault::new(&tree.spot, &path, "this key is missing").hint(format!("add {key}:")));
            None
        }),
    }
}

/// A record's description. What its fields say comes from their rustdoc.
pub(crate) fn describe(
    doc: &str,
    fields: Vec<(&'static str, &'static str, serde_json::Value, bool)>,
) -> serde_json::Value {
    let required: Vec<_> = fields.iter().filter(|(_, _, _, required)| *required).map(|(key, ..)| *key).collect();
    let mut properties = serde_json::Map::new();
    for (key, doc, mut schema, _) in fields {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), doc.trim().into());
        }
        properties.insert(key.to_owned(), schema);
    }
    let mut all = json!({
        "type": "object", "description": doc.trim(), "properties": properties, "additionalProperties": false,
    });
    if let (false, Some(all)) = (required.is_empty(), all.as_object_mut()) {
        all.insert("required".to_owned(), required.into());
    }
    all
}

/// A struct whose fields are keys: its reader and its description with it.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        pub(crate) struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:literal => $field:ident: $type:ty, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $field: $type, )+
        }

        impl $crate::read::Read for $name {
            fn read(
                tree: &$crate::tree::Tree,
                path: &barepod_yaml::place::FieldPath,
                faults: &mut $crate::read::Faults,
            ) -> Option<Self> {
                let entries = $crate::read::fields(tree, path, &[$($key),+], faults)?;
                // All of them, so that one fault hides no other.
                $( let $field: Option<$type> = $crate::read::field(tree, entries, $key, path, faults); )+
                Some(Self { $( $field: $field?, )+ })
            }

            fn schema(definitions: &mut $crate::read::Definitions) -> serde_json::Value {
                let name = stringify!($name).trim_end_matches("File");
                if !definitions.contains_key(name) {
                    definitions.insert(name, serde_json::Value::Null);
                    let fields = vec![$( (
                        $key,
                        concat!($($doc),+),
                        <$type as $crate::read::Read>::schema(definitions),
                        <$type as $crate::read::Read>::absent().is_none(),
                    ) ),+];
                    definitions.insert(name, $crate::read::describe(concat!($($about),+), fields));
                }
                serde_json::json!({ "$ref": format!("#/$defs/{name}") })
            }
        }
    };
}
pub(crate) use record;

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
