//! A file to the Pods in it.

use std::fmt;
use std::sync::Arc;

use barepod_model::{Manifest, Reason};
use k8s_openapi::api::core::v1;

use crate::check;
use crate::error::{Finding, Findings, ManifestError};
use crate::place::{FieldPath, Place};
use crate::pod::{self, ParsedPod};
use crate::yaml::{self, Fault, FaultKind, Node, Value};

/// Reads the Pods in a file. `file` is only what errors call it.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines; never empty.
pub fn read(file: &str, text: &str) -> Result<Vec<ParsedPod>, Vec<ManifestError>> {
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

fn all(file: &str, documents: Vec<Node>) -> Result<Vec<ParsedPod>, Vec<ManifestError>> {
    let mut pods: Vec<ParsedPod> = Vec::new();
    let mut errors = Vec::new();
    for node in documents {
        match one(Origin { file: file.into(), node: Arc::new(node) }) {
            Ok(pod) => {
                errors.extend(twin(&pods, &pod));
                pods.push(pod);
            }
            Err(found) => errors.extend(found),
        }
    }
    errors.sort_by_key(|e| (e.line, e.column));
    if errors.is_empty() { Ok(pods) } else { Err(errors) }
}

fn twin(pods: &[ParsedPod], pod: &ParsedPod) -> Option<ManifestError> {
    let twin = pods.iter().find(|p| p.namespace == pod.namespace && p.name == pod.name)?;
    let path = FieldPath::default().key("metadata").key("name");
    let line = twin.origin.node.place_of(&path).line;
    let message = format!("the pod {}/{} is already there in line {line}", pod.namespace, pod.name);
    Some(pod.origin.locate(Finding::new(Reason::Duplicate, &path, message).hint("give each its own name")))
}

fn one(origin: Origin) -> Result<ParsedPod, Vec<ManifestError>> {
    let mut found = Findings::default();
    let parts = if is_pod(&origin.node, &mut found) { checked(&origin.node, &mut found) } else { None };
    let locate = |findings: Vec<Finding>| -> Vec<ManifestError> {
        let mut located: Vec<_> = findings.into_iter().map(|f| origin.locate(f)).collect();
        located.sort_by_key(|e| (e.line, e.column));
        located
    };
    match parts {
        Some((pod, parts)) if found.errors.is_empty() => Ok(ParsedPod {
            namespace: parts.namespace,
            name: parts.name,
            labels: pod.metadata.labels.unwrap_or_default(),
            annotations: pod.metadata.annotations.unwrap_or_default(),
            restart_policy: parts.restart_policy,
            grace: parts.grace,
            active_deadline: parts.active_deadline,
            depends_on: parts.depends_on,
            fs_group_policy: parts.fs_group_policy,
            volumes: parts.volumes,
            containers: parts.containers,
            manifest: Manifest(origin.node.to_json().to_string()),
            warnings: locate(found.warnings),
            origin: origin.clone(),
        }),
        _ => Err(locate(found.errors)),
    }
}

/// Checks against the tables, then by Kubernetes' rules for the values.
fn checked(node: &Node, found: &mut Findings) -> Option<(v1::Pod, pod::Parts)> {
    check::pod(node, found);
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

/// Whether the object says that it is a Pod of API version v1.
fn is_pod(node: &Node, found: &mut Findings) -> bool {
    let root = FieldPath::default();
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("a Kubernetes object is a map, this is {}", node.kind());
        found.error(Finding::new(Reason::InvalidType, &root, message).hint("begin with apiVersion: v1 and kind: Pod"));
        return false;
    }
    let version = expect_text(node, "apiVersion", "v1", found);
    expect_text(node, "kind", "Pod", found) && version
}

fn expect_text(node: &Node, key: &str, wanted: &str, found: &mut Findings) -> bool {
    let path = FieldPath::default().key(key);
    let hint = format!("write {key}: {wanted}");
    match node.get(key).map(|n| &n.value) {
        Some(Value::Text(text)) if text == wanted => return true,
        Some(Value::Text(text)) => {
            let message = format!("barepod takes {key} {wanted:?}, not {text:?}");
            found.error(Finding::new(Reason::UnsupportedKind, &path, message).hint(hint));
        }
        None | Some(Value::Null) => {
            found.error(Finding::new(Reason::MissingField, &path, "this field is required").hint(hint));
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_)) => {
            found.error(Finding::new(Reason::InvalidType, &path, "expected a string").hint(hint));
        }
    }
    false
}

/// Where a pod was read from, kept so that what is found out later can name file, line and column too.
#[derive(Clone)]
pub(crate) struct Origin {
    file: Arc<str>,
    node: Arc<Node>,
}

impl Origin {
    pub(crate) fn locate(&self, finding: Finding) -> ManifestError {
        let Place { line, column } = finding.place.unwrap_or_else(|| self.node.place_of(&finding.field));
        let field = finding.field.to_string();
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
