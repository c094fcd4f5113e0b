//! Volumes made from ConfigMaps, Secrets and the pod itself, before and after they are looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barepod_model::{Contents, Projected, ProjectedFile, Reason, Resources};
use k8s_openapi::api::core::v1;

use crate::cluster::TokenRef;
use crate::context::Lookup;
use crate::error::{Finding, Findings};
use crate::objects::{ObjectBody, ObjectKind};
use crate::place::FieldPath;
use crate::references::{self, Asker, FieldRef, ObjectKeyRef, ResourceRef};
use crate::{names, paths};

/// Such a volume as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Projection {
    sources: Vec<Source>,
    default_mode: u32,
    in_memory: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// All keys of an object, or those that are listed.
    Object { object: ObjectKeyRef, items: Option<Vec<Item>> },
    /// Fields of the pod.
    Fields(Vec<FieldItem>),
    /// A token of the pod's service account.
    Token { token: TokenRef, path: PathBuf },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    key: String,
    path: PathBuf,
    mode: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldItem {
    path: PathBuf,
    mode: Option<u32>,
    value: FieldValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FieldValue {
    Field(FieldRef),
    Resource(ResourceRef),
}

/// Kubernetes' default.
const DEFAULT_MODE: u32 = 0o644;

type Files = BTreeMap<PathBuf, ProjectedFile>;

impl Projection {
    pub(crate) fn config_map(from: &v1::ConfigMapVolumeSource, path: &FieldPath, out: &mut Findings) -> Option<Self> {
        let items = items(from.items.as_deref(), &path.key("items"), out);
        let object = references::object_key(ObjectKind::ConfigMap, &from.name, None, from.optional, path, out)?;
        Some(Self::of(Source::Object { object, items }, default_mode(from.default_mode, path, out), false))
    }

    pub(crate) fn secret(from: &v1::SecretVolumeSource, path: &FieldPath, out: &mut Findings) -> Option<Self> {
        let items = items(from.items.as_deref(), &path.key("items"), out);
        let Some(name) = from.secret_name.as_deref().filter(|name| !name.is_empty()) else {
            let finding = Finding::new(Reason::MissingField, &path.key("secretName"), "this field is required");
            out.error(finding.hint("name the Secret"));
            return None;
        };
        let name = out.take(names::subdomain(name, &path.key("secretName")))?;
        let optional = from.optional.unwrap_or_default();
        let object = ObjectKeyRef { kind: ObjectKind::Secret, name, key: None, optional };
        Some(Self::of(Source::Object { object, items }, default_mode(from.default_mode, path, out), true))
    }

    pub(crate) fn downward(from: &v1::DownwardAPIVolumeSource, path: &FieldPath, out: &mut Findings) -> Self {
        let fields = fields(from.items.as_deref().unwrap_or_default(), &path.key("items"), out);
        Self::of(Source::Fields(fields), default_mode(from.default_mode, path, out), true)
    }

    pub(crate) fn projected(from: &v1::ProjectedVolumeSource, path: &FieldPath, out: &mut Findings) -> Self {
        let list = from.sources.iter().flatten().enumerate();
        let sources = list.filter_map(|(i, from)| source(from, &path.key("sources").index(i), out)).collect();
        let projection = Self { sources, default_mode: default_mode(from.default_mode, path, out), in_memory: true };
        projection.check_paths(path, out);
        projection
    }

    fn of(source: Source, default_mode: u32, in_memory: bool) -> Self {
        Self { sources: vec![source], default_mode, in_memory }
    }

    /// The objects it is made from.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectKeyRef> {
        self.sources.iter().filter_map(|source| match source {
            Source::Object { object, .. } => Some(object),
            Source::Fields(_) | Source::Token { .. } => None,
        })
    }

    /// Whether it shows tokens of the service account.
    pub(crate) fn has_tokens(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Token { .. }))
    }

    /// The containers whose resources it shows.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &str> {
        let fields = self.sources.iter().flat_map(|source| match source {
            Source::Object { .. } | Source::Token { .. } => &[][..],
            Source::Fields(fields) => fields,
        });
        fields.filter_map(|field| match &field.value {
            FieldValue::Resource(resource) => resource.container.as_deref(),
            FieldValue::Field(_) => None,
        })
    }

    /// Two sources must not fill one path, as far as that can be seen before they are looked up.
    fn check_paths(&self, path: &FieldPath, out: &mut Findings) {
        let mut seen: Vec<&Path> = Vec::new();
        let listed = self.sources.iter().flat_map(|source| match source {
            Source::Object { items, .. } => items.iter().flatten().map(|item| item.path.as_path()).collect::<Vec<_>>(),
            Source::Fields(fields) => fields.iter().map(|field| field.path.as_path()).collect(),
            Source::Token { path, .. } => vec![path.as_path()],
        });
        for file in listed {
            if let Some(other) = seen.iter().find(|other| overlap(other, file)) {
                let message = match *other == file {
                    true => format!("two sources fill {}", file.display()),
                    false => format!("{} and {} cannot both be files of it", other.display(), file.display()),
                };
                out.error(Finding::new(Reason::Duplicate, path, message).hint("give each its own path"));
            }
            seen.push(file);
        }
    }

    /// Looks everything up.
    pub(crate) fn resolve(&self, lookup: &Lookup<'_>) -> Projected {
        let mut files = Files::new();
        let mut missing = None;
        for source in &self.sources {
            if let Err(message) = self.collect(source, lookup, &mut files) {
                missing = missing.or(Some(message));
            }
        }
        missing = missing.or_else(|| conflict(&files));
        let files = if missing.is_some() { Vec::new() } else { files.into_values().collect() };
        Projected { files, in_memory: self.in_memory, missing }
    }

    fn collect(&self, source: &Source, lookup: &Lookup<'_>, files: &mut Files) -> Result<(), String> {
        let mut add = |path: &Path, contents: Contents, mode: Option<u32>| {
            let mode = mode.unwrap_or(self.default_mode);
            files.insert(path.to_owned(), ProjectedFile { path: path.to_owned(), contents, mode });
        };
        match source {
            Source::Object { object, items } => {
                let Some(entries) = entries(object, lookup)? else { return Ok(()) };
                let Some(items) = items else {
                    entries.iter().for_each(|(key, contents)| add(Path::new(key), (*contents).clone(), None));
                    return Ok(());
                };
                for item in items {
                    match entries.get(item.key.as_str()) {
                        Some(contents) => add(&item.path, (*contents).clone(), item.mode),
                        None if object.optional => {}
                        None => {
                            let Item { key, .. } = item;
                            return Err(format!(
                                "{} {:?} references non-existent key: {key}",
                                object.kind, object.name
                            ));
                        }
                    }
                }
            }
            Source::Fields(fields) => fields.iter().for_each(|field| {
                let value = match &field.value {
                    FieldValue::Field(field) => lookup.field(field),
                    FieldValue::Resource(resource) => lookup.resource(&Resources::default(), resource),
                };
                add(&field.path, Contents(value.into_bytes()), field.mode);
            }),
            Source::Token { token, path } => {
                let issued = lookup.context.cluster.and_then(|cluster| cluster.tokens.get(token));
                let contents = issued.ok_or_else(|| format!("the {token} has not been issued"))?;
                add(path, contents.clone(), None);
            }
        }
        Ok(())
    }
}

/// All that an object offers to volumes; none if it is not there and may be missing.
fn entries<'a>(
    object: &ObjectKeyRef,
    lookup: &'a Lookup<'_>,
) -> Result<Option<BTreeMap<&'a str, &'a Contents>>, String> {
    let namespace = lookup.pod.namespace.as_str();
    match lookup.context.objects.body(object.kind, namespace, &object.name) {
        Some(ObjectBody::ConfigMap { data, binary }) => {
            Ok(Some(data.iter().chain(binary).map(|(key, contents)| (key.as_str(), contents)).collect()))
        }
        Some(ObjectBody::Secret(data)) => {
            Ok(Some(data.iter().map(|(key, contents)| (key.as_str(), contents)).collect()))
        }
        Some(ObjectBody::Claim { .. } | ObjectBody::Volume { .. } | ObjectBody::Nothing) | None if object.optional => {
            Ok(None)
        }
        Some(ObjectBody::Claim { .. } | ObjectBody::Volume { .. } | ObjectBody::Nothing) | None => {
            Err(format!("{} {:?} not found", object.kind, object.name))
        }
    }
}

/// Two files of which one would have to be a directory.
fn conflict(files: &Files) -> Option<String> {
    let mut paths = files.keys();
    let mut before = paths.next()?;
    for path in paths {
        if path.starts_with(before) {
            return Some(format!("{} and {} cannot both be files of it", before.display(), path.display()));
        }
        before = path;
    }
    None
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn default_mode(from: Option<i32>, path: &FieldPath, out: &mut Findings) -> u32 {
    mode(from, &path.key("defaultMode"), out).unwrap_or(DEFAULT_MODE)
}

fn mode(from: Option<i32>, path: &FieldPath, out: &mut Findings) -> Option<u32> {
    match from.map(u32::try_from)? {
        Ok(mode) if mode <= 0o777 => Some(mode),
        Ok(_) | Err(_) => {
            let finding = Finding::new(Reason::InvalidValue, path, "permission bits are 0 to 0777 (511 in JSON)");
            out.error(finding.hint("write an octal number such as 0440"));
            None
        }
    }
}

fn source(from: &v1::VolumeProjection, path: &FieldPath, out: &mut Findings) -> Option<Source> {
    let given = [
        from.config_map.is_some(),
        from.secret.is_some(),
        from.downward_api.is_some(),
        from.service_account_token.is_some(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        let finding = Finding::new(Reason::InvalidValue, path, "a source is one thing");
        out.error(finding.hint("make an element of each"));
        return None;
    }
    if let Some(from) = &from.downward_api {
        let path = path.key("downwardAPI").key("items");
        return Some(Source::Fields(fields(from.items.as_deref().unwrap_or_default(), &path, out)));
    }
    if let Some(from) = &from.service_account_token {
        return token(from, &path.key("serviceAccountToken"), out);
    }
    let (kind, name, optional, listed, field) = match (&from.config_map, &from.secret) {
        (Some(from), _) => (ObjectKind::ConfigMap, &from.name, from.optional, &from.items, "configMap"),
        (None, Some(from)) => (ObjectKind::Secret, &from.name, from.optional, &from.items, "secret"),
        (None, None) => {
            let finding = Finding::new(Reason::MissingField, path, "a source must be something");
            out.error(finding.hint("give one of configMap, secret, downwardAPI and serviceAccountToken"));
            return None;
        }
    };
    let path = path.key(field);
    let items = items(listed.as_deref(), &path.key("items"), out);
    let object = references::object_key(kind, name, None, optional, &path, out)?;
    Some(Source::Object { object, items })
}

fn token(from: &v1::ServiceAccountTokenProjection, path: &FieldPath, out: &mut Findings) -> Option<Source> {
    let expiration_seconds = from.expiration_seconds.unwrap_or(TokenRef::DEFAULT_EXPIRATION);
    if !(TokenRef::LEAST_EXPIRATION..=1 << 32).contains(&expiration_seconds) {
        let path = path.key("expirationSeconds");
        let finding = Finding::new(Reason::InvalidValue, &path, "it must be from 600 (ten minutes) to 2^32");
        out.error(finding.hint("write 3607, as Kubernetes itself does, or remove it"));
    }
    let file = file_path(&from.path, &path.key("path"), out)?;
    let audience = from.audience.clone().unwrap_or_default();
    Some(Source::Token { token: TokenRef { audience, expiration_seconds }, path: file })
}

/// An empty list is none, as in Kubernetes.
fn items(from: Option<&[v1::KeyToPath]>, path: &FieldPath, out: &mut Findings) -> Option<Vec<Item>> {
    let from = from.filter(|items| !items.is_empty())?;
    let mut items: Vec<Item> = Vec::new();
    for (i, from) in from.iter().enumerate() {
        let path = path.index(i);
        names::data_key(&from.key, &path.key("key"), out);
        let mode = mode(from.mode, &path.key("mode"), out);
        let Some(file) = file_path(&from.path, &path.key("path"), out) else { continue };
        if items.iter().any(|other| overlap(&other.path, &file)) {
            let finding = Finding::new(Reason::Duplicate, &path.key("path"), "another item fills this path");
            out.error(finding.hint("give each its own path"));
        }
        items.push(Item { key: from.key.clone(), path: file, mode });
    }
    Some(items)
}

fn fields(from: &[v1::DownwardAPIVolumeFile], path: &FieldPath, out: &mut Findings) -> Vec<FieldItem> {
    let mut fields: Vec<FieldItem> = Vec::new();
    for (i, from) in from.iter().enumerate() {
        let path = path.index(i);
        let mode = mode(from.mode, &path.key("mode"), out);
        let value = field_value(from, &path, out);
        let Some(file) = file_path(&from.path, &path.key("path"), out) else { continue };
        if fields.iter().any(|other| overlap(&other.path, &file)) {
            let finding = Finding::new(Reason::Duplicate, &path.key("path"), "another item fills this path");
            out.error(finding.hint("give each its own path"));
        }
        fields.extend(value.map(|value| FieldItem { path: file, mode, value }));
    }
    fields
}

fn field_value(from: &v1::DownwardAPIVolumeFile, path: &FieldPath, out: &mut Findings) -> Option<FieldValue> {
    match (&from.field_ref, &from.resource_field_ref) {
        (Some(from), None) => references::field(from, Asker::Volume, &path.key("fieldRef"), out).map(FieldValue::Field),
        (None, Some(from)) => {
            let path = path.key("resourceFieldRef");
            if from.container_name.as_deref().unwrap_or_default().is_empty() {
                let message = "a volume belongs to no container, so it must say whose";
                let finding = Finding::new(Reason::MissingField, &path.key("containerName"), message);
                out.error(finding.hint("name a container of the pod"));
            }
            references::resource(from, &path, out).map(FieldValue::Resource)
        }
        (Some(_), Some(_)) | (None, None) => {
            let finding = Finding::new(Reason::InvalidValue, path, "it must be one of fieldRef and resourceFieldRef");
            out.error(finding.hint("keep one of the two"));
            None
        }
    }
}

fn file_path(from: &str, path: &FieldPath, out: &mut Findings) -> Option<PathBuf> {
    let file = out.take(paths::relative(from, path))?;
    if file.as_os_str().is_empty() || from.starts_with("..") {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{from:?} is no path of a file in the volume"));
        out.error(finding.hint("write a relative path that does not begin with '..'"));
        return None;
    }
    Some(file)
}
