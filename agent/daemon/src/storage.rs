//! Disk space that goes with pods, measured every ten seconds as kubelet does, and only of pods that have a limit: by a
//! thread that takes what CPU and disk nobody else wants. Where nothing is limited, nothing is done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Input, PodView, StorageUse, is_storage_limited};
use barepod_linux::Dirs;
use barepod_linux::volumes::{DiskUse, disk_usage};
use barepod_model::{Bytes, Container, ContainerKey, Phase, Pod, Volume, VolumeKind};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::hands::Host;
use crate::supervisor::Handle;

/// kubelet's `evictionMonitoringPeriod`.
const PERIOD: Duration = Duration::from_secs(10);

/// Measures until `stop`.
pub(crate) async fn watch(host: Arc<Host>, supervisor: Handle, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_measuring(&host, &supervisor) => {}
    }
}

async fn keep_measuring(host: &Arc<Host>, supervisor: &Handle) {
    loop {
        for pod in some_limited(host).await {
            let used = in_the_background(host.dirs.clone(), Arc::clone(&pod)).await;
            if let Some(used) = used {
                tracing::debug!(pod = %pod.name, ?used, "disk space");
                supervisor.tell(Input::Measured { pod: pod.uid.clone(), used }).await;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The pods that have a limit and may still write; waits until there is one.
async fn some_limited(host: &Host) -> Vec<Arc<Pod>> {
    let (views, mut changes) = host.board.watch();
    let found: Vec<_> = views.iter().filter_map(|view| limited(view)).collect();
    if !found.is_empty() {
        return found;
    }
    loop {
        match changes.recv().await {
            Ok(change) => {
                if let Some(pod) = change.now.as_deref().and_then(limited) {
                    return vec![pod];
                }
            }
            // Whatever was missed is on the board.
            Err(RecvError::Lagged(_)) => return host.board.list().iter().filter_map(|view| limited(view)).collect(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn limited(view: &PodView) -> Option<Arc<Pod>> {
    let over = matches!(view.phase, Phase::Failed | Phase::Succeeded) || view.deletion.is_some();
    view.pod.clone().filter(|pod| !over && is_storage_limited(pod))
}

/// A thread of its own, since it steps back for good.
async fn in_the_background(dirs: Dirs, pod: Arc<Pod>) -> Option<StorageUse> {
    let (done, measured) = oneshot::channel();
    let work = move || {
        if let Err(error) = barepod_sys::priority::step_back() {
            tracing::debug!(%error, "disk space is measured with the priority of all else");
        }
        done.send(measure(&dirs, &pod)).ok();
    };
    if let Err(error) = std::thread::Builder::new().name("disk-space".to_owned()).spawn(work) {
        tracing::warn!(%error, "disk space cannot be measured");
        return None;
    }
    measured.await.ok()
}

/// All that is given back with the pod, but its logs, which stay: they count as its own all the same.
pub(crate) fn taken(dirs: &Dirs, pod: &Pod) -> DiskUse {
    let key = |container: &Container| ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
    let own = pod.containers.iter().flat_map(|container| {
        let key = key(container);
        [dirs.overlay(&key), dirs.log_of(pod, &key)]
    });
    let volumes = on_disk(pod).map(|volume| dirs.empty_dir(&pod.uid, &volume.name));
    let places: Vec<_> = own.chain(volumes).map(|path| used(&path)).collect();
    places.iter().fold(DiskUse::default(), |sum, one| DiskUse {
        bytes: Bytes(sum.bytes.0 + one.bytes.0),
        inodes: sum.inodes + one.inodes,
    })
}

fn used(path: &Path) -> DiskUse {
    disk_usage(path).unwrap_or_else(|error| {
        tracing::warn!(%error, path = %path.display(), "what lies there is not counted");
        DiskUse::default()
    })
}

fn on_disk(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.volumes
        .iter()
        .filter(|volume| matches!(volume.kind, VolumeKind::EmptyDir { memory: false, huge_pages: None, .. }))
}

fn measure(dirs: &Dirs, pod: &Pod) -> StorageUse {
    let used = |path: PathBuf| used(&path).bytes;
    let containers = pod.containers.iter().map(|container| {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        let (layer, logs) = (used(dirs.overlay(&key)), used(dirs.log_of(pod, &key)));
        (container.name.clone(), Bytes(layer.0 + logs.0))
    });
    let volumes = on_disk(pod).map(|volume| (volume.name.clone(), used(dirs.empty_dir(&pod.uid, &volume.name))));
    StorageUse { containers: containers.collect(), volumes: volumes.collect() }
}
