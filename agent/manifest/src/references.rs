//! References to fields of the pod, to resources, and to keys of other objects, as variables and volumes make them.

use std::fmt;

use barepod_model::Reason;
use k8s_openapi::api::core::v1;

use crate::check::nearest;
use crate::error::{Finding, Findings};
use crate::names;
use crate::objects::ObjectKind;
use crate::place::FieldPath;

/// A field of the pod (`core/v1.ObjectFieldSelector`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldRef {
    Name,
    Namespace,
    Uid,
    /// All of them; volumes only.
    Labels,
    /// All of them; volumes only.
    Annotations,
    Label(String),
    Annotation(String),
    NodeName,
    ServiceAccountName,
    HostIp,
    HostIps,
    PodIp,
    PodIps,
}

/// A request or limit of a container (`core/v1.ResourceFieldSelector`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRef {
    /// Another one than that which asks.
    pub(crate) container: Option<String>,
    pub(crate) resource: Resource,
    /// In thousandths.
    pub(crate) divisor: u128,
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    CpuLimit,
    CpuRequest,
    MemoryLimit,
    MemoryRequest,
    StorageLimit,
    StorageRequest,
}

/// A key of a ConfigMap or Secret, or, without a key, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectKeyRef {
    pub(crate) kind: ObjectKind,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) optional: bool,
}

impl fmt::Display for ObjectKeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        if let Some(key) = &self.key {
            write!(f, "/{key}")?;
        }
        if self.optional { f.write_str(" optional") } else { Ok(()) }
    }
}

/// Who asks: variables may ask for more than volumes, and volumes for all labels at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Variable,
    Volume,
}

const IN_BOTH: [(&str, FieldRef); 3] =
    [("metadata.name", FieldRef::Name), ("metadata.namespace", FieldRef::Namespace), ("metadata.uid", FieldRef::Uid)];
const IN_VARIABLES: [(&str, FieldRef); 6] = [
    ("spec.nodeName", FieldRef::NodeName),
    ("spec.serviceAccountName", FieldRef::ServiceAccountName),
    ("status.hostIP", FieldRef::HostIp),
    ("status.hostIPs", FieldRef::HostIps),
    ("status.podIP", FieldRef::PodIp),
    ("status.podIPs", FieldRef::PodIps),
];
const IN_VOLUMES: [(&str, FieldRef); 2] =
    [("metadata.labels", FieldRef::Labels), ("metadata.annotations", FieldRef::Annotations)];

/// Reads a `fieldRef`.
pub(crate) fn field(
    from: &v1::ObjectFieldSelector,
    asker: Asker,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<FieldRef> {
    if from.api_version.as_deref().is_some_and(|version| !matches!(version, "" | "v1")) {
        let finding = Finding::new(Reason::InvalidValue, &path.key("apiVersion"), "fields are those of v1");
        out.error(finding.hint("write v1 or remove it"));
    }
    let path = path.key("fieldPath");
    let written = from.field_path.as_str();
    if let Some((map, key)) = written.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        return entry(map, key, &path, out);
    }
    let own: &[_] = if asker == Asker::Variable { &IN_VARIABLES } else { &IN_VOLUMES };
    let known = || IN_BOTH.iter().chain(own);
    if let Some((_, field)) = known().find(|(name, _)| *name == written) {
        return Some(field.clone());
    }
    let finding =
        Finding::new(Reason::InvalidValue, &path, format!("{written:?} is no field that can be asked for here"));
    let entries = "metadata.labels['KEY'], metadata.annotations['KEY']";
    out.error(finding.hint(match nearest(written, known().map(|(name, _)| *name)) {
        Some(name) => format!("did you mean {name:?}?"),
        None => {
            let names: Vec<_> = known().map(|(name, _)| *name).collect();
            format!("use one of {}, {entries}", names.join(", "))
        }
    }));
    None
}

fn entry(map: &str, key: &str, path: &FieldPath, out: &mut Findings) -> Option<FieldRef> {
    let found = match map {
        "metadata.labels" => FieldRef::Label(key.to_owned()),
        "metadata.annotations" => FieldRef::Annotation(key.to_owned()),
        other => {
            let finding = Finding::new(Reason::InvalidValue, path, format!("{other:?} has no entries to ask for"));
            out.error(finding.hint("use metadata.labels['KEY'] or metadata.annotations['KEY']"));
            return None;
        }
    };
    names::label_key(&key.to_lowercase(), path, out);
    Some(found)
}

const RESOURCES: [(&str, Resource); 6] = [
    ("limits.cpu", Resource::CpuLimit),
    ("requests.cpu", Resource::CpuRequest),
    ("limits.memory", Resource::MemoryLimit),
    ("requests.memory", Resource::MemoryRequest),
    ("limits.ephemeral-storage", Resource::StorageLimit),
    ("requests.ephemeral-storage", Resource::StorageRequest),
];

/// Divisors that Kubernetes takes, in thousandths.
const CPU_DIVISORS: [(&str, u128); 2] = [("1", 1000), ("1m", 1)];
const BYTE_DIVISORS: [(&str, u128); 13] = [
    ("1", 1000),
    ("1k", 1_000_000),
    ("1M", 1_000_000_000),
    ("1G", 1_000_000_000_000),
    ("1T", 1_000_000_000_000_000),
    ("1P", 1_000_000_000_000_000_000),
    ("1E", 1_000_000_000_000_000_000_000),
    ("1Ki", 1000 << 10),
    ("1Mi", 1000 << 20),
    ("1Gi", 1000 << 30),
    ("1Ti", 1000 << 40),
    ("1Pi", 1000 << 50),
    ("1Ei", 1000 << 60),
];

/// Reads a `resourceFieldRef`. Whether the container is there is checked by the caller, who knows all of them.
pub(crate) fn resource(from: &v1::ResourceFieldSelector, path: &FieldPath, out: &mut Findings) -> Option<ResourceRef> {
    let container = from.container_name.clone().filter(|name| !name.is_empty());
    let Some((name, resource)) = RESOURCES.iter().find(|(name, _)| *name == from.resource) else {
        let message = format!("{:?} is no resource that can be asked for", from.resource);
        let finding = Finding::new(Reason::InvalidValue, &path.key("resource"), message);
        let names: Vec<_> = RESOURCES.iter().map(|(name, _)| *name).collect();
        out.error(finding.hint(format!("use one of {}", names.join(", "))));
        return None;
    };
    let known: &[_] = if name.ends_with("cpu") { &CPU_DIVISORS } else { &BYTE_DIVISORS };
    let written = from.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let written = if matches!(written, "" | "0") { "1" } else { written };
    let Some((_, divisor)) = known.iter().find(|(name, _)| *name == written) else {
        let finding =
            Finding::new(Reason::InvalidValue, &path.key("divisor"), format!("{written:?} is no divisor of {name}"));
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        out.error(finding.hint(format!("use one of {}", names.join(", "))));
        return None;
    };
    Some(ResourceRef { container, resource: *resource, divisor: *divisor })
}

/// Reads the name and key of another object.
pub(crate) fn object_key(
    kind: ObjectKind,
    name: &str,
    key: Option<&str>,
    optional: Option<bool>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<ObjectKeyRef> {
    let name = out.take(names::subdomain(name, &path.key("name")));
    if let Some(key) = key {
        names::data_key(key, &path.key("key"), out);
    }
    Some(ObjectKeyRef { kind, name: name?, key: key.map(str::to_owned), optional: optional.unwrap_or_default() })
}
