//! Writing and removing ledger files.

use std::sync::Arc;

use barepod_core::{Input, PodRecord, Revision, Sync};
use barepod_model::PodUid;

use super::Host;
use crate::supervisor::Handle;

pub(super) async fn store(
    host: Arc<Host>,
    supervisor: Handle,
    pod: PodUid,
    revision: Revision,
    record: Box<PodRecord>,
    sync: Sync,
    when_written: impl FnOnce(),
) {
    let result = host.blocking(move |host| host.ledger.write(&record, sync)).await;
    let input = match result {
        Ok(()) => {
            when_written();
            Input::Stored { pod, revision }
        }
        Err(error) => Input::StoreFailed { pod, revision, message: chain(&error) },
    };
    supervisor.tell(input).await;
}

pub(super) async fn forget(host: Arc<Host>, supervisor: Handle, pod: PodUid) {
    let uid = pod.clone();
    let result = host.blocking(move |host| host.ledger.remove(&uid)).await;
    let input = match result {
        Ok(()) => Input::Forgotten { pod },
        Err(error) => Input::ForgetFailed { pod, message: chain(&error) },
    };
    supervisor.tell(input).await;
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
