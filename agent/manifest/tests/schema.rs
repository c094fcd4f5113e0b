//! `schema/pod.tsv` is Kubernetes' own description of a Pod, in short, and `schema/objects.tsv` that of the objects beside it,
//! as far as they have types that a Pod has not. This test writes them from k8s-openapi and fails if a committed file
//! differs; `BAREPOD_UPDATE=1` puts it right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// Types that are one value in JSON, whatever their definition says.
const SCALARS: [&str; 4] = ["Quantity", "IntOrString", "Time", "MicroTime"];
/// What an object is, not what it shall be: not followed.
const OPAQUE: [&str; 9] = [
    "PodStatus",
    "PersistentVolumeStatus",
    "PersistentVolumeClaimStatus",
    "StatefulSetStatus",
    "DeploymentStatus",
    "DaemonSetStatus",
    "JobStatus",
    "PodFailurePolicy",
    "SuccessPolicy",
];

const HEAD: &str = "# Written by tests/schema.rs from k8s-openapi. Type, field, the field's type, required.\n";

type Lines = BTreeSet<String>;

#[test]
fn the_schema_is_that_of_the_pinned_kubernetes_release() {
    let pod = lines::<Pod>("Pod");
    let beside = [
        lines::<ConfigMap>("ConfigMap"),
        lines::<Secret>("Secret"),
        lines::<PersistentVolumeClaim>("PersistentVolumeClaim"),
        lines::<PersistentVolume>("PersistentVolume"),
        lines::<ServiceAccount>("ServiceAccount"),
        lines::<StatefulSet>("StatefulSet"),
        lines::<Deployment>("Deployment"),
        lines::<DaemonSet>("DaemonSet"),
        lines::<Job>("Job"),
    ];
    let beside: Lines = beside.into_iter().flatten().filter(|line| !pod.contains(line)).collect();
    let owners = |lines: &Lines| -> BTreeSet<String> {
        lines.iter().filter_map(|line| line.split('\t').next().map(str::to_owned)).collect()
    };
    assert!(owners(&pod).is_disjoint(&owners(&beside)), "one name, one type");
    compare("pod.tsv", &pod);
    compare("objects.tsv", &beside);
}

fn compare(name: &str, lines: &Lines) {
    let file = format!("{}/schema/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut wanted = String::from(HEAD);
    for line in lines {
        writeln!(wanted, "{line}").expect("a string takes all");
    }
    if std::env::var_os("BAREPOD_UPDATE").is_some() {
        std::fs::write(&file, &wanted).expect("the schema file can be written");
    }
    let found = std::fs::read_to_string(&file).expect("the schema file can be read");
    assert!(found == wanted, "schema/{name} is stale: run this test again with BAREPOD_UPDATE=1");
}

fn lines<T: JsonSchema>(root_name: &str) -> Lines {
    let root = serde_json::to_value(schema_for!(T)).expect("a schema is JSON");
    let definitions = &root["$defs"];
    let mut types: BTreeMap<String, &Value> = BTreeMap::from([(root_name.to_owned(), &root)]);
    let mut queue = vec![root_name.to_owned()];
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
    lines
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
