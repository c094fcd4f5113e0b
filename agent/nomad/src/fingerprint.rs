//! What the client is told of the driver, and what its tasks' pods have to tell.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use barepod_api::events::Cursor;
use barepod_api::v1::Event;
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::daemon::{Daemon, Link, Seen, words};
use crate::table::Table;
use crate::wire::driver::fingerprint_response::HealthState;
use crate::wire::driver::{DriverTaskEvent, FingerprintResponse};
use crate::wire::structs::{Attribute, attribute};

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How long the first word waits for the daemon's.
const PATIENCE: Duration = Duration::from_secs(1);
/// What changes together is told together.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause before events are asked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// At once, and whenever it has changed, until `stop`. It does not end before: the client would ask again at once.
pub(crate) fn stream(daemon: Daemon, stop: CancellationToken) -> Answers<FingerprintResponse> {
    let first = (daemon, None);
    let next = |(daemon, before): (Daemon, Option<FingerprintResponse>)| async move {
        let now = match before {
            None => {
                daemon.link(PATIENCE).await;
                response(&daemon.seen().borrow())
            }
            Some(before) => changed(&daemon, &before).await,
        };
        Some((Ok(now.clone()), (daemon, Some(now))))
    };
    Box::pin(stream::unfold(first, next).take_until(stop.cancelled_owned()))
}

/// What there is to say once it is something else.
async fn changed(daemon: &Daemon, before: &FingerprintResponse) -> FingerprintResponse {
    let mut seen = daemon.seen();
    loop {
        let now = response(&seen.borrow_and_update());
        if now.health != before.health {
            return now;
        }
        if now != *before {
            // Pods that come and go together are one answer.
            tokio::time::sleep(SETTLE).await;
            let now = response(&seen.borrow_and_update());
            if now != *before {
                return now;
            }
        }
        if seen.changed().await.is_err() {
            // The plugin ends.
            return std::future::pending().await;
        }
    }
}

fn response(seen: &Seen) -> FingerprintResponse {
    let link = &seen.link;
    let (health, attributes) = match link {
        Link::Up(facts) => {
            let text = |text: &str| attribute::Value::StringVal(text.to_owned());
            let mut attributes = HashMap::from([
                ("driver.barepod".to_owned(), attribute::Value::BoolVal(true)),
                ("driver.barepod.version".to_owned(), text(&facts.version)),
                ("driver.barepod.cgroup".to_owned(), text(&facts.cgroup)),
            ]);
            for preset in &facts.presets {
                attributes.insert(format!("driver.barepod.preset.{preset}"), attribute::Value::BoolVal(true));
            }
            let services = seen.services();
            for (name, value) in services.values().flat_map(|service| service.attributes()) {
                attributes.insert(name, text(value));
            }
            (HealthState::Healthy, attributes)
        }
        Link::Absent(_) => (HealthState::Undetected, HashMap::new()),
        Link::Unknown | Link::Down(_) => (HealthState::Unhealthy, HashMap::new()),
    };
    let typed = |(name, value)| (name, Attribute { value: Some(value), unit: String::new() });
    FingerprintResponse {
        attributes: attributes.into_iter().map(typed).collect(),
        health: health.into(),
        health_description: if health == HealthState::Healthy { "Healthy".to_owned() } else { words(link).to_owned() },
        err: String::new(),
    }
}

/// What goes wrong with tasks' pods, as it happens: a client shows ten events of a task, so what goes well is not told.
pub(crate) fn events(daemon: Daemon, table: Table, stop: CancellationToken) -> Answers<DriverTaskEvent> {
    let (sender, answers) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut cursor = Cursor::default();
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = stop.cancelled() => return,
                () = follow(&daemon, &table, &sender, &mut cursor) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    Box::pin(ReceiverStream::new(answers))
}

/// Passes events on until the daemon goes away.
async fn follow(
    daemon: &Daemon,
    table: &Table,
    sender: &mpsc::Sender<Result<DriverTaskEvent, Status>>,
    cursor: &mut Cursor,
) {
    let mut client = daemon.stream_client();
    let Ok(mut events) = cursor.follow(&mut client.client).await else { return };
    while let Ok(Some(event)) = events.message().await {
        cursor.pass(&event);
        if let Some(event) = translate(table, event)
            && sender.send(Ok(event)).await.is_err()
        {
            return;
        }
    }
}

fn translate(table: &Table, event: Event) -> Option<DriverTaskEvent> {
    let task = table.holder(&event.uid).filter(|_| event.warning)?;
    let timestamp = event.time.map(|time| prost_types::Timestamp { seconds: time.seconds, nanos: time.nanos });
    let container = if event.container.is_empty() { String::new() } else { format!("container {}: ", event.container) };
    Some(DriverTaskEvent {
        task_id: task.config.id.clone(),
        alloc_id: task.config.alloc_id.clone(),
        task_name: task.config.name.clone(),
        timestamp,
        message: format!("{}: {container}{}", event.reason, event.message),
        annotations: HashMap::from([("reason".to_owned(), event.reason)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Facts;

    #[test]
    fn a_daemon_that_is_away_makes_the_driver_unhealthy_and_says_why() {
        let facts = Facts { version: "0.1.0".to_owned(), presets: vec!["postgresql".to_owned()], ..Facts::default() };
        let response = |link| response(&Seen::from(link));
        let healthy = response(Link::Up(facts));
        assert_eq!(healthy.health(), HealthState::Healthy);
        assert!(healthy.attributes.contains_key("driver.barepod.preset.postgresql"));

        let down = response(Link::Down("it is not running".to_owned()));
        assert_eq!((down.health(), down.health_description.as_str()), (HealthState::Unhealthy, "it is not running"));
        assert_eq!(response(Link::Absent(String::new())).health(), HealthState::Undetected);
    }
}
