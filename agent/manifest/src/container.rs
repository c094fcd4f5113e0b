//! One container of a Pod.

use std::collections::{BTreeMap, BTreeSet};

use barepod_model::{
    ContainerKind, ContainerName, ContainerRequest, Env, NamespaceUse, Probe, ProbeKind, Reason, VolumeMount,
};
use k8s_openapi::api::core::v1;

use crate::error::{Finding, Findings};
use crate::expand::expand;
use crate::place::FieldPath;
use crate::{names, paths, probes, resources, security, volumes};

/// A container, checked, before it is known what stands in for its image.
#[derive(Debug, Clone)]
pub struct ParsedContainer {
    /// What it asks for.
    pub request: ContainerRequest,
    /// Startup probe, if the manifest has one.
    pub startup: Option<Probe>,
    /// Readiness probe, if the manifest has one.
    pub readiness: Option<Probe>,
    /// Liveness probe, if the manifest has one.
    pub liveness: Option<Probe>,
    /// Ports it says it listens on.
    pub ports: Vec<Port>,
    /// Where it stands in its object.
    pub(crate) path: FieldPath,
}

/// A port that a container says it listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique in the container.
    pub name: Option<String>,
    /// Its number.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What all containers of a pod have in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) spec: &'a v1::PodSpec,
    pub(crate) hostname: &'a str,
    /// Path of the spec.
    pub(crate) path: &'a FieldPath,
}

/// Reads one container.
pub(crate) fn parse(
    from: &v1::Container,
    kind: ContainerKind,
    pod: &Surroundings<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<ParsedContainer> {
    let name = out.take(container_name(&from.name, &path.key("name")));
    let ports = ports(from, pod.spec, &path.key("ports"), out);
    let probe =
        |from: Option<&v1::Probe>, name: &str, of, out: &mut Findings| probes_of(kind, from, of, &path.key(name), out);
    let startup = probe(from.startup_probe.as_ref(), "startupProbe", ProbeKind::Startup, out);
    let readiness = probe(from.readiness_probe.as_ref(), "readinessProbe", ProbeKind::Readiness, out);
    let liveness = probe(from.liveness_probe.as_ref(), "livenessProbe", ProbeKind::Liveness, out);
    let request = request(from, kind, name?, pod, path, out);
    Some(ParsedContainer { request, startup, readiness, liveness, ports, path: path.clone() })
}

fn container_name(name: &str, path: &FieldPath) -> Result<ContainerName, Finding> {
    ContainerName::new(name)
        .map_err(|e| Finding::new(Reason::InvalidValue, path, format!("{name:?} is not a name")).hint(e.rule))
}

fn request(
    from: &v1::Container,
    kind: ContainerKind,
    name: ContainerName,
    pod: &Surroundings<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> ContainerRequest {
    let env = env(from.env.as_deref().unwrap_or_default(), &path.key("env"), out);
    let words = |list: &Option<Vec<String>>| list.iter().flatten().map(|word| expand(word, &env)).collect();
    let (command, args) = (words(&from.command), words(&from.args));
    let own = from.security_context.as_ref();
    let own_path = path.key("securityContext");
    let user =
        security::user(pod.spec.security_context.as_ref(), own, &pod.path.key("securityContext"), &own_path, out);
    let capabilities = own.and_then(|s| s.capabilities.as_ref());
    ContainerRequest {
        name,
        kind,
        image: image(from, path, out),
        command,
        args,
        working_dir: working_dir(from, path, out),
        resources: resources::parse(from.resources.as_ref(), &path.key("resources"), out),
        mounts: mounts(from, pod, path, out),
        user,
        read_only_root: own.and_then(|s| s.read_only_root_filesystem).unwrap_or_default(),
        capabilities: security::capabilities(capabilities, &own_path.key("capabilities"), out),
        allow_privilege_escalation: own.and_then(|s| s.allow_privilege_escalation),
        namespaces: NamespaceUse {
            host_pid: pod.spec.host_pid.unwrap_or_default(),
            host_ipc: pod.spec.host_ipc.unwrap_or_default(),
        },
        tty: from.tty.unwrap_or_default(),
        hostname: pod.hostname.to_owned(),
        env: Env(env),
    }
}

fn image(from: &v1::Container, path: &FieldPath, out: &mut Findings) -> String {
    let image = from.image.clone().unwrap_or_default();
    if image.is_empty() {
        let finding = Finding::new(Reason::MissingField, &path.key("image"), "this field is required");
        out.error(finding.hint("name what to run, e.g. postgres:15, or host for a program of this host"));
    }
    image
}

fn working_dir(from: &v1::Container, path: &FieldPath, out: &mut Findings) -> Option<std::path::PathBuf> {
    let dir = from.working_dir.as_deref().filter(|dir| !dir.is_empty())?;
    out.take(paths::absolute(dir, &path.key("workingDir")))
}

fn mounts(from: &v1::Container, pod: &Surroundings<'_>, path: &FieldPath, out: &mut Findings) -> Vec<VolumeMount> {
    let volumes = pod.spec.volumes.as_deref().unwrap_or_default();
    volumes::mounts(from.volume_mounts.as_deref().unwrap_or_default(), volumes, &path.key("volumeMounts"), out)
}

/// The variables in order, each expanded with those before it. Of two with one name, the later counts.
fn env(from: &[v1::EnvVar], path: &FieldPath, out: &mut Findings) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (i, variable) in from.iter().enumerate() {
        let path = path.index(i).key("name");
        if !names::is_env_name(&variable.name) {
            let message = format!("{:?} cannot name a variable", variable.name);
            let finding = Finding::new(Reason::InvalidValue, &path, message);
            out.error(finding.hint("use printable ASCII characters without '='"));
        }
        let value = variable.value.as_deref().unwrap_or_default();
        if value.contains('\0') {
            let finding = Finding::new(Reason::InvalidValue, &path, "its value holds a NUL character");
            out.error(finding.hint("no program can be given such a value"));
        }
        let value = expand(value, &env);
        if env.insert(variable.name.clone(), value).is_some() {
            let message = format!("{:?} is given twice; this one counts", variable.name);
            out.warn(Finding::new(Reason::Duplicate, &path, message).hint("remove the other"));
        }
    }
    env
}

fn ports(from: &v1::Container, spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Vec<Port> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (i, from) in from.ports.iter().flatten().enumerate() {
        let path = path.index(i);
        if let Some(name) = &from.name {
            port_name(name, &mut seen, &path.key("name"), out);
        }
        let number = out.take(port_number(from.container_port, &path.key("containerPort")));
        host_port(from, spec, &path.key("hostPort"), out);
        let protocol = from.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        if !matches!(protocol.as_str(), "TCP" | "UDP" | "SCTP") {
            let finding =
                Finding::new(Reason::InvalidValue, &path.key("protocol"), format!("there is no protocol {protocol:?}"));
            out.error(finding.hint("use TCP, UDP or SCTP"));
        }
        ports.extend(number.map(|number| Port { name: from.name.clone(), number, protocol }));
    }
    ports
}

fn port_name<'a>(name: &'a str, seen: &mut BTreeSet<&'a str>, path: &FieldPath, out: &mut Findings) {
    if !names::is_port_name(name) {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{name:?} is not a port's name"));
        out.error(finding.hint("use at most 15 lower case letters, digits and '-', with a letter among them"));
    }
    if !seen.insert(name) {
        let message = format!("there is another port named {name:?}");
        out.error(Finding::new(Reason::Duplicate, path, message).hint("give each its own name"));
    }
}

fn port_number(value: i32, path: &FieldPath) -> Result<u16, Finding> {
    match u16::try_from(value) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Finding::new(Reason::InvalidValue, path, format!("{value} is no port")).hint("use 1 to 65535")),
    }
}

/// The pod is on the host's network, so the host's port can only be its own.
fn host_port(from: &v1::ContainerPort, spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) {
    let Some(port) = from.host_port.filter(|p| *p != 0) else { return };
    if out.take(port_number(port, path)).is_some() && port != from.container_port {
        let mode = if spec.host_network == Some(true) { "with hostNetwork" } else { "on the host's own network" };
        let message = format!("{mode} it is the same as containerPort, {}", from.container_port);
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("remove it, or let the service listen there"));
    }
}

fn probes_of(
    kind: ContainerKind,
    from: Option<&v1::Probe>,
    of: ProbeKind,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<Probe> {
    let from = from?;
    match kind {
        ContainerKind::Regular => probes::parse(from, of, path, out),
        ContainerKind::Init => {
            let finding =
                Finding::new(Reason::InvalidValue, path, "an init container runs to its end and has no probes");
            out.error(finding.hint("remove the probe"));
            None
        }
    }
}
