//! A parsed Pod and what stands in for its images, put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use barepod_model::{
    Container, ContainerRequest, FsGroup, Launch, Pod, PodUid, Reason, RequestError, Resolved, Source, Volume,
    VolumeKind, VolumeMount,
};

use crate::container::ParsedContainer;
use crate::error::{Finding, Findings, ManifestError};
use crate::place::FieldPath;
use crate::pod::ParsedPod;

/// A whole pod, and what its author should know.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The pod.
    pub pod: Pod,
    /// Warnings of manifest and presets, in the order of the lines.
    pub warnings: Vec<ManifestError>,
}

impl ParsedPod {
    /// Makes it a pod of `source`. `resolve` says what stands in for the image of each container; `claims_root` is the
    /// host's directory below which persistent volume claims lie, as `<namespace>/<claim>`.
    ///
    /// # Errors
    /// What `resolve` refuses, and data that would lie where it is lost or shared; with the lines of the manifest.
    pub fn into_pod(
        self,
        source: Source,
        uid: PodUid,
        claims_root: &Path,
        mut resolve: impl FnMut(&ContainerRequest) -> Result<Resolved, RequestError>,
    ) -> Result<Assembled, Vec<ManifestError>> {
        let mut out = Findings::default();
        let mut containers = Vec::new();
        let mut data_paths = BTreeSet::new();
        let mut fs_group = None;
        for parsed in &self.containers {
            match resolve(&parsed.request) {
                Ok(resolved) => {
                    out.warnings.extend(resolved.warnings.iter().map(|w| self.finding(parsed, w)));
                    self.data_paths(parsed, &resolved, claims_root, &mut data_paths, &mut out);
                    not_root(parsed, &resolved.launch, &mut out);
                    fs_group = chosen_group(fs_group, parsed, &resolved);
                    containers.push(container(parsed, resolved));
                }
                Err(error) => out.error(self.finding(parsed, &error)),
            }
        }
        let locate = |finding| self.origin.locate(finding);
        if !out.errors.is_empty() {
            return Err(out.errors.into_iter().map(locate).collect());
        }
        let mut warnings: Vec<_> = out.warnings.into_iter().map(locate).chain(self.warnings.iter().cloned()).collect();
        warnings.sort_by_key(|w| (w.line, w.column));
        Ok(Assembled { pod: self.pod(source, uid, data_paths, fs_group, containers), warnings })
    }

    fn pod(
        self,
        source: Source,
        uid: PodUid,
        data_paths: BTreeSet<PathBuf>,
        fs_group: Option<u32>,
        containers: Vec<Container>,
    ) -> Pod {
        let policy = self.fs_group_policy;
        Pod {
            uid,
            namespace: self.namespace,
            name: self.name,
            source,
            labels: self.labels,
            annotations: self.annotations,
            restart_policy: self.restart_policy,
            grace: self.grace,
            active_deadline: self.active_deadline,
            readiness_gates: Vec::new(),
            depends_on: self.depends_on,
            data_paths,
            fs_group: fs_group.map(|gid| FsGroup { gid, policy }),
            volumes: self.volumes,
            containers,
            manifest: self.manifest,
        }
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

    /// Finds where the data of a container really lies.
    fn data_paths(
        &self,
        parsed: &ParsedContainer,
        resolved: &Resolved,
        claims_root: &Path,
        found: &mut BTreeSet<PathBuf>,
        out: &mut Findings,
    ) {
        let path = parsed.path.key("volumeMounts");
        for data in &resolved.data_paths {
            let Some(place) = out.take(self.host_path(data, &resolved.launch.mounts, claims_root, &path)) else {
                continue;
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
    fn host_path(
        &self,
        data: &Path,
        mounts: &[VolumeMount],
        claims_root: &Path,
        path: &FieldPath,
    ) -> Result<Option<PathBuf>, Finding> {
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
        let root = volume.and_then(|v| match &v.kind {
            VolumeKind::EmptyDir { .. } | VolumeKind::Projected(_) => None,
            VolumeKind::HostPath { path, .. } => Some(path.clone()),
            VolumeKind::Claim { claim, .. } => Some(claims_root.join(self.namespace.as_str()).join(claim)),
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

/// The manifest's probes take the place of the preset's, each for itself.
fn container(parsed: &ParsedContainer, resolved: Resolved) -> Container {
    let mut stop = resolved.stop;
    if let (Some(signal), Some(first)) = (parsed.stop_signal, stop.stages.first_mut()) {
        first.signal = signal;
    }
    Container {
        name: parsed.request.name.clone(),
        kind: parsed.request.kind,
        image: parsed.request.image.clone(),
        preset: resolved.preset,
        launch: resolved.launch,
        resources: parsed.request.resources,
        stop,
        startup: parsed.startup.clone().or(resolved.startup),
        readiness: parsed.readiness.clone().or(resolved.readiness),
        liveness: parsed.liveness.clone().or(resolved.liveness),
        lifecycle: parsed.lifecycle.clone(),
        restart: parsed.restart.clone(),
        termination_message: parsed.termination_message.clone(),
        missing: None,
    }
}
