//! New limits for a running container, and for its pod as a whole.

use std::sync::Arc;

use barepod_core::Input;
use barepod_linux::cgroup::CgroupError;
use barepod_model::{ContainerKey, Pod, Reason};

use super::Host;
use super::ledger::chain;
use crate::supervisor::Handle;

pub(super) async fn resize(host: Arc<Host>, supervisor: Handle, key: ContainerKey, generation: u64, pod: Arc<Pod>) {
    let container = key.clone();
    let result = host.blocking(move |host| change(host, &container, &pod)).await;
    let input = match result {
        Ok(()) => Input::Resized { key, generation },
        Err(error) => Input::ResizeFailed { key, generation, message: refusal(&error) },
    };
    supervisor.tell(input).await;
}

fn change(host: &Host, key: &ContainerKey, pod: &Pod) -> Result<(), CgroupError> {
    if let Some(container) = pod.containers.iter().find(|container| container.name == key.container) {
        host.limit(pod, container)?;
    }
    for limit in host.groups.apply_pod(pod)? {
        host.warn_pod(&pod.uid, Reason::Degraded, &limit.to_string());
    }
    Ok(())
}

/// kubelet's words where it has some.
fn refusal(error: &CgroupError) -> String {
    match error {
        CgroupError::InUse { limit, used, .. } => format!(
            "attempting to set memory limit ({}) below current usage ({}); it is tried again until that is less",
            limit.0, used.0
        ),
        other => chain(other),
    }
}
