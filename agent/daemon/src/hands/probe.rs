//! Carrying probes out: commands in the container's view, everything on the network by the prober.

use std::sync::Arc;
use std::time::Instant;

use barepod_core::{AttemptKey, Input, ProbeOutcome, ProbeTicket};
use barepod_model::{Probe, ProbeHandler, ProbeKind, Reason};

use super::Host;
use super::command::{self, Ended};
use crate::prober::Answer;
use crate::supervisor::Handle;

pub(super) async fn probe(
    host: Arc<Host>,
    supervisor: Handle,
    key: AttemptKey,
    kind: ProbeKind,
    ticket: ProbeTicket,
    probe: Probe,
) {
    let (timeout, asked_at) = (probe.timeout, Instant::now());
    let outcome = match &probe.handler {
        ProbeHandler::Exec { command } => exec(&host, &key, &probe, command).await,
        ProbeHandler::Http(get) => asked(&host, &key, kind, host.prober.http(get, timeout).await),
        ProbeHandler::Tcp { host: name, port } => {
            asked(&host, &key, kind, host.prober.tcp(name.as_deref(), *port, timeout).await)
        }
        ProbeHandler::Grpc { port, service } => {
            asked(&host, &key, kind, host.prober.grpc(*port, service, timeout).await)
        }
    };
    host.answers.count(&key.container_key(), kind, &outcome, asked_at.elapsed());
    supervisor.tell(Input::Probed { key, kind, ticket, outcome }).await;
}

async fn exec(host: &Arc<Host>, key: &AttemptKey, probe: &Probe, command: &[String]) -> ProbeOutcome {
    let container = key.container_key();
    let ended = command::run(host, &container, command);
    match tokio::time::timeout(probe.timeout, ended).await {
        Ok(Ended::Well) => ProbeOutcome::Success,
        Ok(Ended::Badly(said)) => ProbeOutcome::Failure(said),
        Ok(Ended::NotRun(why)) => ProbeOutcome::Unavailable(why),
        Err(_) => ProbeOutcome::Failure(format!("no answer within {:?}", probe.timeout)),
    }
}

/// What the prober's answer means. That it has none is told here: it counts neither way, and a service that never gets
/// ready for it would be a riddle.
fn asked(host: &Host, key: &AttemptKey, kind: ProbeKind, answer: Answer) -> ProbeOutcome {
    match answer {
        Answer::Good => ProbeOutcome::Success,
        Answer::Warning(text) => ProbeOutcome::Warning(text),
        Answer::Bad(text) => ProbeOutcome::Failure(text),
        Answer::Undecided(why) => {
            let message = format!("{kind:?} probe decided nothing: {why}");
            host.warn(&key.container_key(), Reason::ProbeWarning, &message);
            ProbeOutcome::Unavailable(why)
        }
    }
}
