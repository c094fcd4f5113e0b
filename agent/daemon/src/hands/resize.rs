//! New limits for a running container.

use std::sync::Arc;

use barepod_core::Input;
use barepod_model::{ContainerKey, Reason, Resources};

use super::Host;
use super::ledger::chain;
use crate::supervisor::Handle;

pub(super) async fn resize(
    host: Arc<Host>,
    supervisor: Handle,
    key: ContainerKey,
    generation: u64,
    resources: Resources,
) {
    let container = key.clone();
    let result = host.blocking(move |host| host.groups.apply(&container, &resources)).await;
    let input = match result {
        Ok(unenforced) => {
            unenforced.iter().for_each(|limit| host.warn(&key, Reason::Degraded, &limit.to_string()));
            Input::Resized { key, generation }
        }
        Err(error) => Input::ResizeFailed { key, generation, message: chain(&error) },
    };
    supervisor.tell(input).await;
}
