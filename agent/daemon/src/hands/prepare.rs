//! What a pod has before its first container: groups with their limits, directories, volumes.

use std::sync::Arc;

use barepod_core::{Input, StartFailure};
use barepod_linux::cgroup::CgroupError;
use barepod_linux::sandbox;
use barepod_linux::volumes::{self, VolumeError};
use barepod_model::{ContainerKey, Pod, Reason};

use super::Host;
use super::launch::failure;
use super::ledger::chain;
use crate::supervisor::Handle;

pub(super) async fn prepare(host: Arc<Host>, supervisor: Handle, pod: Arc<Pod>, generation: u64) {
    let wanted = Arc::clone(&pod);
    let result = host.blocking(move |host| make(host, &wanted)).await;
    let uid = pod.uid.clone();
    let input = match result {
        Ok(()) => Input::Prepared { pod: uid, generation },
        Err(failure) => Input::PrepareFailed { pod: uid, generation, failure },
    };
    supervisor.tell(input).await;
}

fn make(host: &Host, pod: &Pod) -> Result<(), StartFailure> {
    let error = |error: &dyn std::error::Error| failure(Reason::CreatePodError, chain(error));
    host.groups.prepare_pod(&pod.uid, &pod.namespace, &pod.name).map_err(|e| error(&e))?;
    for container in &pod.containers {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        host.groups.prepare_container(&key).map_err(|e| error(&e))?;
        // What runs is changed by an order of its own, which may be refused.
        if host.process(&key).is_none() {
            match host.limit(pod, container) {
                // It runs after all, from before this daemon.
                Ok(()) | Err(CgroupError::InUse { .. }) => {}
                Err(e) => return Err(error(&e)),
            }
        }
    }
    sandbox::ensure(&host.dirs, pod).map_err(|e| error(&e))?;
    for limit in host.groups.apply_pod(pod).map_err(|e| error(&e))? {
        host.warn_pod(&pod.uid, Reason::Degraded, &limit.to_string());
    }
    for warning in volumes::prepare_pod(&host.dirs, pod).map_err(|e| volume(&e))? {
        host.warn_pod(&pod.uid, Reason::Degraded, &warning);
    }
    Ok(())
}

fn volume(error: &VolumeError) -> StartFailure {
    let missing = matches!(error, VolumeError::Missing { .. });
    failure(if missing { Reason::FailedMount } else { Reason::CreatePodError }, chain(error))
}
