//! A parsed Pod and what stands in for its images, put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use barepod_model::{
    Brought, Bytes, Container, ContainerRequest, Credentials, Env, FsGroup, HostPort, Launch, NotifyRequest, Pod,
    PodUid, Reason, RequestError, Resolved, Resources, Root, Source, StopPlan, Volume, VolumeKind, VolumeMount,
};

use crate::confinement;
use crate::container::ParsedContainer;
use crate::context::{Context, Lookup};
use crate::error::{Finding, Findings, ManifestError};
use crate::lookup::waiting_volume;
use crate::place::FieldPath;
use crate::pod::ParsedPod;
use crate::volumes::ParsedVolume;

/// A whole pod, and what its author should know.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The pod.
    pub pod: Pod,
    /// Warnings of manifest and presets, in the order of the lines.
    pub warnings: Vec<ManifestError>,
}

impl ParsedPod {
    /// Makes it a pod of `source`, with all that it refers to looked up in `context`. `resolve` says what stands in for the
    /// image of each container. What does not exist keeps the container or volume that needs it waiting.
    ///
    /// # Errors
    /// What `resolve` refuses, and data that would lie where it is lost or shared; with the lines of the manifest.
    pub fn into_pod(
        self,
        source: Source,
        uid: PodUid,
        context: &Context<'_>,
        mut resolve: impl FnMut(&ContainerRequest) -> Result<Resolved, RequestError>,
    ) -> Result<Assembled, Vec<ManifestError>> {
        let mut out = Findings::default();
        let lookup = Lookup { pod: &self, uid: &uid, context: *context };
        self.node_selector(&lookup, &mut out);
        let volumes = self.looked_up(&lookup, &mut out);
        let mut containers = Vec::new();
        let mut data_paths = BTreeSet::new();
        let mut fs_group = None;
        for parsed in &self.containers {
            let (mut request, missing) = lookup.request(parsed);
            // What its group is limited to, whoever says so.
            request.resources = request.resources.within(self.resources.level.as_ref());
            match resolve(&request) {
                Ok(mut resolved) => {
                    out.warnings.extend(resolved.warnings.iter().map(|w| self.finding(parsed, w)));
                    let place = Data { pod: &self, volumes: &volumes, claims_root: context.claims_root };
                    // Who only looks has no data of his own.
                    if parsed.ephemeral.is_none() {
                        place.find(parsed, &resolved, missing.is_some(), &mut data_paths, &mut out);
                    }
                    not_root(parsed, &resolved.launch, &mut out);
                    confinement::enforceable(parsed, context.host, &mut out);
                    fs_group = chosen_group(fs_group, parsed, &resolved);
                    if let Some(request) = parsed.notify {
                        resolved.launch.notify = match request {
                            NotifyRequest::Off => None,
                            NotifyRequest::On(notify) => Some(notify),
                        };
                    }
                    resolved.launch.as_written =
                        parsed.program.as_written(parsed.request.working_dir.clone(), context.cluster.is_some());
                    containers.push(container(parsed, resolved, missing));
                }
                // The values that are missing may be what it lacks. A pod that lives already is left as it is.
                Err(error) if missing.is_some() && !context.lives => {
                    out.warnings.push(self.finding(parsed, &error));
                    containers.push(container(parsed, stand_in(request), missing));
                }
                Err(error) => out.error(self.finding(parsed, &error)),
            }
        }
        data_paths.extend(self.host_ports());
        data_paths.extend(self.claims_of_its_own(&lookup, &volumes));
        let locate = |finding| self.origin.locate(finding);
        if !out.errors.is_empty() {
            return Err(out.errors.into_iter().map(locate).collect());
        }
        let mut warnings: Vec<_> = out.warnings.into_iter().map(locate).chain(self.warnings.iter().cloned()).collect();
        warnings.sort_by_key(|w| (w.line, w.column));
        let fs_group = fs_group.map(|gid| FsGroup { gid, policy: self.fs_group_policy });
        Ok(Assembled { pod: self.pod(source, uid, data_paths, fs_group, volumes, containers), warnings })
    }

    fn pod(
        self,
        source: Source,
        uid: PodUid,
        data_paths: BTreeSet<PathBuf>,
        fs_group: Option<FsGroup>,
        volumes: Vec<Volume>,
        containers: Vec<Container>,
    ) -> Pod {
        Pod {
            uid,
            namespace: self.namespace,
            name: self.name,
            source,
            labels: self.labels,
            annotations: self.annotations,
            restart_policy: self.restart_policy,
            grace: self.grace,
            priority: self.priority,
            bears_memory_pressure: self.bears_memory_pressure,
            active_deadline: self.active_deadline,
            readiness_gates: self.readiness_gates,
            depends_on: self.depends_on,
            data_paths,
            fs_group,
            resources: self.resources,
            volumes,
            containers,
            manifest: self.manifest,
        }
    }

    /// As kubelet's admission: what the scheduler would have seen to.
    fn node_selector(&self, lookup: &Lookup<'_>, out: &mut Findings) {
        let labels = &lookup.context.host.labels;
        for (key, value) in &self.node_selector {
            if labels.get(key) != Some(value) {
                let path = FieldPath::default().key("spec").key("nodeSelector").key(key);
                let has = labels.get(key).map_or("no such label".to_owned(), |has| format!("{has:?}"));
                let message = format!("Predicate NodeAffinity failed: this host has {has}, the pod wants {value:?}");
                let finding = Finding::new(Reason::NodeAffinity, &path, message);
                out.error(finding.hint("give the host the label under nodeLabels in barepod.yaml, or remove it here"));
            }
        }
    }

    /// Ports that no other pod may have, in the form of paths.
    fn host_ports(&self) -> impl Iterator<Item = PathBuf> {
        let ports = self.containers.iter().flat_map(|container| &container.ports).filter(|port| port.exclusive);
        ports
            .map(|port| HostPort { protocol: port.protocol.clone(), number: port.number, address: port.address }.path())
    }

    /// Where claims lie that no other pod may have.
    fn claims_of_its_own(&self, lookup: &Lookup<'_>, volumes: &[Volume]) -> Vec<PathBuf> {
        let find = |name: &str| match &volumes.iter().find(|volume| volume.name == name)?.kind {
            VolumeKind::HostPath { path, .. } => Some(path.clone()),
            VolumeKind::Claim { claim, .. } => {
                Some(lookup.context.claims_root.join(self.namespace.as_str()).join(claim))
            }
            VolumeKind::EmptyDir { .. } | VolumeKind::Projected(_) => None,
        };
        lookup.claims_of_its_own().filter_map(find).collect()
    }

    fn looked_up(&self, lookup: &Lookup<'_>, out: &mut Findings) -> Vec<Volume> {
        let one = |parsed: &ParsedVolume| {
            if lookup.context.cluster.is_none() && parsed.kind.has_tokens() {
                let message = "a cluster issues service account tokens, and this pod is none of a cluster's";
                let finding = Finding::new(Reason::UnsupportedField, &parsed.path, message);
                out.error(finding.hint("put credentials into a Secret"));
            }
            let kind = lookup.volume(&parsed.kind).unwrap_or_else(|missing| {
                if lookup.context.lives {
                    let finding = Finding::new(Reason::InvalidConfiguration, &parsed.path, &missing);
                    out.error(finding.hint("define it; the pod that lives stays as it is until then"));
                }
                waiting_volume(missing)
            });
            let claim = parsed.kind.claim().map(str::to_owned);
            Volume { name: parsed.name.clone(), claim, kind }
        };
        self.volumes.iter().map(one).collect()
    }

    /// What a preset says about a container, with its field's path from the root. `env[NAME]` is that variable.
    fn finding(&self, parsed: &ParsedContainer, error: &RequestError) -> Finding {
        let variable = error.field.strip_prefix("env[").and_then(|rest| rest.strip_suffix(']'));
        let path = match variable {
            Some(name) => self.origin.variable(&parsed.path.key("env"), name),
            None => parsed.path.join(&error.field),
        };
        let finding = Finding::new(error.reason, &path, &error.message);
        Finding { hint: error.hint.clone(), ..finding }
    }
}

/// Where data lie.
struct Data<'a> {
    pod: &'a ParsedPod,
    volumes: &'a [Volume],
    claims_root: &'a Path,
}

impl Data<'_> {
    /// Finds where the data of a container really lies. Of an incomplete one that is not known for certain yet.
    fn find(
        &self,
        parsed: &ParsedContainer,
        resolved: &Resolved,
        incomplete: bool,
        found: &mut BTreeSet<PathBuf>,
        out: &mut Findings,
    ) {
        let path = parsed.path.key("volumeMounts");
        for data in &resolved.data_paths {
            let place = match self.host_path(data, &resolved.launch.mounts, &path) {
                Ok(place) => place,
                Err(_) if incomplete => continue,
                Err(finding) => {
                    out.error(finding);
                    continue;
                }
            };
            if place.as_ref().is_some_and(|p| found.contains(p)) {
                let message = format!("another container of this pod keeps its data in {} too", data.display());
                let finding = Finding::new(Reason::DataPathInUse, &path, message);
                out.error(finding.hint("give each its own volume or subPath"));
            }
            found.extend(place);
        }
    }

    /// The host's path of `data`; none if it is a directory of the pod's own.
    fn host_path(&self, data: &Path, mounts: &[VolumeMount], path: &FieldPath) -> Result<Option<PathBuf>, Finding> {
        let below = |m: &&VolumeMount| data.starts_with(&m.path);
        let Some(mount) = mounts.iter().filter(below).max_by_key(|m| m.path.components().count()) else {
            let message = format!("{} lies on no volume, so the data would be lost with the container", data.display());
            let hint = format!("mount a volume at {}", data.display());
            return Err(Finding::new(Reason::InvalidConfiguration, path, message).hint(hint));
        };
        let volume = self.volumes.iter().find(|v| v.name == mount.volume);
        if mount.read_only || volume.is_some_and(is_read_only) {
            let message = format!("{} lies on a volume that is mounted read-only", data.display());
            return Err(Finding::new(Reason::InvalidConfiguration, path, message).hint("remove readOnly"));
        }
        let rest = data.strip_prefix(&mount.path).unwrap_or(Path::new(""));
        let namespace = self.pod.namespace.as_str();
        let root = volume.and_then(|v| match &v.kind {
            VolumeKind::EmptyDir { .. } | VolumeKind::Projected(_) => None,
            VolumeKind::HostPath { path, .. } => Some(path.clone()),
            VolumeKind::Claim { claim, .. } => Some(self.claims_root.join(namespace).join(claim)),
        });
        Ok(root.map(|root| root.join(&mount.sub_path).join(rest).components().collect()))
    }
}

/// The pod's `fsGroup` on this host: a preset that knows the image's group says which one stands for it.
fn chosen_group(so_far: Option<u32>, parsed: &ParsedContainer, resolved: &Resolved) -> Option<u32> {
    let written = parsed.request.user.fs_group;
    if resolved.fs_group == written { so_far.or(written) } else { resolved.fs_group }
}

fn is_read_only(volume: &Volume) -> bool {
    match volume.kind {
        VolumeKind::Claim { read_only, .. } => read_only,
        VolumeKind::Projected(_) => true,
        VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } => false,
    }
}

fn not_root(parsed: &ParsedContainer, launch: &Launch, out: &mut Findings) {
    if parsed.request.user.non_root && launch.user.uid == 0 {
        let path = parsed.path.key("securityContext").key("runAsNonRoot");
        let finding = Finding::new(Reason::InvalidConfiguration, &path, "without runAsUser it runs as root here");
        out.error(finding.hint("give a runAsUser"));
    }
}

/// What is known of a container before what it refers to exists. It is never started.
fn stand_in(request: ContainerRequest) -> Resolved {
    let launch = Launch {
        argv: vec!["/bin/false".to_owned()],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: PathBuf::from("/"),
        user: Credentials { uid: 65534, gid: 65534, groups: Vec::new() },
        root: Root::Host,
        read_only_root: true,
        mounts: request.mounts,
        shared: Vec::new(),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: Bytes(0),
        capabilities: Vec::new(),
        no_new_privileges: true,
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: request.namespaces,
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: request.hostname,
        as_written: None,
        network: request.network,
        confinement: request.confinement,
        notify: None,
    };
    Resolved {
        preset: request.image,
        brought: Brought::default(),
        launch,
        fs_group: None,
        stop: StopPlan::default(),
        startup: None,
        readiness: None,
        liveness: None,
        data_paths: Vec::new(),
        pids_limit: None,
        oom_group: true,
        warnings: Vec::new(),
    }
}

/// The manifest's probes take the place of the preset's, each for itself. A service that says itself when it has started
/// need not be asked, unless the manifest wants that. An ephemeral container is no service.
fn container(parsed: &ParsedContainer, mut resolved: Resolved, missing: Option<String>) -> Container {
    if parsed.ephemeral.is_some() {
        (resolved.startup, resolved.readiness, resolved.liveness, resolved.launch.notify) = (None, None, None, None);
    }
    let mut stop = resolved.stop;
    if let (Some(signal), Some(first)) = (parsed.stop_signal, stop.stages.first_mut()) {
        first.signal = signal;
    }
    let says_itself = resolved.launch.notify.is_some();
    Container {
        name: parsed.request.name.clone(),
        kind: parsed.request.kind,
        ephemeral: parsed.ephemeral.clone(),
        image: parsed.request.image.clone(),
        preset: resolved.preset,
        brought: resolved.brought,
        launch: resolved.launch,
        resources: Resources { pids_limit: resolved.pids_limit, ..parsed.request.resources },
        resize_policy: parsed.resize_policy,
        oom_group: resolved.oom_group,
        stop,
        startup: parsed.startup.clone().or(resolved.startup.filter(|_| !says_itself)),
        readiness: parsed.readiness.clone().or(resolved.readiness),
        liveness: parsed.liveness.clone().or(resolved.liveness),
        lifecycle: parsed.lifecycle.clone(),
        restart: parsed.restart.clone(),
        termination_message: parsed.termination_message.clone(),
        missing,
    }
}
