//! What the daemon tells of a cluster's pods, as the cluster's own events.

use std::time::Duration;

use barepod_api::v1;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::call::Pauses;
use crate::{Daemon, SOURCE};

/// Who says so.
const COMPONENT: &str = "barepod";
const LIMIT: Duration = Duration::from_secs(10);

/// Events that say what pods of a cluster come by, from now on. One that the API server does not take is lost: events are
/// for people, and no record.
pub(crate) async fn forward(client: Client, daemon: Daemon, node: String) {
    let recorder = Recorder::new(client, Reporter { controller: COMPONENT.to_owned(), instance: Some(node) });
    let mut pauses = Pauses::default();
    let mut newest = std::time::SystemTime::now();
    loop {
        if let Err(status) = follow(&recorder, daemon.clone(), &mut newest, &mut pauses).await {
            tracing::debug!("events are not told: {}", status.message());
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

async fn follow(
    recorder: &Recorder,
    mut daemon: Daemon,
    newest: &mut std::time::SystemTime,
    pauses: &mut Pauses,
) -> Result<(), tonic::Status> {
    let request = v1::EventsRequest { follow: true, ..v1::EventsRequest::default() };
    let mut stream = daemon.events(request).await?.into_inner();
    while let Some(event) = stream.message().await? {
        pauses.reset();
        let time = time_of(&event);
        // The daemon begins with what it remembers, some of which has been told.
        if event.source != SOURCE || time <= *newest {
            continue;
        }
        *newest = time;
        tell(recorder, event).await;
    }
    Ok(())
}

fn time_of(event: &v1::Event) -> std::time::SystemTime {
    let time = event.time.unwrap_or_default();
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    std::time::UNIX_EPOCH + Duration::new(seconds, u32::try_from(time.nanos).unwrap_or(0))
}

async fn tell(recorder: &Recorder, event: v1::Event) {
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
    let told = Event {
        type_: kind,
        reason: event.reason.clone(),
        note: Some(event.message),
        action: event.reason,
        secondary: None,
    };
    match tokio::time::timeout(LIMIT, recorder.publish(&told, &about)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("an event is lost: {error}"),
        Err(_) => tracing::debug!("an event is lost: the API server does not answer"),
    }
}
