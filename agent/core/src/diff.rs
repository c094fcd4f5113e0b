//! What an update asks for, compared with what is wanted now.
//!
//! | changed | so |
//! |---|---|
//! | nothing | nothing |
//! | labels, annotations, grace, restart policies, stop plan, hooks, probes, resources, ports of the host, manifest | in place |
//! | contents of volumes made from objects, the pod's part of the disks | in place, made again; no process is touched |
//! | an ephemeral container added | the same, and it is started |
//! | what a regular container's or a sidecar's process is started with | that container is replaced |
//! | a regular container or a sidecar added or removed | it is started or stopped |
//! | volumes, data paths, any init container | all containers are replaced, init containers first |

use std::collections::BTreeSet;
use std::path::PathBuf;

use barepod_model::{Container, ContainerKind, ContainerName, HostPort, Pod, Volume, VolumeKind};

use crate::planted::{self, Fault};

/// The reach of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing is different.
    None,
    /// No process is touched.
    InPlace,
    /// Nor by this, but what its volumes show, or what its group may do, is to be made again.
    Contents,
    /// These containers get new processes; some may be new or gone.
    Containers(BTreeSet<ContainerName>),
    /// All of them do.
    Whole,
}

impl Change {
    /// Whether directories, volumes or the set of containers may differ, so that the pod must be prepared again.
    pub(crate) fn needs_prepare(&self) -> bool {
        match self {
            Change::None | Change::InPlace => false,
            Change::Contents | Change::Containers(_) | Change::Whole => true,
        }
    }
}

/// Compares; `wanted` already has the UID of `present`.
pub(crate) fn classify(present: &Pod, wanted: &Pod) -> Change {
    if present == wanted {
        return Change::None;
    }
    let volumes = present.volumes.iter().map(place).eq(wanted.volumes.iter().map(place));
    if !volumes || !data_paths(present).eq(data_paths(wanted)) || !same_processes(&inits(present), &inits(wanted)) {
        return Change::Whole;
    }
    let replaced = replaced_containers(present, wanted);
    match replaced.is_empty() {
        false => Change::Containers(replaced),
        true if present.volumes != wanted.volumes || present.resources.io != wanted.resources.io => Change::Contents,
        true if ephemeral(present).count() != ephemeral(wanted).count() => Change::Contents,
        true => Change::InPlace,
    }
}

/// Without ports: which of them a pod says it has changes nothing for its processes.
fn data_paths(pod: &Pod) -> impl Iterator<Item = &PathBuf> {
    pod.data_paths.iter().filter(|path| HostPort::of(path).is_none())
}

/// A volume as far as a process that has it depends on it: without the contents that it may see change.
fn place(volume: &Volume) -> Volume {
    // What its claim is called is for those who look at it.
    let mut volume = Volume { claim: None, ..volume.clone() };
    match &mut volume.kind {
        VolumeKind::Projected(projected) => {
            projected.files.clear();
            projected.missing = None;
        }
        VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } | VolumeKind::Claim { .. } => {}
    }
    volume
}

/// Regular containers and sidecars that are new, gone, or started with something else.
fn replaced_containers(present: &Pod, wanted: &Pod) -> BTreeSet<ContainerName> {
    let (before, after) = (lasting(present), lasting(wanted));
    let names = before.iter().chain(&after).map(|container| &container.name);
    let changed = names.filter(|name| {
        let find = |list: &[&Container]| list.iter().find(|c| c.name == **name).copied().cloned();
        match (find(&before), find(&after)) {
            (Some(before), Some(after)) => !same_process(&before, &after),
            (Some(_), None) | (None, Some(_)) | (None, None) => true,
        }
    });
    changed.cloned().collect()
}

fn same_processes(before: &[&Container], after: &[&Container]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(a, b)| a.name == b.name && same_process(a, b))
}

/// Whether a process started for one serves the other.
fn same_process(before: &Container, after: &Container) -> bool {
    before.kind == after.kind
        && before.image == after.image
        && before.preset == after.preset
        && before.launch.serves(&after.launch)
        && !(planted::on(Fault::ValueReplaces) && before.launch.env != after.launch.env)
}

fn inits(pod: &Pod) -> Vec<&Container> {
    pod.containers.iter().filter(|container| container.kind == ContainerKind::Init).collect()
}

/// Those that run as long as the pod does.
fn lasting(pod: &Pod) -> Vec<&Container> {
    pod.containers.iter().filter(|container| container.kind.lasts()).collect()
}

/// Those that were added to look into the pod.
pub(crate) fn ephemeral(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.containers.iter().filter(|container| container.kind == ContainerKind::Ephemeral)
}
