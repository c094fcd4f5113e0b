//! Looks at the host every ten seconds, as kubelet does, for the core to decide whether it is short of something. Pods are
//! looked at only while it is, and only those that may have to go for it; directories are gone through by a thread that is
//! behind all others. When one has gone the host is looked at again at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Input, PodUse, PodView, PressureRules, Signal, Survey};
use barepod_model::{ContainerKey, Phase, Pod, PodUid, Reason};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::board::Change;
use crate::clock;
use crate::hands::Host;
use crate::levels::levels;
use crate::storage;
use crate::supervisor::Handle;

/// kubelet's `evictionMonitoringPeriod`.
const PERIOD: Duration = Duration::from_secs(10);
/// What was held is given back a moment after its holder has ended.
const MOMENT: Duration = Duration::from_secs(1);

/// Looks until `stop`.
pub(crate) async fn watch(host: Arc<Host>, supervisor: Handle, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_looking(&host, &supervisor) => {}
    }
}

async fn keep_looking(host: &Arc<Host>, supervisor: &Handle) {
    loop {
        let (_, mut changes) = host.board.watch();
        let config = host.settings.now();
        if let Some(survey) = look(host, &config.resources.pressure).await {
            supervisor.tell(Input::Surveyed { survey: Box::new(survey) }).await;
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = an_eviction(&mut changes) => tokio::time::sleep(MOMENT).await,
        }
    }
}

/// Returns when a pod that was evicted has ended.
async fn an_eviction(changes: &mut Receiver<Change>) {
    let is_evicted = |view: &PodView| view.reason == Some(Reason::Evicted);
    loop {
        match changes.recv().await {
            Ok(Change { now: Some(now), .. }) if is_evicted(&now) && now.phase == Phase::Failed => return,
            Ok(Change { now: None, before: Some(before) }) if is_evicted(&before) => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn look(host: &Arc<Host>, rules: &PressureRules) -> Option<Survey> {
    let begun = clock::now().boot;
    let state = host.dirs.state.clone();
    let levels = tokio::task::spawn_blocking(move || levels(&state)).await.ok()?;
    let scarce = rules.scarce(&levels);
    let mut pods = BTreeMap::new();
    if !scarce.is_empty() {
        let living = host.board.list();
        let candidates: Vec<_> = living.iter().filter_map(|view| living_pod(view)).collect();
        let candidates: Vec<_> = candidates.into_iter().filter(|pod| !rules.exempts(pod)).collect();
        pods = measured(Arc::clone(host), candidates, scarce).await?;
        tracing::debug!(?levels, ?pods, "the host is short of something");
    }
    Some(Survey { begun, levels, pods })
}

fn living_pod(view: &PodView) -> Option<Arc<Pod>> {
    view.pod.clone().filter(|_| view.deletion.is_none() && view.containers.iter().any(|container| container.live))
}

/// A thread of its own, since it steps back for good.
async fn measured(host: Arc<Host>, pods: Vec<Arc<Pod>>, scarce: BTreeSet<Signal>) -> Option<BTreeMap<PodUid, PodUse>> {
    let (done, measured) = oneshot::channel();
    let work = move || {
        let on_disk = scarce.contains(&Signal::Disk) || scarce.contains(&Signal::Inodes);
        if on_disk && let Err(error) = barepod_sys::priority::step_back() {
            tracing::debug!(%error, "disk space is measured with the priority of all else");
        }
        let uses = pods.iter().map(|pod| (pod.uid.clone(), of_pod(&host, pod, on_disk)));
        done.send(uses.collect()).ok();
    };
    if let Err(error) = std::thread::Builder::new().name("survey".to_owned()).spawn(work) {
        tracing::warn!(%error, "what pods use cannot be measured");
        return None;
    }
    measured.await.ok()
}

fn of_pod(host: &Host, pod: &Pod, on_disk: bool) -> PodUse {
    let mut used = PodUse::default();
    for container in &pod.containers {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        // One that does not run has no group.
        let Ok(usage) = host.groups.usage(&key) else { continue };
        let cold = usage.inactive_file.unwrap_or(0);
        used.memory += usage.memory.map_or(0, |memory| memory.saturating_sub(cold));
        used.processes += usage.pids.unwrap_or(0);
    }
    if on_disk {
        let taken = storage::taken(&host.dirs, pod);
        (used.disk, used.inodes) = (taken.bytes.0, taken.inodes);
    }
    used
}
