//! Removing an ended pod from the host: shims, groups, directories. Logs and claims stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use barepod_core::Input;
use barepod_linux::sandbox::{self, pause};
use barepod_linux::volumes;
use barepod_model::{ContainerKey, ContainerName, Pod, PodUid};
use barepod_shim::layout;
use tokio::sync::{mpsc, oneshot};

use super::Host;
use super::container::{ContainerTask, Order};
use super::ledger::chain;
use crate::supervisor::Handle;

/// `tasks` are those of the pod's containers; they end with this.
pub(super) async fn tear_down(
    host: Arc<Host>,
    supervisor: Handle,
    pod: Arc<Pod>,
    tasks: Vec<(ContainerKey, mpsc::UnboundedSender<Order>)>,
) {
    let result = remove(&host, &supervisor, &pod, tasks).await;
    let uid = pod.uid.clone();
    let input = match result {
        Ok(()) => Input::TornDown { pod: uid },
        Err(message) => Input::TearDownFailed { pod: uid, message },
    };
    supervisor.tell(input).await;
}

async fn remove(
    host: &Arc<Host>,
    supervisor: &Handle,
    pod: &Arc<Pod>,
    tasks: Vec<(ContainerKey, mpsc::UnboundedSender<Order>)>,
) -> Result<(), String> {
    let mut dismissed = BTreeSet::new();
    for (key, orders) in tasks {
        let (done, answer) = oneshot::channel();
        // A task that has ended has nothing left to be dismissed from; its shim is looked for below.
        if orders.send(Order::Dismiss { done }).is_ok() {
            answer.await.unwrap_or(Ok(()))?;
            dismissed.insert(key);
        }
    }
    let uid = pod.uid.clone();
    let left = host.blocking(move |host| shims_of(host, &uid)).await;
    for key in left.into_iter().filter(|key| !dismissed.contains(key)) {
        let (_, orders) = mpsc::unbounded_channel();
        ContainerTask::new(key, Arc::clone(host), supervisor.clone(), orders).dismiss().await?;
    }
    let pod = Arc::clone(pod);
    host.blocking(move |host| {
        pause::end(&host.dirs.sandbox(&pod.uid)).map_err(|error| chain(&error))?;
        host.forget_limits(&pod.uid);
        host.answers.forget(&pod.uid);
        host.groups.remove_pod(&pod.uid).map_err(|error| chain(&error))?;
        sandbox::tear_down(&host.dirs, &pod.uid).map_err(|error| chain(&error))?;
        volumes::tear_down(&host.dirs, &pod.uid).map_err(|error| chain(&error))
    })
    .await
}

/// Containers of the pod that have a shim's directory, by what the directory says of itself.
fn shims_of(host: &Host, pod: &PodUid) -> Vec<ContainerKey> {
    let Ok(directories) = fs_err::read_dir(host.dirs.shims()) else { return Vec::new() };
    let identity = |path: std::path::PathBuf| {
        let text = fs_err::read_to_string(path.join(layout::IDENTITY)).ok()?;
        let (uid, container) = text.split_once('\n')?;
        let container = ContainerName::new(container.trim_end()).ok()?;
        (uid == pod.as_str()).then(|| ContainerKey { pod: pod.clone(), container })
    };
    directories.flatten().filter_map(|entry| identity(entry.path())).collect()
}
