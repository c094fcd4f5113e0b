//! What the daemon tells of a cluster's pods, as the cluster's own events.

use std::time::Duration;

use barepod_api::events::Cursor;
use barepod_api::v1;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, ResourceExt as _};

use crate::call::Pauses;
use crate::pods::Refusal;
use crate::{Daemon, SOURCE};

/// Who says so.
const COMPONENT: &str = "barepod";
const LIMIT: Duration = Duration::from_secs(10);
/// As long as the API server takes a note (`NoteLengthLimit`), in bytes.
const NOTE: usize = 1024;
/// kubelet's word (`FailedToCreateContainer`) for what keeps a container from being made.
const FAILED: &str = "Failed";

/// Tells the cluster events. One that the API server does not take is lost: events are for people, and no record.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
}

impl Events {
    /// Those of this node.
    pub(crate) fn new(client: Client, node: String) -> Self {
        Self { recorder: Recorder::new(client, Reporter { controller: COMPONENT.to_owned(), instance: Some(node) }) }
    }

    /// What the daemon says that pods of the cluster come by, from now on.
    pub(crate) async fn forward(self, daemon: Daemon) {
        let mut pauses = Pauses::default();
        let mut cursor = Cursor::default();
        loop {
            if let Err(status) = self.follow(daemon.clone(), &mut cursor, &mut pauses).await {
                tracing::debug!("events are not told: {}", status.message());
            }
            tokio::time::sleep(pauses.pause()).await;
        }
    }

    async fn follow(&self, mut daemon: Daemon, cursor: &mut Cursor, pauses: &mut Pauses) -> Result<(), tonic::Status> {
        let mut stream = cursor.follow(&mut daemon).await?;
        while let Some(event) = stream.message().await? {
            pauses.reset();
            cursor.pass(&event);
            if event.source == SOURCE {
                self.tell(event).await;
            }
        }
        Ok(())
    }

    /// Why a pod is not taken, of which the daemon knows nothing: kubelet says it of the containers.
    pub(crate) async fn tell_refused(&self, pod: &Pod, (reason, message): &Refusal) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.namespace(),
            name: pod.metadata.name.clone(),
            uid: pod.uid(),
            ..ObjectReference::default()
        };
        self.publish(EventType::Warning, FAILED, &format!("{reason}: {message}"), &about).await;
    }

    async fn tell(&self, event: v1::Event) {
        let field_path = (!event.container.is_empty()).then(|| format!("spec.containers{{{}}}", event.container));
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(event.namespace),
            name: Some(event.pod),
            uid: Some(event.uid),
            field_path,
            ..ObjectReference::default()
        };
        let kind = if event.warning { EventType::Warning } else { EventType::Normal };
        self.publish(kind, &event.reason, &event.message, &about).await;
    }

    async fn publish(&self, kind: EventType, reason: &str, note: &str, about: &ObjectReference) {
        tracing::debug!(reason, note, "tells an event");
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(beginning(note, NOTE).to_owned()),
            action: reason.to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(LIMIT, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("an event is lost: {error}"),
            Err(_) => tracing::debug!("an event is lost: the API server does not answer"),
        }
    }
}

/// No more bytes of a text than these, and no half of a character.
fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_the_api_server_would_not_take_is_cut_between_characters() {
        assert_eq!(beginning("short", 1024), "short");
        assert_eq!(beginning("aäb", 2), "a");
        assert_eq!(beginning("aäb", 3), "aä");
    }
}
