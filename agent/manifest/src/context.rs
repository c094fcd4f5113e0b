//! What a pod's references are looked up in: other objects, the host, and the pod itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use barepod_model::{Bytes, MilliCpu, PodUid, Resources};

use crate::cluster::Cluster;
use crate::objects::Objects;
use crate::pod::ParsedPod;
use crate::references::{FieldRef, Resource, ResourceRef};

/// What there is outside the pod.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The host's directory below which persistent volume claims lie, as `<namespace>/<claim>`.
    pub claims_root: &'a Path,
    /// Objects of all manifests.
    pub objects: &'a Objects,
    /// The host.
    pub host: &'a HostFacts,
    /// What the cluster gives; none where the pod is none of a cluster's.
    pub cluster: Option<&'a Cluster>,
    /// A pod of this name is there already: what cannot be looked up must not harm it.
    pub lives: bool,
}

/// The host, as pods may ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Its node name.
    pub name: String,
    /// Its labels, as a node of Kubernetes has them.
    pub labels: BTreeMap<String, String>,
    /// Its addresses, the main one first; never empty. Pods have the same.
    pub addresses: Vec<IpAddr>,
    /// CPU that pods may use.
    pub cpu: MilliCpu,
    /// Memory that pods may use.
    pub memory: Bytes,
    /// Disk space that pods may use for what goes with them.
    pub ephemeral_storage: Bytes,
    /// Its kernel enforces AppArmor's profiles.
    pub app_armor: bool,
    /// Its kernel has an SELinux policy.
    pub se_linux: bool,
}

impl Default for HostFacts {
    /// A host of which nothing is known.
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            labels: BTreeMap::new(),
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            cpu: MilliCpu(0),
            memory: Bytes(0),
            ephemeral_storage: Bytes(0),
            app_armor: false,
            se_linux: false,
        }
    }
}

/// What one pod's references mean.
pub(crate) struct Lookup<'a> {
    pub(crate) pod: &'a ParsedPod,
    pub(crate) uid: &'a PodUid,
    pub(crate) context: Context<'a>,
}

impl Lookup<'_> {
    /// The value of a field of the pod.
    pub(crate) fn field(&self, field: &FieldRef) -> String {
        let host = self.context.host;
        let joined = || host.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let one = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        match field {
            FieldRef::Name => self.pod.name.to_string(),
            FieldRef::Namespace => self.pod.namespace.to_string(),
            FieldRef::Uid => self.uid.to_string(),
            FieldRef::Labels => lines(&self.pod.labels),
            FieldRef::Annotations => lines(&self.pod.annotations),
            FieldRef::Label(key) => one(&self.pod.labels, key),
            FieldRef::Annotation(key) => one(&self.pod.annotations, key),
            FieldRef::NodeName => host.name.clone(),
            FieldRef::ServiceAccountName => self.pod.service_account.clone(),
            // The pod is on the host's network: its addresses are the host's.
            FieldRef::HostIp | FieldRef::PodIp => host.addresses.first().map(ToString::to_string).unwrap_or_default(),
            FieldRef::HostIps | FieldRef::PodIps => joined(),
        }
    }

    /// A request or limit, divided and rounded up. A limit that is not given is what the host has (`Container.resources`
    /// of `core/v1`, as kubelet's `MergeContainerResourceLimits` fills it in).
    pub(crate) fn resource(&self, own: &Resources, wanted: &ResourceRef) -> String {
        let named = wanted
            .container
            .as_ref()
            .and_then(|name| self.pod.containers.iter().find(|container| container.request.name.as_str() == name));
        // A limit that the pod gives as a whole stands for that of a container without one.
        let of = named.map_or(own, |container| &container.request.resources).within(self.pod.resources.level.as_ref());
        let host = self.context.host;
        let limit = |given: Option<u64>, has: u64| given.filter(|value| *value > 0).unwrap_or(has);
        let milli = match wanted.resource {
            Resource::CpuLimit => limit(of.cpu_limit.map(|c| c.0), host.cpu.0).into(),
            Resource::CpuRequest => of.cpu_request.map_or(0, |c| c.0).into(),
            Resource::MemoryLimit => thousandths(limit(of.memory_limit.map(|m| m.0), host.memory.0)),
            Resource::MemoryRequest => thousandths(of.memory_request.map_or(0, |m| m.0)),
            Resource::StorageLimit => thousandths(limit(of.storage_limit.map(|s| s.0), host.ephemeral_storage.0)),
            Resource::StorageRequest => thousandths(of.storage_request.map_or(0, |s| s.0)),
        };
        milli.div_ceil(wanted.divisor.max(1)).to_string()
    }
}

fn thousandths(value: u64) -> u128 {
    u128::from(value) * 1000
}

/// `key="value"` lines, as kubelet writes labels and annotations.
fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

/// As Go's `%q`: what is not printable is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_annotations_are_written_as_kubelet_writes_them() {
        let map = BTreeMap::from([("b".to_owned(), "x\n\"y\"\\".to_owned()), ("a".to_owned(), "ü\u{1}".to_owned())]);
        assert_eq!(lines(&map), "a=\"ü\\x01\"\nb=\"x\\n\\\"y\\\"\\\\\"");
        assert_eq!(lines(&BTreeMap::new()), "");
    }
}
