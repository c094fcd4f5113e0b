//! A whole Pod: its metadata, its spec, and what its containers must not do to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barepod_model::{
    ContainerKind, FsGroupChangePolicy, Manifest, Namespace, PodName, PodRef, PodResources, Reason, RestartPolicy,
};
use k8s_openapi::api::core::v1;

use crate::check::nearest;
use crate::container::{self, ParsedContainer, Surroundings};
use crate::error::{Finding, Findings, ManifestError};
use crate::objects::{ObjectBody, ObjectKind, ObjectRef, Objects};
use crate::place::FieldPath;
use crate::read::Origin;
use crate::volumes::{ParsedKind, ParsedVolume};
use crate::{ephemeral, names, network, notify, pod_resources, priority, security, volumes};

/// A Pod, checked, before it is known what stands in for its images. [`ParsedPod::into_pod`] makes it one.
#[derive(Debug, Clone)]
pub struct ParsedPod {
    /// Its namespace, `default` where none is given.
    pub namespace: Namespace,
    /// Its name.
    pub name: PodName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When ended containers are started again.
    pub restart_policy: RestartPolicy,
    /// `priority`, or that of a class that every cluster has.
    pub priority: i32,
    /// It tolerates the taint of a node that is short of memory.
    pub bears_memory_pressure: bool,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// `activeDeadlineSeconds`.
    pub active_deadline: Option<Duration>,
    /// `readinessGates`.
    pub readiness_gates: Vec<String>,
    /// Annotation `barepod.dev/depends-on`.
    pub depends_on: Vec<PodRef>,
    /// `fsGroupChangePolicy`.
    pub fs_group_policy: FsGroupChangePolicy,
    /// Its containers, those of init first, ephemeral ones last.
    pub containers: Vec<ParsedContainer>,
    /// The object as its author wrote it.
    pub manifest: Manifest,
    /// What is accepted without effect, and what else its author should know.
    pub warnings: Vec<ManifestError>,
    /// What it asks for as a whole.
    pub resources: PodResources,
    pub(crate) volumes: Vec<ParsedVolume>,
    pub(crate) service_account: String,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) origin: Origin,
}

/// The parts that are made from the typed object.
pub(crate) struct Parts {
    pub(crate) namespace: Namespace,
    pub(crate) name: PodName,
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) priority: i32,
    pub(crate) bears_memory_pressure: bool,
    pub(crate) grace: Duration,
    pub(crate) active_deadline: Option<Duration>,
    pub(crate) readiness_gates: Vec<String>,
    pub(crate) depends_on: Vec<PodRef>,
    pub(crate) fs_group_policy: FsGroupChangePolicy,
    pub(crate) resources: PodResources,
    pub(crate) volumes: Vec<ParsedVolume>,
    pub(crate) service_account: String,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) containers: Vec<ParsedContainer>,
}

/// The grace where a pod gives none: `DefaultTerminationGracePeriodSeconds`.
const DEFAULT_GRACE: i64 = 30;
/// Pods that must be ready first.
const DEPENDS_ON: &str = "barepod.dev/depends-on";
/// What follows from a pod's containers.
const OWN_CONDITIONS: [&str; 5] =
    ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];
/// The one RuntimeClass this host answers to.
const RUNTIME_CLASS: &str = "barepod";
/// What `os.name` calls this host.
const OPERATING_SYSTEM: &str = "linux";

/// Checks the typed object.
pub(crate) fn parse(pod: &v1::Pod, out: &mut Findings) -> Option<Parts> {
    let root = FieldPath::default();
    let metadata = root.key("metadata");
    let name = out.take(pod_name(pod.metadata.name.as_deref(), &metadata.key("name")));
    let namespace = out.take(namespace(pod.metadata.namespace.as_deref(), &metadata.key("namespace")));
    names::labels(pod.metadata.labels.as_ref().unwrap_or(&BTreeMap::new()), &metadata.key("labels"), out);
    names::annotations(
        pod.metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()),
        &metadata.key("annotations"),
        out,
    );
    let path = root.key("spec");
    let Some(spec) = &pod.spec else {
        out.error(
            Finding::new(Reason::MissingField, &path, "this field is required").hint("say which containers to run"),
        );
        return None;
    };
    runtime_class(spec, &path, out);
    operating_system(spec, &path, out);
    one_pid_namespace(spec, &path, out);
    let restart_policy = restart_policy(spec, &path, out);
    let grace = grace(spec, &path, out);
    let active_deadline = active_deadline(spec, &path, out);
    let depends_on = depends_on(pod.metadata.annotations.as_ref(), namespace.as_ref(), &metadata, out);
    let mut volumes = volumes::volumes(spec.volumes.as_deref().unwrap_or_default(), &path.key("volumes"), out);
    let security = path.key("securityContext");
    let fs_group_policy = security::fs_group_policy(spec.security_context.as_ref(), &security, out);
    let named = network::parse(spec, name.as_ref(), namespace.as_ref(), &path, out);
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let surroundings = Surroundings { spec, named: &named, annotations, metadata: &metadata, path: &path };
    let readiness_gates = gates(spec, &path, out);
    let containers = containers(&surroundings, out);
    notify::only_of(&containers, annotations, &metadata, out);
    let resources = pod_resources::parse(pod, &containers, &metadata, &path, out);
    pod_resources::huge_volumes(&mut volumes, &containers, &resources, out);
    resource_owners(&containers, &volumes, out);
    file_volumes(&containers, &volumes, out);
    Some(Parts {
        namespace: namespace?,
        name: name?,
        restart_policy,
        priority: priority::of(spec, &path, out),
        bears_memory_pressure: priority::bears_memory_pressure(spec),
        grace,
        active_deadline,
        readiness_gates,
        depends_on,
        fs_group_policy,
        resources,
        volumes,
        service_account: service_account(spec),
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        containers,
    })
}

impl ParsedPod {
    /// The objects that it refers to, whether they are there or not.
    #[must_use]
    pub fn references(&self, objects: &Objects) -> BTreeSet<ObjectRef> {
        let own = |kind, name: &str| ObjectRef { kind, namespace: self.namespace.to_string(), name: name.to_owned() };
        let mut found: BTreeSet<_> = self
            .containers
            .iter()
            .flat_map(|container| container.program.objects())
            .map(|object| own(object.kind, &object.name))
            .collect();
        for volume in &self.volumes {
            match &volume.kind {
                ParsedKind::Known(_) => {}
                ParsedKind::Projection(projection) => {
                    found.extend(projection.objects().map(|object| own(object.kind, &object.name)));
                }
                ParsedKind::Claim { claim, .. } => {
                    let claim = own(ObjectKind::PersistentVolumeClaim, claim);
                    if let Some(ObjectBody::Claim { volume: Some(name), .. }) =
                        objects.get(&claim).map(|object| &object.body)
                    {
                        let (kind, namespace) = (ObjectKind::PersistentVolume, String::new());
                        found.insert(ObjectRef { kind, namespace, name: name.clone() });
                    }
                    found.insert(claim);
                }
            }
        }
        found
    }
}

/// The admission plugin's default.
fn service_account(spec: &v1::PodSpec) -> String {
    let names = [&spec.service_account_name, &spec.service_account];
    let named = names.into_iter().flatten().find(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| "default".to_owned())
}

/// Containers whose resources are asked for must be there.
fn resource_owners(containers: &[ParsedContainer], volumes: &[ParsedVolume], out: &mut Findings) {
    let programs = containers.iter().flat_map(|c| c.program.containers().map(|name| (c.path.key("env"), name)));
    let projections = volumes.iter().flat_map(|volume| match &volume.kind {
        ParsedKind::Projection(projection) => projection.containers().map(|name| (volume.path.clone(), name)).collect(),
        ParsedKind::Known(_) | ParsedKind::Claim { .. } => Vec::new(),
    });
    for (path, name) in programs.chain(projections) {
        let names = || containers.iter().map(|container| container.request.name.as_str());
        if !names().any(|known| known == name) {
            let finding = Finding::new(Reason::InvalidValue, &path, format!("the pod has no container {name:?}"));
            let hint = nearest(name, names()).map(|name| format!("did you mean {name:?}?"));
            out.error(finding.hint(hint.unwrap_or_else(|| "name one of its containers".to_owned())));
        }
    }
}

/// Volumes whose files hold variables must be there.
fn file_volumes(containers: &[ParsedContainer], volumes: &[ParsedVolume], out: &mut Findings) {
    for container in containers {
        for file in &container.request.env_files {
            let names = || volumes.iter().map(|volume| volume.name.as_str());
            if !names().any(|name| name == file.volume) {
                let message = format!("variable {}: the pod has no volume {:?}", file.name, file.volume);
                let finding = Finding::new(Reason::UnknownVolume, &container.path.key("env"), message);
                let hint = nearest(&file.volume, names()).map(|name| format!("did you mean {name:?}?"));
                out.error(finding.hint(hint.unwrap_or_else(|| "add it to spec.volumes".to_owned())));
            }
        }
    }
}

fn pod_name(name: Option<&str>, path: &FieldPath) -> Result<PodName, Finding> {
    let Some(name) = name.filter(|n| !n.is_empty()) else {
        return Err(Finding::new(Reason::MissingField, path, "this field is required").hint("give the pod a name"));
    };
    PodName::new(name)
        .map_err(|e| Finding::new(Reason::InvalidValue, path, format!("{name:?} is not a name")).hint(e.rule))
}

fn namespace(name: Option<&str>, path: &FieldPath) -> Result<Namespace, Finding> {
    let name = name.filter(|n| !n.is_empty()).unwrap_or("default");
    Namespace::new(name)
        .map_err(|e| Finding::new(Reason::InvalidValue, path, format!("{name:?} is not a namespace")).hint(e.rule))
}

fn runtime_class(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) {
    if let Some(class) = spec.runtime_class_name.as_deref().filter(|class| *class != RUNTIME_CLASS) {
        let message = format!("this host answers to the runtime class {RUNTIME_CLASS:?}, not to {class:?}");
        let path = path.key("runtimeClassName");
        out.error(
            Finding::new(Reason::InvalidValue, &path, message).hint(format!("write {RUNTIME_CLASS} or remove it")),
        );
    }
}

/// As kubelet's admission.
fn operating_system(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) {
    if let Some(os) = spec.os.as_ref().filter(|os| os.name != OPERATING_SYSTEM) {
        let message = format!("this host runs {OPERATING_SYSTEM}, the pod wants {:?}", os.name);
        let finding = Finding::new(Reason::PodOSNotSupported, &path.key("os").key("name"), message);
        out.error(finding.hint(format!("write {OPERATING_SYSTEM} or remove it")));
    }
}

/// As Kubernetes' validation has it.
fn one_pid_namespace(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) {
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let path = path.key("shareProcessNamespace");
        let finding = Finding::new(Reason::InvalidValue, &path, "it cannot stand beside hostPID");
        out.error(finding.hint("remove one of them"));
    }
}

fn restart_policy(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> RestartPolicy {
    match spec.restart_policy.as_deref() {
        None | Some("" | "Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        Some(other) => {
            let message = format!("there is no restart policy {other:?}");
            let finding = Finding::new(Reason::InvalidValue, &path.key("restartPolicy"), message);
            out.error(finding.hint("use Always, OnFailure or Never"));
            RestartPolicy::Always
        }
    }
}

fn grace(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Duration {
    let seconds = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    match u64::try_from(seconds) {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let path = path.key("terminationGracePeriodSeconds");
            out.error(Finding::new(Reason::InvalidValue, &path, "it must not be negative").hint("use 0 for no grace"));
            Duration::ZERO
        }
    }
}

fn active_deadline(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Option<Duration> {
    match u64::try_from(spec.active_deadline_seconds?) {
        Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
        _ => {
            let path = path.key("activeDeadlineSeconds");
            out.error(Finding::new(Reason::InvalidValue, &path, "it must be at least 1").hint("remove it for none"));
            None
        }
    }
}

/// Conditions that others set. One that follows from the containers anyway would open by itself, or never.
fn gates(spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Vec<String> {
    let path = path.key("readinessGates");
    let mut gates = Vec::new();
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let (kind, path) = (&gate.condition_type, path.index(i).key("conditionType"));
        if OWN_CONDITIONS.contains(&kind.as_str()) {
            let message = format!("barepod sets {kind} itself");
            out.error(
                Finding::new(Reason::InvalidValue, &path, message).hint("name a condition that somebody else sets"),
            );
        } else {
            names::label_key(&kind.to_lowercase(), &path, out);
            gates.push(kind.clone());
        }
    }
    gates
}

/// The pods named by the annotation, separated by commas: `name` in the same namespace, or `namespace/name`.
fn depends_on(
    annotations: Option<&BTreeMap<String, String>>,
    own: Option<&Namespace>,
    metadata: &FieldPath,
    out: &mut Findings,
) -> Vec<PodRef> {
    let (Some(text), Some(own)) = (annotations.and_then(|all| all.get(DEPENDS_ON)), own) else { return Vec::new() };
    let path = metadata.key("annotations").key(DEPENDS_ON);
    let mut pods = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (namespace, name) = word.split_once('/').unwrap_or((own.as_str(), word));
        match (Namespace::new(namespace), PodName::new(name)) {
            (Ok(namespace), Ok(name)) => pods.push(PodRef { namespace, name }),
            (Err(_), _) | (_, Err(_)) => {
                let message = format!("{word:?} names no pod");
                let hint = "write name or namespace/name, separated by commas";
                out.error(Finding::new(Reason::InvalidValue, &path, message).hint(hint));
            }
        }
    }
    pods
}

fn containers(pod: &Surroundings<'_>, out: &mut Findings) -> Vec<ParsedContainer> {
    let mut seen = BTreeSet::new();
    let mut containers = Vec::new();
    let init = pod.spec.init_containers.as_deref().unwrap_or_default();
    let groups =
        [("initContainers", ContainerKind::Init, init), ("containers", ContainerKind::Regular, &pod.spec.containers)];
    let mut is_first = |name: &str, path: &FieldPath, out: &mut Findings| {
        if !seen.insert(name.to_owned()) && !name.is_empty() {
            let message = format!("there is another container named {name:?}");
            out.error(Finding::new(Reason::Duplicate, &path.key("name"), message).hint("give each its own name"));
        }
    };
    for (field, kind, group) in groups {
        for (i, from) in group.iter().enumerate() {
            let path = pod.path.key(field).index(i);
            is_first(&from.name, &path, out);
            containers.extend(container::parse(from, kind, pod, &path, out));
        }
    }
    for (i, from) in pod.spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = pod.path.key("ephemeralContainers").index(i);
        is_first(&from.name, &path, out);
        containers.extend(ephemeral::parse(from, pod, &path, out));
    }
    if pod.spec.containers.is_empty() {
        let finding =
            Finding::new(Reason::MissingField, &pod.path.key("containers"), "a pod has at least one container");
        out.error(finding.hint("add one with a name and an image"));
    }
    containers
}
