//! Carrying probes out.

use std::sync::Arc;

use barepod_core::{AttemptKey, Input, ProbeOutcome, ProbeTicket};
use barepod_model::{Probe, ProbeHandler, ProbeKind};

use super::Host;
use super::command::{self, Ended};
use crate::supervisor::Handle;

pub(super) async fn probe(
    host: Arc<Host>,
    supervisor: Handle,
    key: AttemptKey,
    kind: ProbeKind,
    ticket: ProbeTicket,
    probe: Probe,
) {
    let asked = ask(&host, &key, &probe);
    let outcome = match tokio::time::timeout(probe.timeout, asked).await {
        Ok(outcome) => outcome,
        Err(_) => ProbeOutcome::Failure(format!("no answer within {:?}", probe.timeout)),
    };
    supervisor.tell(Input::Probed { key, kind, ticket, outcome }).await;
}

async fn ask(host: &Arc<Host>, key: &AttemptKey, probe: &Probe) -> ProbeOutcome {
    match &probe.handler {
        ProbeHandler::Exec { command } => match command::run(host, &key.container_key(), command).await {
            Ended::Well => ProbeOutcome::Success,
            Ended::Badly(said) => ProbeOutcome::Failure(said),
            Ended::NotRun(why) => ProbeOutcome::Unavailable(why),
        },
        ProbeHandler::Http(_) | ProbeHandler::Tcp { .. } | ProbeHandler::Grpc { .. } => {
            ProbeOutcome::Unavailable("there is no prober".to_owned())
        }
    }
}
