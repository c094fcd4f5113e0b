//! Workloads of one replica to the pod that Kubernetes' controllers would make of them.
//!
//! | workload | its pod's name | what is added to the template |
//! |---|---|---|
//! | StatefulSet `db` | `db-0` | host name, subdomain, labels, a claim `<template>-db-0` for each claim template |
//! | Deployment, DaemonSet, Job | its own: there is one, and it keeps its name | a Job's deadline and labels |

use std::collections::BTreeMap;

use barepod_model::{PodName, Reason};

use crate::error::{Finding, Findings};
use crate::kinds::Workload;
use crate::place::{FieldPath, Place};
use crate::yaml::{Entry, Node, Value};

impl Workload {
    /// The name of its type in the tables.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Workload::StatefulSet => "StatefulSet",
            Workload::Deployment => "Deployment",
            Workload::DaemonSet => "DaemonSet",
            Workload::Job => "Job",
        }
    }

    /// The path of the template.
    pub(crate) fn template() -> FieldPath {
        FieldPath::default().key("spec").key("template")
    }

    /// Makes its pod; none if it is scaled to nothing. The object has been checked against the tables.
    pub(crate) fn pod(self, node: &Node, out: &mut Findings) -> Option<Node> {
        let root = FieldPath::default();
        let name = self.name(node, &root.key("metadata").key("name"), out);
        let wanted = self.replicas(node, out);
        selector(node, out);
        self.restart_policy(node, out);
        let template = node.at(&["spec", "template"])?;
        let mut spec = template.get("spec")?.clone();
        let mut labels = template.at(&["metadata", "labels"]).map(Node::texts).unwrap_or_default();
        let name = name?;
        let place = template.place;
        match self {
            Workload::StatefulSet => stateful(node, &name, &mut spec, &mut labels, out),
            Workload::Job => job(node, &name, &mut spec, &mut labels),
            Workload::Deployment | Workload::DaemonSet => {}
        }
        let mut metadata = vec![entry("name", text(&name, place), place)];
        metadata.extend(node.at(&["metadata", "namespace"]).map(|ns| entry("namespace", ns.clone(), ns.place)));
        let labels = labels.iter().map(|(key, value)| entry(key, text(value, place), place)).collect();
        metadata.push(entry("labels", Node { place, value: Value::Map(labels) }, place));
        metadata.extend(template.at(&["metadata", "annotations"]).map(|a| entry("annotations", a.clone(), a.place)));
        let pod = vec![
            entry("apiVersion", text("v1", place), place),
            entry("kind", text("Pod", place), place),
            entry("metadata", Node { place, value: Value::Map(metadata) }, place),
            entry("spec", spec, place),
        ];
        (wanted == Wanted::One).then_some(Node { place: node.place, value: Value::Map(pod) })
    }

    fn name(self, node: &Node, path: &FieldPath, out: &mut Findings) -> Option<String> {
        let own = node.at(&["metadata", "name"]).and_then(Node::text).filter(|name| !name.is_empty());
        let Some(own) = own else {
            let finding = Finding::new(Reason::MissingField, path, "this field is required");
            out.error(finding.hint("give it a name"));
            return None;
        };
        let name = match self {
            Workload::StatefulSet => format!("{own}-0"),
            Workload::Deployment | Workload::DaemonSet | Workload::Job => own.to_owned(),
        };
        match PodName::new(&name) {
            Ok(_) => Some(name),
            Err(e) => {
                out.error(Finding::new(Reason::InvalidValue, path, format!("{own:?} is not a name")).hint(e.rule));
                None
            }
        }
    }

    fn replicas(self, node: &Node, out: &mut Findings) -> Wanted {
        let counts: &[&str] = match self {
            Workload::StatefulSet | Workload::Deployment => &["replicas"],
            Workload::Job => &["completions", "parallelism"],
            Workload::DaemonSet => &[],
        };
        let mut wanted = Wanted::One;
        for field in counts {
            let path = FieldPath::default().key("spec").key(*field);
            match node.at(&["spec", field]).and_then(Node::integer) {
                None | Some(1) => {}
                Some(0) => {
                    let message = "there is no pod of it";
                    out.warn(Finding::new(Reason::InvalidValue, &path, message).hint("write 1 to have one"));
                    wanted = Wanted::None;
                }
                Some(count) => {
                    let finding = Finding::new(Reason::InvalidValue, &path, format!("a host runs one, not {count}"));
                    out.error(finding.hint("write 1; several are for Kubernetes or Nomad to place on several hosts"));
                }
            }
        }
        wanted
    }

    /// As Kubernetes' validation has it.
    fn restart_policy(self, node: &Node, out: &mut Findings) {
        let written = node.at(&["spec", "template", "spec", "restartPolicy"]).and_then(Node::text).unwrap_or_default();
        let (valid, hint) = match self {
            Workload::Job => (matches!(written, "OnFailure" | "Never"), "a Job's pod ends: write OnFailure or Never"),
            Workload::StatefulSet | Workload::Deployment | Workload::DaemonSet => {
                (matches!(written, "" | "Always"), "its pod is always restarted: write Always or remove it")
            }
        };
        if !valid {
            let path = Self::template().key("spec").key("restartPolicy");
            let message = format!("a {} cannot have {written:?}", self.type_name());
            out.error(Finding::new(Reason::InvalidValue, &path, message).hint(hint));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    One,
    None,
}

/// A selector must fit its own template, or Kubernetes refuses the object.
fn selector(node: &Node, out: &mut Findings) {
    let Some(wanted) = node.at(&["spec", "selector", "matchLabels"]) else { return };
    let has = node.at(&["spec", "template", "metadata", "labels"]).map(Node::texts).unwrap_or_default();
    for (key, value) in wanted.texts() {
        if has.get(&key) != Some(&value) {
            let path = FieldPath::default().key("spec").key("selector").key("matchLabels").key(&key);
            let message = format!("the template has no label {key}: {value}");
            out.error(
                Finding::new(Reason::InvalidValue, &path, message).hint("give selector and template the same labels"),
            );
        }
    }
}

fn stateful(node: &Node, name: &str, spec: &mut Node, labels: &mut BTreeMap<String, String>, out: &mut Findings) {
    labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.to_owned());
    labels.insert("apps.kubernetes.io/pod-index".to_owned(), "0".to_owned());
    let place = spec.place;
    // A longer name, or one with dots, is cut down where a pod's host name is made.
    if name.len() <= 63 && !name.contains('.') {
        spec.set("hostname", text(name, place));
    }
    if let Some(service) =
        node.at(&["spec", "serviceName"]).filter(|service| service.text().is_some_and(|s| !s.is_empty()))
    {
        spec.set("subdomain", service.clone());
    }
    let templates = node.at(&["spec", "volumeClaimTemplates"]).map(Node::items).unwrap_or_default();
    for (i, template) in templates.iter().enumerate() {
        let path = FieldPath::default().key("spec").key("volumeClaimTemplates").index(i);
        let Some(volume) = template.at(&["metadata", "name"]).and_then(Node::text) else {
            let finding =
                Finding::new(Reason::MissingField, &path.key("metadata").key("name"), "this field is required");
            out.error(finding.hint("the volume of this name is the claim"));
            continue;
        };
        if template.at(&["spec", "volumeName"]).is_some() {
            let finding =
                Finding::new(Reason::InvalidValue, &path.key("spec").key("volumeName"), "a template names no volume");
            out.error(finding.hint(format!("write a PersistentVolumeClaim {volume}-{name} with this volumeName")));
        }
        claim(spec, volume, &format!("{volume}-{name}"), template.place);
    }
}

/// Puts a claim in the place of the template's volume of this name.
fn claim(spec: &mut Node, volume: &str, claim: &str, place: Place) {
    let map = |entries| Node { place, value: Value::Map(entries) };
    let source = map(vec![entry("claimName", text(claim, place), place)]);
    let added = map(vec![entry("name", text(volume, place), place), entry("persistentVolumeClaim", source, place)]);
    let mut volumes: Vec<Node> = spec.get("volumes").map(Node::items).unwrap_or_default().to_vec();
    volumes.retain(|other| other.get("name").and_then(Node::text) != Some(volume));
    volumes.push(added);
    spec.set("volumes", Node { place, value: Value::List(volumes) });
}

fn job(node: &Node, name: &str, spec: &mut Node, labels: &mut BTreeMap<String, String>) {
    for key in ["job-name", "batch.kubernetes.io/job-name"] {
        labels.insert(key.to_owned(), name.to_owned());
    }
    let own = spec.get("activeDeadlineSeconds").and_then(Node::integer);
    if let Some(deadline) = node.at(&["spec", "activeDeadlineSeconds"])
        && deadline.integer().is_some_and(|seconds| own.is_none_or(|own| seconds < own))
    {
        spec.set("activeDeadlineSeconds", deadline.clone());
    }
}

fn text(value: &str, place: Place) -> Node {
    Node { place, value: Value::Text(value.to_owned()) }
}

fn entry(key: &str, value: Node, place: Place) -> Entry {
    Entry { key: key.to_owned(), place, value }
}
