//! The host goes down: who says so, and who looks on.

use std::sync::Arc;

use barepod_api::refusal;
use barepod_api::v1::{self, shutdown_request::Action};
use barepod_core::Input;
use barepod_model::Reason;
use tonic::{Code, Status};

use super::stream::{Answers, Sink, answer};
use crate::board::{Board, Shutdown};
use crate::shutdown::Marker;
use crate::supervisor::Handle;

/// What is asked, carried out. The marker is written first: a daemon that is killed now has a successor that goes on.
pub(super) async fn begin(
    action: Action,
    marker: Marker,
    supervisor: &Handle,
    board: &Arc<Board>,
) -> Result<Answers<v1::ShutdownResponse>, Status> {
    let wanted = match action {
        Action::Look => None,
        Action::Begin => Some(true),
        Action::CallOff => Some(false),
    };
    if let Some(goes_down) = wanted {
        let written = tokio::task::spawn_blocking(move || marker.set(goes_down)).await;
        let written = written.map_err(|error| Status::internal(error.to_string()))?;
        written.map_err(|error| {
            refusal(Code::Internal, Reason::Failed.as_str(), format!("nothing is changed: {error}"))
        })?;
        supervisor.tell(Input::Shutdown { goes_down }).await;
        // What is shown from here on is shown under the new state of the host.
        supervisor.pulse().await;
    }
    let board = Arc::clone(board);
    Ok(answer(move |sink| show(board, action, sink)))
}

async fn show(board: Arc<Board>, action: Action, sink: Sink<v1::ShutdownResponse>) {
    let mut shown = board.shutdown();
    loop {
        let now = shown.borrow_and_update().clone();
        let is_over = match action {
            Action::Look => false,
            Action::Begin => !now.goes_down || now.remaining.is_empty(),
            Action::CallOff => !now.goes_down,
        };
        let Shutdown { goes_down, remaining } = now;
        let message = v1::ShutdownResponse { goes_down, remaining: remaining.into_iter().collect() };
        if sink.send(Ok(message)).await.is_err() || is_over {
            return;
        }
        tokio::select! {
            () = sink.closed() => return,
            changed = shown.changed() => if changed.is_err() { return },
        }
    }
}
