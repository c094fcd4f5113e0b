//! Which kinds of objects are taken, and as what.

use barepod_model::Reason;

use crate::check::nearest;
use crate::error::{Finding, Findings};
use crate::objects::ObjectKind;
use crate::place::FieldPath;
use crate::yaml::{Node, Value};

/// What an object is taken as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pod.
    Pod,
    /// What pods refer to.
    Object(ObjectKind),
    /// Something that makes one pod.
    Workload(Workload),
    /// It is checked no further and does nothing, for this reason.
    WithoutEffect(&'static str),
}

/// What makes a pod out of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    StatefulSet,
    Deployment,
    DaemonSet,
    Job,
}

/// API version, kind, and what it is taken as.
const TAKEN: [(&str, &str, Kind); 10] = [
    ("v1", "Pod", Kind::Pod),
    ("v1", "ConfigMap", Kind::Object(ObjectKind::ConfigMap)),
    ("v1", "Secret", Kind::Object(ObjectKind::Secret)),
    ("v1", "PersistentVolumeClaim", Kind::Object(ObjectKind::PersistentVolumeClaim)),
    ("v1", "PersistentVolume", Kind::Object(ObjectKind::PersistentVolume)),
    ("v1", "ServiceAccount", Kind::Object(ObjectKind::ServiceAccount)),
    ("apps/v1", "StatefulSet", Kind::Workload(Workload::StatefulSet)),
    ("apps/v1", "Deployment", Kind::Workload(Workload::Deployment)),
    ("apps/v1", "DaemonSet", Kind::Workload(Workload::DaemonSet)),
    ("batch/v1", "Job", Kind::Workload(Workload::Job)),
];

const NO_NETWORK: &str = "the pod listens on the host's own network";
const NO_RIGHTS: &str = "nobody asks an API server here";
const NO_SCALING: &str = "a host runs one replica";
const NO_QUOTA: &str = "the limits of this host are its administrator's";
const NO_MONITORING: &str = "nothing on this host reads it";

/// API group, kind, and why it has no effect. What charts bring along beside their workloads.
const WITHOUT_EFFECT: [(&str, &str, &str); 26] = [
    ("", "Service", NO_NETWORK),
    ("", "Endpoints", NO_NETWORK),
    ("discovery.k8s.io", "EndpointSlice", NO_NETWORK),
    ("networking.k8s.io", "Ingress", NO_NETWORK),
    ("networking.k8s.io", "IngressClass", NO_NETWORK),
    ("networking.k8s.io", "NetworkPolicy", "barepod filters no traffic"),
    ("gateway.networking.k8s.io", "HTTPRoute", NO_NETWORK),
    ("policy", "PodDisruptionBudget", "nothing but an operator ends a pod here"),
    ("", "Namespace", "a namespace is there as soon as something is in it"),
    ("", "LimitRange", NO_QUOTA),
    ("", "ResourceQuota", NO_QUOTA),
    ("rbac.authorization.k8s.io", "Role", NO_RIGHTS),
    ("rbac.authorization.k8s.io", "RoleBinding", NO_RIGHTS),
    ("rbac.authorization.k8s.io", "ClusterRole", NO_RIGHTS),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", NO_RIGHTS),
    ("autoscaling", "HorizontalPodAutoscaler", NO_SCALING),
    ("autoscaling.k8s.io", "VerticalPodAutoscaler", NO_SCALING),
    ("scheduling.k8s.io", "PriorityClass", "a pod says its priority as a number"),
    ("storage.k8s.io", "StorageClass", "a claim is a directory of this host"),
    ("node.k8s.io", "RuntimeClass", "this host answers to the runtime class barepod"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", NO_RIGHTS),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", NO_RIGHTS),
    ("monitoring.coreos.com", "ServiceMonitor", NO_MONITORING),
    ("monitoring.coreos.com", "PodMonitor", NO_MONITORING),
    ("monitoring.coreos.com", "PrometheusRule", NO_MONITORING),
    ("monitoring.coreos.com", "Probe", NO_MONITORING),
];

/// Whether it is a list of objects, as `kubectl get -o yaml` writes one.
pub(crate) fn is_list(node: &Node) -> bool {
    let text = |key| node.get(key).and_then(Node::text);
    (text("apiVersion"), text("kind")) == (Some("v1"), Some("List"))
}

/// What the object is taken as.
pub(crate) fn of(node: &Node, out: &mut Findings) -> Option<Kind> {
    let root = FieldPath::default();
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("a Kubernetes object is a map, this is {}", node.kind());
        out.error(Finding::new(Reason::InvalidType, &root, message).hint("begin with apiVersion: v1 and kind: Pod"));
        return None;
    }
    let version = text(node, "apiVersion", "v1", out);
    let kind = text(node, "kind", "Pod", out);
    let (version, kind) = (version?, kind?);
    let (group, _) = version.split_once('/').unwrap_or(("", version));
    if let Some((_, _, why)) = WITHOUT_EFFECT.iter().find(|(of, name, _)| (*of, *name) == (group, kind)) {
        return Some(Kind::WithoutEffect(why));
    }
    match TAKEN.iter().find(|(_, name, _)| *name == kind) {
        Some((right, _, taken)) if *right == version => Some(*taken),
        Some((right, _, _)) => {
            let message = format!("barepod takes a {kind} of apiVersion {right:?}, not {version:?}");
            let finding = Finding::new(Reason::UnsupportedKind, &root.key("apiVersion"), message);
            out.error(finding.hint(format!("write apiVersion: {right}")));
            None
        }
        None => {
            let finding =
                Finding::new(Reason::UnsupportedKind, &root.key("kind"), format!("barepod takes no {kind:?}"));
            out.error(match nearest(kind, TAKEN.iter().map(|(_, name, _)| *name)) {
                Some(name) => finding.hint(format!("did you mean {name:?}?")),
                None => finding.hint(format!("remove it; {} are taken", TAKEN.map(|(_, name, _)| name).join(", "))),
            });
            None
        }
    }
}

fn text<'a>(node: &'a Node, key: &str, usual: &str, out: &mut Findings) -> Option<&'a str> {
    let path = FieldPath::default().key(key);
    let hint = format!("write for example {key}: {usual}");
    match node.get(key).map(|n| &n.value) {
        Some(Value::Text(text)) => return Some(text),
        None | Some(Value::Null) => {
            out.error(Finding::new(Reason::MissingField, &path, "this field is required").hint(hint));
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_)) => {
            out.error(Finding::new(Reason::InvalidType, &path, "expected a string").hint(hint));
        }
    }
    None
}
