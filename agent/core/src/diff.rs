//! What an update asks for, compared with what is wanted now.
//!
//! | changed | so |
//! |---|---|
//! | nothing | nothing |
//! | labels, annotations, grace, restart policies, stop plan, hooks, probes, resources, manifest | in place |
//! | what a regular container's or a sidecar's process is started with | that container is replaced |
//! | a regular container or a sidecar added or removed | it is started or stopped |
//! | volumes, data paths, any init container | all containers are replaced, init containers first |

use std::collections::BTreeSet;

use barepod_model::{Container, ContainerKind, ContainerName, Pod};

/// The reach of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing is different.
    None,
    /// No process is touched.
    InPlace,
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
            Change::Containers(_) | Change::Whole => true,
        }
    }
}

/// Compares; `wanted` already has the UID of `present`.
pub(crate) fn classify(present: &Pod, wanted: &Pod) -> Change {
    if present == wanted {
        return Change::None;
    }
    let volumes = present.volumes != wanted.volumes || present.data_paths != wanted.data_paths;
    if volumes || !same_processes(&inits(present), &inits(wanted)) {
        return Change::Whole;
    }
    let replaced = replaced_containers(present, wanted);
    if replaced.is_empty() { Change::InPlace } else { Change::Containers(replaced) }
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
}

fn inits(pod: &Pod) -> Vec<&Container> {
    pod.containers.iter().filter(|container| container.kind == ContainerKind::Init).collect()
}

/// Those that run as long as the pod does.
fn lasting(pod: &Pod) -> Vec<&Container> {
    pod.containers.iter().filter(|container| container.kind != ContainerKind::Init).collect()
}
