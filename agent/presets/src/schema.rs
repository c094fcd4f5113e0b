//! The description of preset files: a JSON Schema for editors, and the table of keys in `configs/presets/README.md`.

use barepod_yaml::place::FieldPath;
use serde_json::{Value, json};

use crate::file::PresetFile;
use crate::inherit::KEYED;
use crate::read::{Definitions, Read as _};

/// The JSON Schema of a preset file.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = Definitions::new();
    let root = PresetFile::schema(&mut definitions);
    let mut definitions: serde_json::Map<String, Value> =
        definitions.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    open_to_children(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "barepod preset",
        "$ref": root["$ref"],
        "$defs": definitions,
    })
}

/// A child may leave out what its parent has, and patch it.
fn open_to_children(definitions: &mut serde_json::Map<String, Value>) {
    for (name, schema) in definitions.iter_mut() {
        let Some(schema) = schema.as_object_mut() else { continue };
        let required = if name == "Preset" { json!(["apiVersion", "kind", "name"]) } else { json!([]) };
        if name == "Preset" {
            schema.insert("required".to_owned(), required);
        } else {
            schema.remove("required");
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            let description = "In a preset that extends another one: what becomes of the parent's part.";
            properties
                .insert("$patch".to_owned(), json!({ "enum": ["delete", "replace"], "description": description }));
        }
    }
}

/// The keys, one table a record, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut definitions = Definitions::new();
    PresetFile::schema(&mut definitions);
    let mut text = String::new();
    section("Preset", &FieldPath::default(), &definitions, &mut text);
    text
}

fn section(name: &str, path: &FieldPath, definitions: &Definitions, text: &mut String) {
    let Some(schema) = definitions.get(name) else { return };
    let empty = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let at = path.to_string();
    let heading = if at.is_empty() { "A preset".to_owned() } else { format!("`{at}`") };
    let about = schema["description"].as_str().unwrap_or_default();
    *text += &format!("### {heading}\n\n{about}\n\n| key | type | meaning |\n|---|---|---|\n");
    for (key, property) in properties {
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key.as_str()));
        let mark = if required { "**" } else { "" };
        let about = property["description"].as_str().unwrap_or_default().replace('|', "\\|");
        *text += &format!("| {mark}`{key}`{mark} | {} | {about} |\n", type_of(property));
    }
    text.push('\n');
    for (key, property) in properties {
        let inner = if property["type"] == "array" { &property["items"] } else { property };
        if let Some(record) = record_of(inner) {
            section(record, &path.key(key.as_str()), definitions, text);
        }
    }
}

fn record_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn type_of(schema: &Value) -> String {
    if record_of(schema).is_some() {
        return "map".to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        return if words.len() > 6 { "word".to_owned() } else { words.join(", ") };
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&schema["items"])),
        Some("object") => format!("map of {}", type_of(&schema["additionalProperties"])),
        Some(plain) => plain.to_owned(),
        None => "number or word".to_owned(),
    }
}

/// Whether each list that is merged by a key is one of records that have it.
#[must_use]
pub fn merge_keys_exist() -> bool {
    let mut definitions = Definitions::new();
    PresetFile::schema(&mut definitions);
    KEYED.iter().all(|(list, key)| {
        let mut record = "Preset";
        for name in list.split('.') {
            let property = &definitions[record]["properties"][name];
            let inner = if property["type"] == "array" { &property["items"] } else { property };
            let Some(next) = record_of(inner) else { return false };
            record = definitions.keys().find(|known| **known == next).copied().unwrap_or_default();
        }
        definitions.get(record).is_some_and(|schema| schema["properties"].get(key).is_some())
    })
}
