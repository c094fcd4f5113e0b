//! A file to the pods and objects in it.

use std::fmt;
use std::sync::Arc;

use barepod_model::{Manifest, Reason};
use k8s_openapi::api::core::v1;

use crate::check;
use crate::error::{Finding, Findings, ManifestError};
use crate::kinds::{self, Kind, Workload};
use crate::object;
use crate::objects::Object;
use crate::place::{FieldPath, Place};
use crate::pod::{self, ParsedPod};
use crate::yaml::{self, Fault, FaultKind, Node};

/// What a file holds.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Its pods, those of workloads too.
    pub pods: Vec<ParsedPod>,
    /// What pods refer to.
    pub objects: Vec<Object>,
    /// What is accepted without effect, in the order of the lines. Those of a pod are with the pod.
    pub warnings: Vec<ManifestError>,
}

/// Reads all that a file holds. `file` is only what errors call it.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines; never empty.
pub fn read_all(file: &str, text: &str) -> Result<Manifests, Vec<ManifestError>> {
    let whole = |reason, message: String, hint: &str| Err(vec![of_file(file, reason, Place::START, message, hint)]);
    if text.len() > yaml::MAX_BYTES {
        let message = format!("it is {} bytes long; a manifest has at most {}", text.len(), yaml::MAX_BYTES);
        return whole(Reason::ManifestTooLarge, message, "keep data out of the manifest");
    }
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(fault) => return Err(vec![of_fault(file, &fault)]),
    };
    if documents.is_empty() {
        return whole(Reason::EmptyManifest, "it holds no object".to_owned(), "write a Pod, or remove the file");
    }
    all(file, documents)
}

/// Reads the Pods in a file.
///
/// # Errors
/// As [`read_all`].
pub fn read(file: &str, text: &str) -> Result<Vec<ParsedPod>, Vec<ManifestError>> {
    read_all(file, text).map(|found| found.pods)
}

/// Reads the Pods in a file that may not even be text.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(file: &str, bytes: &[u8]) -> Result<Vec<ParsedPod>, Vec<ManifestError>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read(file, text),
        Err(e) => {
            let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
            let last = good.rsplit('\n').next().unwrap_or_default();
            let place = Place { line: good.matches('\n').count() + 1, column: last.chars().count() + 1 };
            let hint = "save the file as UTF-8";
            Err(vec![of_file(file, Reason::UnreadableManifest, place, "this is not UTF-8 text".to_owned(), hint)])
        }
    }
}

fn of_file(file: &str, reason: Reason, place: Place, message: String, hint: &str) -> ManifestError {
    let Place { line, column } = place;
    ManifestError {
        reason,
        file: file.to_owned(),
        line,
        column,
        field: String::new(),
        message,
        hint: Some(hint.to_owned()),
    }
}

fn of_fault(file: &str, fault: &Fault) -> ManifestError {
    let reason = match fault.kind {
        FaultKind::Syntax => Reason::InvalidYaml,
        FaultKind::Duplicate => Reason::Duplicate,
        FaultKind::TooLarge => Reason::ManifestTooLarge,
    };
    let hint = fault.hint.unwrap_or(match fault.kind {
        FaultKind::TooLarge => "write it flat and without aliases",
        FaultKind::Syntax | FaultKind::Duplicate => {
            "look at this line and the one before: indentation, quotes, brackets, ':' and '-'"
        }
    });
    of_file(file, reason, fault.place, fault.message.clone(), hint)
}

fn all(file: &str, documents: Vec<Node>) -> Result<Manifests, Vec<ManifestError>> {
    let mut found = Manifests::default();
    let mut errors = Vec::new();
    for node in documents {
        for origin in flat(Origin { file: file.into(), node: Arc::new(node), within: FieldPath::default() }) {
            match one(&origin) {
                Ok(One::Pod(pod)) => {
                    errors.extend(twin(&found.pods, &pod));
                    found.pods.push(*pod);
                }
                Ok(One::Object(object, warnings)) => {
                    if found.objects.iter().any(|other| other.id == object.id) {
                        let path = FieldPath::default().key("metadata").key("name");
                        let finding = Finding::new(Reason::Duplicate, &path, format!("{} is there already", object.id));
                        errors.push(origin.locate(finding.hint("give each its own name")));
                    }
                    found.objects.push(*object);
                    found.warnings.extend(warnings);
                }
                Ok(One::Nothing(warnings)) => found.warnings.extend(warnings),
                Err(more) => errors.extend(more),
            }
        }
    }
    errors.sort_by_key(|e| (e.line, e.column));
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The objects of a list, and of lists in it; whatever is no list is itself.
fn flat(origin: Origin) -> Vec<Origin> {
    if !kinds::is_list(&origin.node) {
        return vec![origin];
    }
    let items = origin.node.get("items").map(Node::items).unwrap_or_default().iter().enumerate();
    let path = origin.within.key("items");
    items
        .map(|(i, item)| Origin { file: origin.file.clone(), node: Arc::new(item.clone()), within: path.index(i) })
        .flat_map(flat)
        .collect()
}

fn twin(pods: &[ParsedPod], pod: &ParsedPod) -> Option<ManifestError> {
    let twin = pods.iter().find(|p| p.namespace == pod.namespace && p.name == pod.name)?;
    let path = FieldPath::default().key("metadata").key("name");
    let line = twin.origin.node.place_of(&path).line;
    let message = format!("the pod {}/{} is already there in line {line}", pod.namespace, pod.name);
    Some(pod.origin.locate(Finding::new(Reason::Duplicate, &path, message).hint("give each its own name")))
}

/// What one object is.
enum One {
    Pod(Box<ParsedPod>),
    Object(Box<Object>, Vec<ManifestError>),
    Nothing(Vec<ManifestError>),
}

fn one(origin: &Origin) -> Result<One, Vec<ManifestError>> {
    let mut found = Findings::default();
    match kinds::of(&origin.node, &mut found) {
        None => Err(origin.locate_all(found.errors)),
        Some(Kind::Pod) => {
            check::whole(&origin.node, "Pod", &mut found);
            pod(origin.clone(), found).map(|pod| One::Pod(Box::new(pod)))
        }
        Some(Kind::Object(kind)) => match object::parse(kind, &origin.node, &mut found) {
            Some(object) if found.errors.is_empty() => {
                Ok(One::Object(Box::new(object), origin.locate_all(found.warnings)))
            }
            Some(_) | None => Err(origin.locate_all(found.errors)),
        },
        Some(Kind::Workload(kind)) => workload(kind, origin, found),
        Some(Kind::WithoutEffect(why)) => {
            let message = format!("accepted without effect: {why}");
            let finding = Finding::new(Reason::UnsupportedKind, &FieldPath::default().key("kind"), message);
            Ok(One::Nothing(vec![origin.locate(finding)]))
        }
    }
}

/// The pod of a workload. What is found in the pod is told with the path of the template.
fn workload(kind: Workload, origin: &Origin, mut found: Findings) -> Result<One, Vec<ManifestError>> {
    check::whole(&origin.node, kind.type_name(), &mut found);
    if found.errors.iter().any(|e| e.reason == Reason::InvalidType) {
        return Err(origin.locate_all(found.errors));
    }
    let made = kind.pod(&origin.node, &mut found);
    let warnings = origin.locate_all(std::mem::take(&mut found.warnings));
    let mut errors = origin.locate_all(std::mem::take(&mut found.errors));
    let Some(node) = made else {
        return if errors.is_empty() { Ok(One::Nothing(warnings)) } else { Err(errors) };
    };
    let within = origin.within.then(&Workload::template());
    match pod(Origin { file: origin.file.clone(), node: Arc::new(node), within }, found) {
        Ok(mut pod) if errors.is_empty() => {
            pod.warnings.extend(warnings);
            pod.warnings.sort_by_key(|e| (e.line, e.column));
            Ok(One::Pod(Box::new(pod)))
        }
        Ok(_) => Err(errors),
        Err(more) => {
            // What is wrong with a field is said once, by whoever looked first.
            let known: Vec<_> = errors.iter().map(|e| (e.line, e.column)).collect();
            errors.extend(more.into_iter().filter(|e| !known.contains(&(e.line, e.column))));
            Err(errors)
        }
    }
}

fn pod(origin: Origin, mut found: Findings) -> Result<ParsedPod, Vec<ManifestError>> {
    match typed(&origin.node, &mut found) {
        Some((pod, parts)) if found.errors.is_empty() => Ok(ParsedPod {
            namespace: parts.namespace,
            name: parts.name,
            labels: pod.metadata.labels.unwrap_or_default(),
            annotations: pod.metadata.annotations.unwrap_or_default(),
            restart_policy: parts.restart_policy,
            grace: parts.grace,
            priority: parts.priority,
            bears_memory_pressure: parts.bears_memory_pressure,
            active_deadline: parts.active_deadline,
            readiness_gates: parts.readiness_gates,
            depends_on: parts.depends_on,
            fs_group_policy: parts.fs_group_policy,
            resources: parts.resources,
            volumes: parts.volumes,
            service_account: parts.service_account,
            node_selector: parts.node_selector,
            containers: parts.containers,
            manifest: Manifest(origin.node.to_json().to_string()),
            warnings: origin.locate_all(found.warnings),
            origin,
        }),
        Some(_) | None => Err(origin.locate_all(found.errors)),
    }
}

/// Kubernetes' rules for the values, after the tables have been looked at.
fn typed(node: &Node, found: &mut Findings) -> Option<(v1::Pod, pod::Parts)> {
    if found.errors.iter().any(|e| e.reason == Reason::InvalidType) {
        return None;
    }
    match serde_path_to_error::deserialize::<_, v1::Pod>(node.to_json()) {
        Ok(typed) => {
            let parts = pod::parse(&typed, found)?;
            Some((typed, parts))
        }
        Err(e) => {
            let path = FieldPath::default().join(&e.path().to_string());
            let finding = Finding::new(Reason::InvalidType, &path, e.into_inner().to_string());
            found.error(finding.hint("compare with Kubernetes' description of this field"));
            None
        }
    }
}

/// Where a pod was read from, kept so that what is found out later can name file, line and column too.
#[derive(Clone)]
pub(crate) struct Origin {
    file: Arc<str>,
    node: Arc<Node>,
    /// Where it stands in the object or list that the file holds.
    within: FieldPath,
}

impl Origin {
    fn locate_all(&self, findings: Vec<Finding>) -> Vec<ManifestError> {
        let mut located: Vec<_> = findings.into_iter().map(|finding| self.locate(finding)).collect();
        located.sort_by_key(|e| (e.line, e.column));
        located
    }

    pub(crate) fn locate(&self, finding: Finding) -> ManifestError {
        let Place { line, column } = finding.place.unwrap_or_else(|| self.node.place_of(&finding.field));
        let field = self.within.then(&finding.field).to_string();
        let Finding { reason, message, hint, .. } = finding;
        ManifestError { reason, file: self.file.to_string(), line, column, field, message, hint }
    }

    /// The path of the variable `name` in the list of variables at `env`, or `env` itself.
    pub(crate) fn variable(&self, env: &FieldPath, name: &str) -> FieldPath {
        let at = |i: usize| env.index(i);
        let named = |i: &usize| self.node.text_of(&at(*i).key("name")) == Some(name);
        (0..self.node.length_of(env)).rfind(named).map_or_else(|| env.clone(), at)
    }
}

impl fmt::Debug for Origin {
    /// The object may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("file", &self.file).finish_non_exhaustive()
    }
}
