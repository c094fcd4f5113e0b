//! Disk space that goes with a pod: what was measured, and whether it is too much.
//!
//! The rules, their order and their words are kubelet's (`localStorageEviction` in `pkg/kubelet/eviction`). A pod that uses
//! more than it may is ended for good, and what it wrote is removed; a changed manifest gives it a new life.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_model::{Bytes, ContainerName, Pod, Reason, Volume, VolumeKind};
use serde::{Deserialize, Serialize};

use crate::context::Ctx;
use crate::planted::{self, Fault};
use crate::pod::PodMachine;
use crate::{PodFailure, Severity};

/// Disk space that a pod uses. Claims and paths of the host are not among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StorageUse {
    /// By container: its writable layer and its logs.
    pub containers: BTreeMap<ContainerName, Bytes>,
    /// By volume: emptyDirs on a disk.
    pub volumes: BTreeMap<String, Bytes>,
}

/// What an evicted container has to end: kubelet's `immediateEvictionGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(1);

/// Why a pod uses too much, if it does.
fn excess(pod: &Pod, used: &StorageUse) -> Option<String> {
    if planted::on(Fault::EvictsWithinLimits) {
        return Some("by fault".to_owned());
    }
    let of_volume = |volume: &Volume| {
        let limit = volume_limit(volume)?;
        let used = used.volumes.get(&volume.name)?;
        (*used > limit)
            .then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}.", volume.name, limit.to_string()))
    };
    let whole = || {
        let limit = pod.storage_limit()?;
        let sum = used.containers.values().chain(used.volumes.values()).map(|bytes| bytes.0).sum::<u64>();
        let message = "Pod ephemeral local storage usage exceeds the total limit of containers";
        (sum > limit.0).then(|| format!("{message} {limit}."))
    };
    let of_container = || {
        pod.containers.iter().find_map(|container| {
            let limit = container.resources.storage_limit.filter(|limit| *limit > Bytes(0))?;
            let used = used.containers.get(&container.name)?;
            let name = &container.name;
            (*used > limit).then(|| {
                format!("Container {name} exceeded its local ephemeral storage limit {:?}.", limit.to_string())
            })
        })
    };
    pod.volumes.iter().find_map(of_volume).or_else(whole).or_else(of_container)
}

/// The limit of an emptyDir on a disk.
fn volume_limit(volume: &Volume) -> Option<Bytes> {
    match volume.kind {
        VolumeKind::EmptyDir { memory: false, huge_pages: None, size_limit } => size_limit.filter(|l| *l > Bytes(0)),
        VolumeKind::EmptyDir { .. }
        | VolumeKind::HostPath { .. }
        | VolumeKind::Claim { .. }
        | VolumeKind::Projected(_) => None,
    }
}

/// Whether anything says how much disk space the pod may use: only such a pod need be measured.
#[must_use]
pub fn is_storage_limited(pod: &Pod) -> bool {
    pod.volumes.iter().any(|volume| volume_limit(volume).is_some()) || pod.storage_limit().is_some()
}

impl PodMachine {
    /// So much was measured.
    pub(crate) fn measured(&mut self, used: &StorageUse, ctx: &mut Ctx<'_>) {
        if self.is_over() {
            return;
        }
        // What is given counts; volumes are as they are wanted.
        let Some(message) = excess(&self.wanted, used) else { return };
        self.tell(Severity::Warning, Reason::Evicted, message.clone(), ctx);
        let failure = PodFailure::now(Reason::Evicted, ctx.stamp());
        self.record.failure = Some(PodFailure { message, grace: Some(GRACE), ..failure });
    }

    /// It used too much, and nothing of it lives: what it wrote can go.
    pub(crate) fn is_evicted(&self) -> bool {
        self.record.failure.as_ref().is_some_and(|failure| failure.reason == Reason::Evicted)
    }
}
