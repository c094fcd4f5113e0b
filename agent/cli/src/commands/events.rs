//! `barepod events`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::EventsRequest;

use super::Client;
use crate::args::Events;
use crate::output;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Events) -> Result<ExitCode> {
    let name = args.pod.as_deref().map(target::name).transpose()?.unwrap_or_default();
    let namespace = if args.all_namespaces { String::new() } else { namespace };
    let request = EventsRequest { namespace, name, follow: args.watch };
    let mut events = client.events(request).await.map_err(from_status)?.into_inner();
    while let Some(event) = events.message().await.map_err(from_status)? {
        let kind = if event.warning { "Warning" } else { "Normal" };
        let container = if event.container.is_empty() { String::new() } else { format!("/{}", event.container) };
        let time = output::time(event.time.as_ref());
        output::print(&format!(
            "{time}  {kind:<7}  {}/{}{container}  {}: {}\n",
            event.namespace, event.pod, event.reason, event.message
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
