//! ConfigMaps, Secrets, claims and volumes: from values with places to checked objects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barepod_model::{Contents, HostPathType, Manifest, Reason, VolumeKind};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use k8s_openapi::api::core::v1;

use crate::check;
use crate::error::{Finding, Findings};
use crate::objects::{Object, ObjectBody, ObjectKind, ObjectRef};
use crate::place::FieldPath;
use crate::yaml::Node;
use crate::{names, paths, volumes};

impl ObjectKind {
    /// The name of its type in the tables.
    fn type_name(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
            ObjectKind::PersistentVolumeClaim => "PersistentVolumeClaim",
            ObjectKind::PersistentVolume => "PersistentVolume",
            ObjectKind::ServiceAccount => "ServiceAccount",
        }
    }

    fn has_namespace(self) -> bool {
        match self {
            ObjectKind::PersistentVolume => false,
            ObjectKind::ConfigMap
            | ObjectKind::Secret
            | ObjectKind::PersistentVolumeClaim
            | ObjectKind::ServiceAccount => true,
        }
    }
}

/// Reads an object of this kind. Its values are never in what is found: they may be secret.
pub(crate) fn parse(kind: ObjectKind, node: &Node, out: &mut Findings) -> Option<Object> {
    check::whole(node, kind.type_name(), out);
    if out.errors.iter().any(|e| e.reason == Reason::InvalidType) {
        return None;
    }
    let id = id(kind, node, out);
    let body = match kind {
        ObjectKind::ConfigMap => Some(config_map(node, out)),
        ObjectKind::Secret => Some(secret(node, out)),
        ObjectKind::PersistentVolumeClaim => claim(node, out),
        ObjectKind::PersistentVolume => volume(node, out),
        ObjectKind::ServiceAccount => Some(ObjectBody::Nothing),
    };
    let immutable = node.get("immutable").is_some_and(|flag| flag.value == crate::yaml::Value::Bool(true));
    Some(Object { id: id?, body: body?, immutable, manifest: Manifest(node.to_json().to_string()) })
}

fn id(kind: ObjectKind, node: &Node, out: &mut Findings) -> Option<ObjectRef> {
    let path = FieldPath::default().key("metadata");
    let text = |key| node.at(&["metadata", key]).and_then(Node::text).filter(|text| !text.is_empty());
    for (field, check) in [("labels", names::labels as fn(&_, &_, &mut _)), ("annotations", names::annotations)] {
        let map = node.at(&["metadata", field]).map(Node::texts).unwrap_or_default();
        check(&map, &path.key(field), out);
    }
    let Some(name) = text("name") else {
        let finding = Finding::new(Reason::MissingField, &path.key("name"), "this field is required");
        out.error(finding.hint("give the object a name"));
        return None;
    };
    let name = out.take(names::subdomain(name, &path.key("name")))?;
    let namespace = match (kind.has_namespace(), text("namespace")) {
        (true, namespace) => out.take(names::label(namespace.unwrap_or("default"), &path.key("namespace")))?,
        (false, None) => String::new(),
        (false, Some(_)) => {
            let message = format!("a {} has no namespace", kind.type_name());
            out.error(Finding::new(Reason::InvalidValue, &path.key("namespace"), message).hint("remove it"));
            return None;
        }
    };
    Some(ObjectRef { kind, namespace, name })
}

fn config_map(node: &Node, out: &mut Findings) -> ObjectBody {
    let data = plain(node, "data", out);
    let binary = decoded(node, "binaryData", out);
    for key in binary.keys().filter(|key| data.contains_key(*key)) {
        let path = FieldPath::default().key("binaryData").key(key);
        out.error(Finding::new(Reason::Duplicate, &path, "data has this key too").hint("give each its own key"));
    }
    ObjectBody::ConfigMap { data, binary }
}

/// `stringData` is written over `data`, as the API server does.
fn secret(node: &Node, out: &mut Findings) -> ObjectBody {
    let mut data = decoded(node, "data", out);
    data.extend(plain(node, "stringData", out));
    secret_type(node, &data, out);
    ObjectBody::Secret(data)
}

/// Kubernetes' rules for the types it knows (`ValidateSecret`).
fn secret_type(node: &Node, data: &BTreeMap<String, Contents>, out: &mut Findings) {
    let kind = node.get("type").and_then(Node::text).unwrap_or_default();
    let wanted: &[&str] = match kind {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/basic-auth" if !data.contains_key("password") => &["username"],
        _any_other => &[],
    };
    for key in wanted.iter().filter(|key| !data.contains_key(**key)) {
        let path = FieldPath::default().key("data").key(*key);
        let finding = Finding::new(Reason::MissingField, &path, format!("a Secret of type {kind} has this key"));
        out.error(finding.hint("add it, or use the type Opaque"));
    }
    if let Some(json) = wanted.iter().find(|key| key.starts_with(".docker")).and_then(|key| data.get(*key))
        && serde_json::from_slice::<serde::de::IgnoredAny>(&json.0).is_err()
    {
        let field = if node.get("stringData").is_some() { "stringData" } else { "data" };
        let finding = Finding::new(Reason::InvalidValue, &FieldPath::default().key(field), "its value is not JSON");
        out.error(finding.hint("write what docker login has written"));
    }
}

fn plain(node: &Node, field: &str, out: &mut Findings) -> BTreeMap<String, Contents> {
    entries(node, field, out).into_iter().map(|(key, text)| (key, Contents(text.into_bytes()))).collect()
}

fn decoded(node: &Node, field: &str, out: &mut Findings) -> BTreeMap<String, Contents> {
    let mut found = BTreeMap::new();
    for (key, mut text) in entries(node, field, out) {
        text.retain(|c| c != '\n' && c != '\r');
        match BASE64_STANDARD.decode(text) {
            Ok(bytes) => drop(found.insert(key, Contents(bytes))),
            Err(_) => {
                let path = FieldPath::default().key(field).key(&key);
                let hint = match field {
                    "data" => "encode it with base64, or write it as it is under stringData",
                    _ => "encode it with base64, or write it as it is under data",
                };
                out.error(Finding::new(Reason::InvalidValue, &path, "its value is not base64").hint(hint));
            }
        }
    }
    found
}

fn entries(node: &Node, field: &str, out: &mut Findings) -> BTreeMap<String, String> {
    let entries = node.get(field).map(Node::texts).unwrap_or_default();
    for key in entries.keys() {
        names::data_key(key, &FieldPath::default().key(field).key(key), out);
    }
    entries
}

fn claim(node: &Node, out: &mut Findings) -> Option<ObjectBody> {
    let path = FieldPath::default().key("spec");
    if node.at(&["spec", "volumeMode"]).and_then(Node::text) == Some("Block") {
        let finding = Finding::new(Reason::UnsupportedField, &path.key("volumeMode"), "a claim is a directory here");
        out.error(finding.hint("write Filesystem or remove it"));
    }
    let (one_pod, read_only) = access_modes(node, &path.key("accessModes"), out);
    let Some(volume) = node.at(&["spec", "volumeName"]).and_then(Node::text).filter(|name| !name.is_empty()) else {
        return Some(ObjectBody::Claim { volume: None, one_pod, read_only });
    };
    let volume = Some(out.take(names::subdomain(volume, &path.key("volumeName")))?);
    Some(ObjectBody::Claim { volume, one_pod, read_only })
}

/// Whether a claim is one pod's, and whether nobody may write to it. On one host the other modes are all the same.
fn access_modes(node: &Node, path: &FieldPath, out: &mut Findings) -> (bool, bool) {
    let modes = node.at(&["spec", "accessModes"]).map(Node::items).unwrap_or_default();
    let modes: Vec<&str> = modes.iter().filter_map(Node::text).collect();
    for (i, mode) in modes.iter().enumerate() {
        if !matches!(*mode, "ReadWriteOnce" | "ReadOnlyMany" | "ReadWriteMany" | "ReadWriteOncePod") {
            let finding = Finding::new(Reason::InvalidValue, &path.index(i), format!("there is no mode {mode:?}"));
            out.error(finding.hint("use ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod"));
        }
    }
    let one_pod = modes.contains(&"ReadWriteOncePod");
    if one_pod && modes.len() > 1 {
        let finding = Finding::new(Reason::InvalidValue, path, "ReadWriteOncePod stands alone");
        out.error(finding.hint("remove the other modes"));
    }
    (one_pod, modes == ["ReadOnlyMany"])
}

fn volume(node: &Node, out: &mut Findings) -> Option<ObjectBody> {
    let spec = FieldPath::default().key("spec");
    let local = node.at(&["spec", "local", "path"]).and_then(Node::text);
    let host = node.at(&["spec", "hostPath"]);
    match (local, host) {
        (Some(local), None) => {
            let path = out.take(paths::absolute(local, &spec.key("local").key("path")))?;
            Some(ObjectBody::Volume { path, kind: HostPathType::Directory })
        }
        (None, Some(host)) => {
            let typed: v1::HostPathVolumeSource = serde_json::from_value(host.to_json()).ok()?;
            match volumes::host_path(&typed, &spec.key("hostPath"), out)? {
                VolumeKind::HostPath { path, kind } => Some(ObjectBody::Volume { path, kind }),
                VolumeKind::EmptyDir { .. } | VolumeKind::Claim { .. } | VolumeKind::Projected(_) => None,
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            let finding = Finding::new(Reason::MissingField, &spec, "a volume is somewhere on this host");
            out.error(finding.hint("give one of local and hostPath"));
            None
        }
    }
}

/// Where a claim with a volume lies.
pub(crate) fn bound(body: Option<&ObjectBody>) -> Option<(PathBuf, HostPathType)> {
    match body? {
        ObjectBody::Volume { path, kind } => Some((path.clone(), *kind)),
        ObjectBody::ConfigMap { .. } | ObjectBody::Secret(_) | ObjectBody::Claim { .. } | ObjectBody::Nothing => None,
    }
}
