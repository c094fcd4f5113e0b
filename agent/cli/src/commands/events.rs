//! `barepod events`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::{Event, EventsRequest};

use super::Client;
use crate::args::{EventType, Events};
use crate::get::events::kind;
use crate::output::{self, Reader};
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Events) -> Result<ExitCode> {
    let name = args.pod.as_deref().map(target::name).transpose()?.unwrap_or_default();
    let namespace = if args.all_namespaces { String::new() } else { namespace };
    let request = EventsRequest { namespace, name, follow: args.watch, ..EventsRequest::default() };
    let mut events = client.events(request).await.map_err(from_status)?.into_inner();
    while let Some(event) = events.message().await.map_err(from_status)? {
        let of = if event.warning { EventType::Warning } else { EventType::Normal };
        let is_wanted = args.types.is_empty() || args.types.contains(&of);
        if is_wanted && output::pass(line(&event).as_bytes())? == Reader::Gone {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(event: &Event) -> String {
    let time = output::time(event.time.as_ref());
    let container = if event.container.is_empty() { String::new() } else { format!("/{}", event.container) };
    let Event { namespace, pod, reason, message, .. } = event;
    let about = if pod.is_empty() { "host".to_owned() } else { format!("{namespace}/{pod}{container}") };
    format!("{time}  {:<7}  {about}  {reason}: {message}\n", kind(event))
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Timestamp;

    use super::*;

    #[test]
    fn an_event_is_a_line_with_whom_it_is_about() {
        let event = |pod: &str, container: &str, warning, reason: &str, message: &str| Event {
            time: Some(Timestamp { seconds: 1_000_000_000, nanos: 0 }),
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Event::default()
        };
        let lines = [
            event("db", "", false, "Scheduled", "accepted"),
            event("db", "postgresql", true, "Unhealthy", "Liveness probe failed: refused"),
            event("", "", false, "ConfigReloaded", "changed: nodeLabels"),
        ];
        insta::assert_snapshot!(lines.iter().map(line).collect::<String>());
    }
}
