//! Volumes and where containers mount them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use barepod_model::{HostPathType, HugePageSize, MountPropagation, Reason, VolumeKind, VolumeMount};
use k8s_openapi::api::core::v1;

use crate::check::nearest;
use crate::error::{Finding, Findings};
use crate::expand::{expand, unknown_names};
use crate::place::FieldPath;
use crate::projections::Projection;
use crate::{names, paths, resources};

/// A volume as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedVolume {
    pub(crate) name: String,
    pub(crate) kind: ParsedKind,
    pub(crate) path: FieldPath,
    /// An emptyDir of huge pages that names no size.
    pub(crate) any_huge_page_size: bool,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParsedKind {
    /// Nothing has to be looked up.
    Known(VolumeKind),
    /// Where a claim lies may be said by other objects.
    Claim { claim: String, read_only: bool },
    /// Made from objects and the pod itself.
    Projection(Projection),
}

impl ParsedKind {
    /// Whether it shows tokens of the pod's service account.
    pub(crate) fn has_tokens(&self) -> bool {
        match self {
            ParsedKind::Projection(projection) => projection.has_tokens(),
            ParsedKind::Known(_) | ParsedKind::Claim { .. } => false,
        }
    }

    /// The claim that it is.
    pub(crate) fn claim(&self) -> Option<&str> {
        match self {
            ParsedKind::Claim { claim, .. } => Some(claim),
            ParsedKind::Known(_) | ParsedKind::Projection(_) => None,
        }
    }
}

/// Reads `spec.volumes`.
pub(crate) fn volumes(from: &[v1::Volume], path: &FieldPath, out: &mut Findings) -> Vec<ParsedVolume> {
    let mut seen = BTreeSet::new();
    let mut volumes = Vec::new();
    for (i, volume) in from.iter().enumerate() {
        let path = path.index(i);
        let name = out.take(names::label(&volume.name, &path.key("name")));
        if !seen.insert(volume.name.as_str()) {
            let message = format!("there is another volume named {:?}", volume.name);
            out.error(Finding::new(Reason::Duplicate, &path.key("name"), message).hint("give each its own name"));
        }
        if let (Some(name), Some(kind)) = (name, kind(volume, &path, out)) {
            let any_huge_page_size =
                volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref() == Some("HugePages"));
            volumes.push(ParsedVolume { name, kind, path, any_huge_page_size });
        }
    }
    volumes
}

fn kind(from: &v1::Volume, path: &FieldPath, out: &mut Findings) -> Option<ParsedKind> {
    let sources = [
        from.empty_dir.as_ref().map(|_| "emptyDir"),
        from.host_path.as_ref().map(|_| "hostPath"),
        from.persistent_volume_claim.as_ref().map(|_| "persistentVolumeClaim"),
        from.config_map.as_ref().map(|_| "configMap"),
        from.secret.as_ref().map(|_| "secret"),
        from.downward_api.as_ref().map(|_| "downwardAPI"),
        from.projected.as_ref().map(|_| "projected"),
    ];
    if sources.iter().flatten().count() > 1 {
        let message = format!(
            "a volume is one thing, this one is {}",
            sources.into_iter().flatten().collect::<Vec<_>>().join(" and ")
        );
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("make two volumes of it"));
        return None;
    }
    if let Some(from) = &from.host_path {
        return host_path(from, &path.key("hostPath"), out).map(ParsedKind::Known);
    }
    if let Some(from) = &from.persistent_volume_claim {
        let path = path.key("persistentVolumeClaim").key("claimName");
        let claim = out.take(names::subdomain(&from.claim_name, &path))?;
        return Some(ParsedKind::Claim { claim, read_only: from.read_only.unwrap_or_default() });
    }
    if let Some(projection) = projection(from, path, out) {
        return projection.map(ParsedKind::Projection);
    }
    // A volume without a source is an emptyDir: Kubernetes' own default.
    empty_dir(from.empty_dir.as_ref(), &path.key("emptyDir"), out).map(ParsedKind::Known)
}

/// A volume of made files; `Some(None)` if it is one and cannot be read.
fn projection(from: &v1::Volume, path: &FieldPath, out: &mut Findings) -> Option<Option<Projection>> {
    if let Some(from) = &from.config_map {
        return Some(Projection::config_map(from, &path.key("configMap"), out));
    }
    if let Some(from) = &from.secret {
        return Some(Projection::secret(from, &path.key("secret"), out));
    }
    if let Some(from) = &from.downward_api {
        return Some(Some(Projection::downward(from, &path.key("downwardAPI"), out)));
    }
    from.projected.as_ref().map(|from| Some(Projection::projected(from, &path.key("projected"), out)))
}

fn empty_dir(from: Option<&v1::EmptyDirVolumeSource>, path: &FieldPath, out: &mut Findings) -> Option<VolumeKind> {
    let Some(from) = from else {
        return Some(VolumeKind::EmptyDir { memory: false, huge_pages: None, size_limit: None });
    };
    let (memory, huge_pages) = match from.medium.as_deref().unwrap_or_default() {
        "" => (false, None),
        "Memory" => (true, None),
        "HugePages" | "HugePages-2Mi" => (false, Some(HugePageSize::TwoMi)),
        "HugePages-1Gi" => (false, Some(HugePageSize::OneGi)),
        other => {
            let message = format!("there is no medium {other:?} here");
            out.error(
                Finding::new(Reason::InvalidValue, &path.key("medium"), message)
                    .hint("use Memory, HugePages, HugePages-2Mi, HugePages-1Gi, or remove it"),
            );
            return None;
        }
    };
    let size_limit = match &from.size_limit {
        None => None,
        Some(quantity) => Some(resources::quantity(&quantity.0, &path.key("sizeLimit"), out)?),
    };
    Some(VolumeKind::EmptyDir { memory, huge_pages, size_limit })
}

/// Reads a `hostPath`, of a pod or of a PersistentVolume.
pub(crate) fn host_path(from: &v1::HostPathVolumeSource, path: &FieldPath, out: &mut Findings) -> Option<VolumeKind> {
    let kind = match from.type_.as_deref().unwrap_or_default() {
        "" => HostPathType::Unset,
        "DirectoryOrCreate" => HostPathType::DirectoryOrCreate,
        "Directory" => HostPathType::Directory,
        "FileOrCreate" => HostPathType::FileOrCreate,
        "File" => HostPathType::File,
        "Socket" => HostPathType::Socket,
        "CharDevice" => HostPathType::CharDevice,
        "BlockDevice" => HostPathType::BlockDevice,
        other => {
            let finding = Finding::new(Reason::InvalidValue, &path.key("type"), format!("there is no type {other:?}"));
            out.error(
                finding.hint("use DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice or BlockDevice"),
            );
            return None;
        }
    };
    let path = out.take(paths::absolute(&from.path, &path.key("path")))?;
    Some(VolumeKind::HostPath { path, kind })
}

/// Reads a container's `volumeMounts`, parents before what lies below them.
pub(crate) fn mounts(
    from: &[v1::VolumeMount],
    volumes: &[v1::Volume],
    known: &Known<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Vec<VolumeMount> {
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut mounts = Vec::new();
    for (i, from) in from.iter().enumerate() {
        let Some(mount) = mount(from, volumes, known, &path.index(i), out) else { continue };
        if !seen.insert(mount.path.clone()) {
            let message = format!("another volume is already mounted at {}", mount.path.display());
            let path = path.index(i).key("mountPath");
            out.error(Finding::new(Reason::Duplicate, &path, message).hint("give each its own path"));
        }
        mounts.push(mount);
    }
    mounts.sort_by_key(|m| m.path.components().count());
    mounts
}

fn mount(
    from: &v1::VolumeMount,
    volumes: &[v1::Volume],
    known: &Known<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<VolumeMount> {
    if !volumes.iter().any(|v| v.name == from.name) {
        let message = format!("the pod has no volume {:?}", from.name);
        let finding = Finding::new(Reason::UnknownVolume, &path.key("name"), message);
        let hint = nearest(&from.name, volumes.iter().map(|v| v.name.as_str()));
        out.error(finding.hint(hint.map_or("add it to spec.volumes".to_owned(), |n| format!("did you mean {n:?}?"))));
    }
    let mount_path = out.take(paths::absolute(&from.mount_path, &path.key("mountPath")))?;
    if mount_path == Path::new("/") {
        let finding =
            Finding::new(Reason::InvalidValue, &path.key("mountPath"), "a volume cannot take the place of '/'");
        out.error(finding.hint("mount it below"));
    }
    let (sub_path, sub_path_expr) = sub_path(from, known, path, out)?;
    let propagation = propagation(from, volumes, known, path, out);
    Some(VolumeMount {
        volume: from.name.clone(),
        path: mount_path,
        sub_path,
        sub_path_expr,
        read_only: from.read_only.unwrap_or_default(),
        recursive_read_only: recursive_read_only(from, propagation, path, out),
        propagation,
    })
}

/// `subPath`, or `subPathExpr`, whose variables are looked up later ([`expanded`]).
fn sub_path(
    from: &v1::VolumeMount,
    known: &Known<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<(PathBuf, Option<String>)> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(&from.sub_path), given(&from.sub_path_expr)) {
        (None, None) => Some((PathBuf::new(), None)),
        (Some(plain), None) => Some((out.take(paths::relative(&plain, &path.key("subPath")))?, None)),
        (Some(_), Some(_)) => {
            let finding =
                Finding::new(Reason::InvalidValue, &path.key("subPathExpr"), "it cannot stand beside subPath");
            out.error(finding.hint("remove one of them"));
            None
        }
        (None, Some(expression)) => {
            let path = path.key("subPathExpr");
            let unknown = unknown_names(&expression, known.env);
            if let (Some(name), false) = (unknown.first(), known.others) {
                let message = format!("the container has no variable {name:?}");
                let hint = "add it to the container's env, or write $$ for a dollar sign";
                out.error(Finding::new(Reason::InvalidValue, &path, message).hint(hint));
                return None;
            }
            // What is wrong without any variable is wrong with them.
            out.take(paths::relative(&expression, &path))?;
            Some((PathBuf::new(), Some(expression)))
        }
    }
}

/// What the variables of an expression make of it, or what is wrong with that.
pub(crate) fn expanded(expression: &str, env: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    if let Some(name) = unknown_names(expression, env).first() {
        return Err(format!("subPathExpr {expression:?}: the container has no variable {name:?}"));
    }
    let text = expand(expression, env);
    paths::relative(&text, &FieldPath::default())
        .map_err(|finding| format!("subPathExpr {expression:?} yields {text:?}: {}", finding.message))
}

/// Variables that can be named.
pub(crate) struct Known<'a> {
    /// Those that are listed.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Others may come from `envFrom`.
    pub(crate) others: bool,
    /// The container is privileged.
    pub(crate) privileged: bool,
}

fn propagation(
    from: &v1::VolumeMount,
    volumes: &[v1::Volume],
    known: &Known<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> MountPropagation {
    let path = path.key("mountPropagation");
    let refuse = |message: String, hint: &str| Finding::new(Reason::InvalidValue, &path, message).hint(hint);
    match from.mount_propagation.as_deref() {
        None | Some("" | "None") => MountPropagation::None,
        Some("HostToContainer") => MountPropagation::HostToContainer,
        Some("Bidirectional") => {
            let lasts = |volume: &v1::Volume| volume.host_path.is_some() || volume.persistent_volume_claim.is_some();
            let hint = "use HostToContainer, which shows what the host mounts";
            if !known.privileged {
                out.error(refuse("only a privileged container may mount on the host".to_owned(), hint));
            } else if volumes.iter().any(|volume| volume.name == from.name && !lasts(volume)) {
                let message = "what is mounted below a volume that goes with its pod would be in the way of that";
                out.error(refuse(message.to_owned(), "use a hostPath or a claim"));
            }
            MountPropagation::Bidirectional
        }
        Some(other) => {
            let hint = "use None, HostToContainer or Bidirectional";
            out.error(refuse(format!("there is no propagation {other:?}"), hint));
            MountPropagation::None
        }
    }
}

/// Every kernel that barepod runs on can do it, so `IfPossible` is the same as `Enabled`.
fn recursive_read_only(
    from: &v1::VolumeMount,
    propagation: MountPropagation,
    path: &FieldPath,
    out: &mut Findings,
) -> bool {
    let path = path.key("recursiveReadOnly");
    let mut refuse = |message: String, hint: &str| {
        out.error(Finding::new(Reason::InvalidValue, &path, message).hint(hint));
    };
    match from.recursive_read_only.as_deref() {
        None | Some("" | "Disabled") => return false,
        Some("IfPossible" | "Enabled") => {}
        Some(other) => refuse(format!("there is no such thing as {other:?}"), "use Disabled, IfPossible or Enabled"),
    }
    if from.read_only != Some(true) {
        refuse("it needs readOnly: true".to_owned(), "set readOnly, or remove it");
    } else if propagation != MountPropagation::None {
        refuse("it cannot stand beside mountPropagation".to_owned(), "remove one of them");
    }
    true
}
