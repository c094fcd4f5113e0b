//! Objects that pods refer to, and the index in which they are found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use barepod_model::{Contents, HostPathType, Manifest};

/// The kinds of objects that are kept beside pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `v1/ConfigMap`.
    ConfigMap,
    /// `v1/Secret`.
    Secret,
    /// `v1/PersistentVolumeClaim`.
    PersistentVolumeClaim,
    /// `v1/PersistentVolume`; has no namespace.
    PersistentVolume,
    /// `v1/ServiceAccount`.
    ServiceAccount,
}

impl ObjectKind {
    /// As kubectl writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "configmap",
            ObjectKind::Secret => "secret",
            ObjectKind::PersistentVolumeClaim => "persistentvolumeclaim",
            ObjectKind::PersistentVolume => "persistentvolume",
            ObjectKind::ServiceAccount => "serviceaccount",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for kinds without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// An object, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is called.
    pub id: ObjectRef,
    /// What it says.
    pub body: ObjectBody,
    /// It must not be given another body.
    pub immutable: bool,
    /// The object as its author wrote it.
    pub manifest: Manifest,
}

/// What an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectBody {
    /// Of a ConfigMap.
    ConfigMap {
        /// `data`.
        data: BTreeMap<String, Contents>,
        /// `binaryData`, decoded: for volumes only.
        binary: BTreeMap<String, Contents>,
    },
    /// `data` and `stringData` of a Secret, decoded.
    Secret(BTreeMap<String, Contents>),
    /// Of a PersistentVolumeClaim.
    Claim {
        /// `volumeName`; without one it is a directory of barepod's own.
        volume: Option<String>,
        /// `ReadWriteOncePod`: no two pods may have it at once.
        one_pod: bool,
        /// `ReadOnlyMany` alone: nobody writes to it.
        read_only: bool,
    },
    /// Where a PersistentVolume is on this host.
    Volume {
        /// `hostPath` or `local`.
        path: PathBuf,
        /// What must be there.
        kind: HostPathType,
    },
    /// Nothing that matters here.
    Nothing,
}

/// All objects that are known, by name.
#[derive(Debug, Clone, Default)]
pub struct Objects(BTreeMap<ObjectRef, Object>);

impl Objects {
    /// Takes an object in; the one it takes the place of.
    pub fn insert(&mut self, object: Object) -> Option<Object> {
        self.0.insert(object.id.clone(), object)
    }

    /// Forgets an object.
    pub fn remove(&mut self, id: &ObjectRef) -> Option<Object> {
        self.0.remove(id)
    }

    /// The object of this name.
    #[must_use]
    pub fn get(&self, id: &ObjectRef) -> Option<&Object> {
        self.0.get(id)
    }

    pub(crate) fn body(&self, kind: ObjectKind, namespace: &str, name: &str) -> Option<&ObjectBody> {
        let id = ObjectRef { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        self.get(&id).map(|object| &object.body)
    }
}
