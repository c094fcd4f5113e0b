//! References to values: what a container gets, and what a volume shows.

use std::collections::BTreeMap;

use barepod_model::{ContainerRequest, Contents, HostPathType, Projected, Resources, VolumeKind};

use crate::container::ParsedContainer;
use crate::context::Lookup;
use crate::object::bound;
use crate::objects::{ObjectBody, ObjectKind};
use crate::program::{self, Reference, Sources};
use crate::references::ObjectKeyRef;
use crate::volumes::{self, ParsedKind};

/// The references of one container.
struct OfContainer<'a> {
    lookup: &'a Lookup<'a>,
    resources: &'a Resources,
}

impl Lookup<'_> {
    /// What a container asks for with all values in it, and what is missing.
    pub(crate) fn request(&self, parsed: &ParsedContainer) -> (ContainerRequest, Option<String>) {
        let sources = OfContainer { lookup: self, resources: &parsed.request.resources };
        let ran = parsed.program.run(&sources);
        let mut request =
            ContainerRequest { command: ran.command, args: ran.args, env: ran.env, ..parsed.request.clone() };
        for mount in request.mounts.iter_mut().filter(|mount| self.is_read_only(&mount.volume)) {
            mount.read_only = true;
        }
        let mut missing = ran.missing;
        for mount in &mut request.mounts {
            match mount.sub_path_expr.as_deref().map(|expression| volumes::expanded(expression, &request.env.0)) {
                Some(Ok(path)) => mount.sub_path = path,
                Some(Err(message)) => missing = missing.or(Some(message)),
                None => {}
            }
        }
        (request, missing)
    }

    /// What a volume is, or what it lacks to be something.
    pub(crate) fn volume(&self, kind: &ParsedKind) -> Result<VolumeKind, String> {
        match kind {
            ParsedKind::Known(kind) => Ok(kind.clone()),
            ParsedKind::Projection(projection) => Ok(VolumeKind::Projected(projection.resolve(self))),
            ParsedKind::Claim { claim, read_only } => match (self.volume_of(claim), self.context.cluster) {
                (None, None) => Ok(self.own_claim(claim, claim, *read_only)),
                // In a cluster somebody else says where a claim is, when there is a place.
                (None, Some(_)) => {
                    Err(format!("persistentvolumeclaim {claim:?} not found, or not bound to a volume yet"))
                }
                (Some(name), Some(cluster)) if cluster.provisioned.contains(name) => {
                    Ok(self.own_claim(claim, name, *read_only))
                }
                (Some(name), _) => {
                    let body = self.context.objects.body(ObjectKind::PersistentVolume, "", name);
                    let (path, kind): (_, HostPathType) = bound(body).ok_or_else(|| {
                        format!("persistentvolumeclaim {claim:?} names a volume {name:?} that is not found")
                    })?;
                    Ok(VolumeKind::HostPath { path, kind })
                }
            },
        }
    }

    /// A claim that is a directory of this host's own, of this name.
    fn own_claim(&self, claim: &str, name: &str, read_only: bool) -> VolumeKind {
        VolumeKind::Claim { claim: name.to_owned(), read_only: read_only || self.is_for_readers(claim) }
    }

    /// The PersistentVolume that a claim names.
    fn volume_of(&self, claim: &str) -> Option<&str> {
        let namespace = self.pod.namespace.as_str();
        match self.context.objects.body(ObjectKind::PersistentVolumeClaim, namespace, claim)? {
            ObjectBody::Claim { volume, .. } => volume.as_deref(),
            ObjectBody::ConfigMap { .. } | ObjectBody::Secret(_) | ObjectBody::Volume { .. } | ObjectBody::Nothing => {
                None
            }
        }
    }

    fn claim(&self, claim: &str) -> Option<&ObjectBody> {
        self.context.objects.body(ObjectKind::PersistentVolumeClaim, self.pod.namespace.as_str(), claim)
    }

    /// `ReadOnlyMany` alone.
    fn is_for_readers(&self, claim: &str) -> bool {
        matches!(self.claim(claim), Some(ObjectBody::Claim { read_only: true, .. }))
    }

    /// The claims of the pod that no other may have at once (`ReadWriteOncePod`), by the volumes that they are.
    pub(crate) fn claims_of_its_own(&self) -> impl Iterator<Item = &str> {
        self.pod
            .volumes
            .iter()
            .filter(|parsed| match &parsed.kind {
                ParsedKind::Claim { claim, .. } => {
                    matches!(self.claim(claim), Some(ObjectBody::Claim { one_pod: true, .. }))
                }
                ParsedKind::Known(_) | ParsedKind::Projection(_) => false,
            })
            .map(|parsed| parsed.name.as_str())
    }

    /// A claim that lies in a volume of the host's says in the mount that it is read-only.
    fn is_read_only(&self, volume: &str) -> bool {
        self.pod.volumes.iter().any(|parsed| match &parsed.kind {
            ParsedKind::Claim { claim, read_only } => {
                parsed.name == volume && (*read_only || self.is_for_readers(claim))
            }
            ParsedKind::Known(_) | ParsedKind::Projection(_) => false,
        })
    }

    fn body(&self, object: &ObjectKeyRef) -> Option<&ObjectBody> {
        self.context.objects.body(object.kind, self.pod.namespace.as_str(), &object.name)
    }

    /// What variables may be made of: of a ConfigMap `data` only, as in Kubernetes.
    fn data(&self, object: &ObjectKeyRef) -> Result<&BTreeMap<String, Contents>, String> {
        match self.body(object) {
            Some(ObjectBody::ConfigMap { data, .. } | ObjectBody::Secret(data)) => Ok(data),
            Some(ObjectBody::Claim { .. } | ObjectBody::Volume { .. } | ObjectBody::Nothing) | None => {
                Err(format!("{} {:?} not found", object.kind, object.name))
            }
        }
    }
}

impl Sources for OfContainer<'_> {
    fn value(&self, reference: &Reference) -> Result<Option<String>, String> {
        let object = match reference {
            Reference::Field(field, _) => return Ok(Some(self.lookup.field(field))),
            Reference::Resource(resource, _) => return Ok(Some(self.lookup.resource(self.resources, resource))),
            Reference::Key(object) => object,
            Reference::File(_) => return Ok(None),
        };
        let key = object.key.as_deref().unwrap_or_default();
        let found = self.lookup.data(object).and_then(|data| {
            let place = format!("{}/{}", self.lookup.pod.namespace, object.name);
            data.get(key).ok_or_else(|| format!("couldn't find key {key} in {} {place}", object.kind))
        });
        match found {
            Ok(contents) => program::text(object, key, contents).map(Some),
            Err(_) if object.optional => Ok(None),
            Err(message) => Err(message),
        }
    }

    fn entries(&self, object: &ObjectKeyRef) -> Result<BTreeMap<String, Contents>, String> {
        match self.lookup.data(object) {
            Ok(data) => Ok(data.clone()),
            Err(_) if object.optional => Ok(BTreeMap::new()),
            Err(message) => Err(message),
        }
    }

    fn services(&self) -> BTreeMap<String, String> {
        self.lookup.context.cluster.map(|cluster| cluster.service_variables.clone()).unwrap_or_default()
    }
}

/// A volume that cannot be made before this is there.
pub(crate) fn waiting_volume(missing: String) -> VolumeKind {
    VolumeKind::Projected(Projected { files: Vec::new(), in_memory: false, missing: Some(missing) })
}
