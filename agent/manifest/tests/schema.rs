//! `schema/pod.tsv` is Kubernetes' own description of a Pod, in short. This test writes it from k8s-openapi and fails if
//! the committed file differs; `BAREPOD_UPDATE=1` puts it right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// Types that are one value in JSON, whatever their definition says.
const SCALARS: [&str; 4] = ["Quantity", "IntOrString", "Time", "MicroTime"];
/// What a pod is, not what it shall be: not followed.
const OPAQUE: [&str; 1] = ["PodStatus"];

#[test]
fn the_schema_is_that_of_the_pinned_kubernetes_release() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/pod.tsv");
    let wanted = schema();
    if std::env::var_os("BAREPOD_UPDATE").is_some() {
        std::fs::write(file, &wanted).expect("the schema file can be written");
    }
    let found = std::fs::read_to_string(file).expect("the schema file can be read");
    assert!(found == wanted, "schema/pod.tsv is stale: run this test again with BAREPOD_UPDATE=1");
}

fn schema() -> String {
    let root = serde_json::to_value(schemars::schema_for!(Pod)).expect("a schema is JSON");
    let definitions = &root["$defs"];
    let mut types: BTreeMap<String, &Value> = BTreeMap::from([("Pod".to_owned(), &root)]);
    let mut queue = vec!["Pod".to_owned()];
    let mut lines = BTreeSet::new();
    while let Some(name) = queue.pop() {
        let definition = types[&name];
        let required: BTreeSet<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            let mark = if required.contains(field.as_str()) { "\trequired" } else { "" };
            lines.insert(format!("{name}\t{field}\t{}{mark}", type_name(property)));
            if let Some((full, short)) = reference(property)
                && !SCALARS.contains(&short)
                && !OPAQUE.contains(&short)
                && types.insert(short.to_owned(), &definitions[full]).is_none()
            {
                queue.push(short.to_owned());
            }
        }
    }
    let mut text =
        String::from("# Written by tests/schema.rs from k8s-openapi. Type, field, the field's type, required.\n");
    for line in lines {
        writeln!(text, "{line}").expect("a string takes all");
    }
    text
}

fn type_name(property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let short = short_name(reference);
        return if OPAQUE.contains(&short) { "any".to_owned() } else { short.to_owned() };
    }
    match property["type"].as_str() {
        Some("array") => format!("[]{}", type_name(&property["items"])),
        Some("object") if property.get("additionalProperties").is_some() => {
            format!("map[]{}", type_name(&property["additionalProperties"]))
        }
        Some("object") | None => "any".to_owned(),
        Some(scalar) => scalar.to_owned(),
    }
}

/// The definition that a property refers to, directly or as an element: full and short name.
fn reference(property: &Value) -> Option<(&str, &str)> {
    let inner = [property, &property["items"], &property["additionalProperties"]];
    let reference = inner.iter().find_map(|p| p["$ref"].as_str())?;
    Some((reference.trim_start_matches("#/$defs/"), short_name(reference)))
}

fn short_name(reference: &str) -> &str {
    reference.rsplit(['.', '/']).next().unwrap_or(reference)
}
