//! One container of a Pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use barepod_model::{
    ContainerKind, ContainerName, ContainerRequest, ContainerRestart, Ephemeral, Lifecycle, NamespaceUse,
    NotifyRequest, Probe, ProbeKind, Reason, ResizePolicy, Stdin, TerminationMessage, TerminationMessagePolicy,
    VolumeMount,
};
use k8s_openapi::api::core::v1;

use crate::actions::{Actions, number};
use crate::error::{Finding, Findings};
use crate::network::Named;
use crate::place::FieldPath;
use crate::program::{NoSources, Program, Ran};
use crate::{confinement, names, notify, paths, pod_resources, probes, resources, restart, security, volumes};

/// A container, checked, before it is known what stands in for its image.
#[derive(Debug, Clone)]
pub struct ParsedContainer {
    /// What it asks for; what its command, arguments and variables refer to is not looked up in it.
    pub request: ContainerRequest,
    /// Startup probe, if the manifest has one.
    pub startup: Option<Probe>,
    /// Readiness probe, if the manifest has one.
    pub readiness: Option<Probe>,
    /// Liveness probe, if the manifest has one.
    pub liveness: Option<Probe>,
    /// Its hooks.
    pub lifecycle: Lifecycle,
    /// The signal that takes the place of the image's first one (`lifecycle.stopSignal`).
    pub stop_signal: Option<i32>,
    /// Its own rules of restart.
    pub restart: ContainerRestart,
    /// Of an ephemeral container.
    pub ephemeral: Option<Ephemeral>,
    /// Where it leaves its last words.
    pub termination_message: TerminationMessage,
    /// What happens to it when its resources change.
    pub resize_policy: ResizePolicy,
    /// Annotation `notify.barepod.dev/NAME`: whether its service speaks to barepod, in place of what its preset says.
    pub notify: Option<NotifyRequest>,
    /// Ports it says it listens on.
    pub ports: Vec<Port>,
    /// Command, arguments and variables as they are written.
    pub(crate) program: Program,
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
    /// The pod has it for itself: it has a `hostPort`, or the pod `hostNetwork`.
    pub exclusive: bool,
    /// `hostIP`, if that is one address.
    pub address: Option<IpAddr>,
}

/// What all containers of a pod have in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) spec: &'a v1::PodSpec,
    pub(crate) named: &'a Named,
    pub(crate) annotations: &'a BTreeMap<String, String>,
    /// Path of the metadata.
    pub(crate) metadata: &'a FieldPath,
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
    let (kind, restart) = restart::parse(from, kind, path, out);
    let ports = ports(from, pod.spec, &path.key("ports"), out);
    let actions = Actions { ports: &ports };
    let mut probe = |from: &Option<v1::Probe>, name: &str, of| {
        from.as_ref().and_then(|from| probe_of(kind, from, of, &actions, &path.key(name), out))
    };
    let startup = probe(&from.startup_probe, "startupProbe", ProbeKind::Startup);
    let readiness = probe(&from.readiness_probe, "readinessProbe", ProbeKind::Readiness);
    let liveness = probe(&from.liveness_probe, "livenessProbe", ProbeKind::Liveness);
    let lifecycle_path = path.key("lifecycle");
    let lifecycle = actions.lifecycle(from.lifecycle.as_ref(), &lifecycle_path, out);
    if kind == ContainerKind::Init && lifecycle != Lifecycle::default() {
        let message = "an init container runs to its end and has no hooks";
        out.error(Finding::new(Reason::InvalidValue, &lifecycle_path, message).hint("remove it"));
    }
    let stop_signal = from.lifecycle.as_ref().and_then(|l| l.stop_signal.as_deref());
    let stop_signal = stop_signal.and_then(|name| out.take(signal(name, &lifecycle_path.key("stopSignal"))));
    let termination_message = termination_message(from, path, out);
    let policy = pod_resources::restart_policy(from, pod.spec);
    let resize_policy = pod_resources::resize_policy(from, kind == ContainerKind::Init, policy, path, out);
    let program = Program::parse(from, path, out);
    let name = name?;
    let request = request(from, kind, name.clone(), &program, pod, path, out);
    Some(ParsedContainer {
        request,
        startup,
        readiness,
        liveness,
        lifecycle,
        stop_signal,
        restart,
        ephemeral: None,
        termination_message,
        resize_policy,
        notify: notify::of(&name, kind, pod.annotations, pod.metadata, out),
        ports,
        program,
        path: path.clone(),
    })
}

/// A signal by its name, e.g. `SIGUSR1`.
fn signal(name: &str, path: &FieldPath) -> Result<i32, Finding> {
    let known = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGWINCH"];
    let numbers = [1, 2, 3, 6, 9, 10, 12, 15, 28];
    let real_time = name.strip_prefix("SIGRTMIN+").and_then(|n| n.parse::<i32>().ok()).filter(|n| (0..=30).contains(n));
    let number = known.iter().position(|known| *known == name).map(|at| numbers[at]);
    // What glibc calls SIGRTMIN: the kernel's first two are its own.
    number.or(real_time.map(|n| 34 + n)).ok_or_else(|| {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{name:?} ends no service"));
        finding.hint(format!("use one of {} or SIGRTMIN+N", known.join(", ")))
    })
}

fn termination_message(from: &v1::Container, path: &FieldPath, out: &mut Findings) -> TerminationMessage {
    let default = TerminationMessage::default();
    let given = from.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let file = given.and_then(|file| out.take(paths::absolute(file, &path.key("terminationMessagePath"))));
    let policy = match from.termination_message_policy.as_deref() {
        None | Some("" | "File") => TerminationMessagePolicy::File,
        Some("FallbackToLogsOnError") => TerminationMessagePolicy::FallbackToLogsOnError,
        Some(other) => {
            let path = path.key("terminationMessagePolicy");
            let finding = Finding::new(Reason::InvalidValue, &path, format!("there is no such policy as {other:?}"));
            out.error(finding.hint("use File or FallbackToLogsOnError"));
            default.policy
        }
    };
    TerminationMessage { path: file.unwrap_or(default.path), policy }
}

fn container_name(name: &str, path: &FieldPath) -> Result<ContainerName, Finding> {
    ContainerName::new(name)
        .map_err(|e| Finding::new(Reason::InvalidValue, path, format!("{name:?} is not a name")).hint(e.rule))
}

fn request(
    from: &v1::Container,
    kind: ContainerKind,
    name: ContainerName,
    program: &Program,
    pod: &Surroundings<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> ContainerRequest {
    let Ran { command, args, env, .. } = program.run(&NoSources);
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
        mounts: mounts(from, pod, &env, path, out),
        user,
        read_only_root: own.and_then(|s| s.read_only_root_filesystem).unwrap_or_default(),
        capabilities: security::capabilities(capabilities, &own_path.key("capabilities"), out),
        allow_privilege_escalation: own.and_then(|s| s.allow_privilege_escalation),
        namespaces: NamespaceUse {
            host_pid: pod.spec.host_pid.unwrap_or_default(),
            host_ipc: pod.spec.host_ipc.unwrap_or_default(),
            shared_pid: pod.spec.share_process_namespace.unwrap_or_default(),
        },
        tty: from.tty.unwrap_or_default(),
        stdin: stdin(from),
        env_files: program.env_files(),
        hostname: pod.named.hostname.clone(),
        network: pod.named.files.clone(),
        confinement: confinement::parse(own, pod, &own_path, out),
        env,
    }
}

fn stdin(from: &v1::Container) -> Stdin {
    match (from.stdin.unwrap_or_default(), from.stdin_once.unwrap_or_default()) {
        (true, true) => Stdin::Once,
        (true, false) => Stdin::Open,
        // As in Kubernetes, `stdinOnce` alone opens nothing.
        (false, _) => Stdin::Closed,
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

fn mounts(
    from: &v1::Container,
    pod: &Surroundings<'_>,
    env: &barepod_model::Env,
    path: &FieldPath,
    out: &mut Findings,
) -> Vec<VolumeMount> {
    let volumes = pod.spec.volumes.as_deref().unwrap_or_default();
    let path = path.key("volumeMounts");
    let others = from.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
    let privileged = from.security_context.as_ref().and_then(|context| context.privileged).unwrap_or_default();
    let known = volumes::Known { env: &env.0, others, privileged };
    volumes::mounts(from.volume_mounts.as_deref().unwrap_or_default(), volumes, &known, &path, out)
}

fn ports(from: &v1::Container, spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Vec<Port> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (i, from) in from.ports.iter().flatten().enumerate() {
        let path = path.index(i);
        if let Some(name) = &from.name {
            port_name(name, &mut seen, &path.key("name"), out);
        }
        let number = out.take(number(from.container_port, &path.key("containerPort")));
        host_port(from, spec, &path.key("hostPort"), out);
        let protocol = from.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        if !matches!(protocol.as_str(), "TCP" | "UDP" | "SCTP") {
            let finding =
                Finding::new(Reason::InvalidValue, &path.key("protocol"), format!("there is no protocol {protocol:?}"));
            out.error(finding.hint("use TCP, UDP or SCTP"));
        }
        let exclusive = spec.host_network == Some(true) || from.host_port.is_some_and(|port| port != 0);
        let address = host_ip(from, spec, &path.key("hostIP"), out);
        ports.extend(number.map(|number| Port { name: from.name.clone(), number, protocol, exclusive, address }));
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

/// It says on which address the port is the pod's own. Nothing stands between the service and the network that could keep
/// it from others.
fn host_ip(from: &v1::ContainerPort, spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) -> Option<IpAddr> {
    let text = from.host_ip.as_deref().filter(|text| !text.is_empty())?;
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => None,
        Ok(address) => {
            if spec.host_network != Some(true) {
                let message = format!("the service itself has to listen on {address}, and on no other address");
                out.warn(Finding::new(Reason::InvalidValue, path, message).hint("say so in its own configuration"));
            }
            Some(address)
        }
        Err(_) => {
            let finding = Finding::new(Reason::InvalidValue, path, format!("{text:?} is no address"));
            out.error(finding.hint("write an IP address of this host, or remove it"));
            None
        }
    }
}

/// The pod is on the host's network, so the host's port can only be its own.
fn host_port(from: &v1::ContainerPort, spec: &v1::PodSpec, path: &FieldPath, out: &mut Findings) {
    let Some(port) = from.host_port.filter(|p| *p != 0) else { return };
    if out.take(number(port, path)).is_some() && port != from.container_port {
        let mode = if spec.host_network == Some(true) { "with hostNetwork" } else { "on the host's own network" };
        let message = format!("{mode} it is the same as containerPort, {}", from.container_port);
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("remove it, or let the service listen there"));
    }
}

fn probe_of(
    kind: ContainerKind,
    from: &v1::Probe,
    of: ProbeKind,
    actions: &Actions<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<Probe> {
    match kind {
        ContainerKind::Regular | ContainerKind::Sidecar => probes::parse(from, of, actions, path, out),
        ContainerKind::Init => {
            let finding =
                Finding::new(Reason::InvalidValue, path, "an init container runs to its end and has no probes");
            out.error(finding.hint("remove the probe, or make it a sidecar with restartPolicy: Always"));
            None
        }
        // The tables refuse it.
        ContainerKind::Ephemeral => None,
    }
}
