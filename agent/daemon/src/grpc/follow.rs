//! Pods and events as they change, for who follows them.

use std::sync::Arc;

use barepod_api::v1;
use barepod_core::PodView;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::convert;
use super::gate::Gate;
use super::service::matches;
use super::stream::Sink;
use crate::board::Board;
use crate::journal::{Entry, Journal};

pub(super) async fn watch(board: Arc<Board>, filter: v1::ListRequest, gate: Gate, sink: Sink<v1::WatchResponse>) {
    let matches = |filter: &v1::ListRequest, view: &PodView| matches(filter, view) && gate.sees(view);
    let (pods, mut changes) = board.watch();
    for view in pods.iter().filter(|view| matches(&filter, view)) {
        if sink.send(Ok(present(view))).await.is_err() {
            return;
        }
    }
    let synced = v1::WatchResponse { kind: v1::watch_response::Kind::Synced.into(), pod: None };
    if sink.send(Ok(synced)).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            () = sink.closed() => return,
            change = changes.recv() => match change {
                Ok(change) => match (&change.now, &change.before) {
                    (Some(view), _) if matches(&filter, view) => Ok(present(view)),
                    (None, Some(view)) if matches(&filter, view) => Ok(gone(view)),
                    (Some(_) | None, _) => continue,
                },
                Err(RecvError::Lagged(_)) => Err(Status::resource_exhausted("too slow for the changes; watch anew")),
                Err(RecvError::Closed) => return,
            },
        };
        let last = message.is_err();
        if sink.send(message).await.is_err() || last {
            return;
        }
    }
}

fn present(view: &PodView) -> v1::WatchResponse {
    v1::WatchResponse { kind: v1::watch_response::Kind::Present.into(), pod: Some(convert::pod(view)) }
}

fn gone(view: &PodView) -> v1::WatchResponse {
    v1::WatchResponse { kind: v1::watch_response::Kind::Gone.into(), pod: Some(convert::pod(view)) }
}

pub(super) async fn events(journal: Arc<Journal>, filter: v1::EventsRequest, gate: Gate, sink: Sink<v1::Event>) {
    let wanted = |entry: &Entry| {
        (filter.namespace.is_empty() || filter.namespace == entry.namespace)
            && (filter.name.is_empty() || filter.name == entry.pod)
            && gate.sees_namespace(&entry.namespace)
    };
    let (past, mut new) = journal.follow(filter.after.unwrap_or_default());
    for entry in past.iter().filter(|entry| wanted(entry)) {
        if sink.send(Ok(convert::event(entry))).await.is_err() {
            return;
        }
    }
    if !filter.follow {
        return;
    }
    loop {
        let entry = tokio::select! {
            () = sink.closed() => return,
            entry = new.recv() => entry,
        };
        match entry {
            Ok(entry) if !wanted(&entry) => {}
            Ok(entry) => {
                if sink.send(Ok(convert::event(&entry))).await.is_err() {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {
                sink.send(Err(Status::resource_exhausted("too slow for the events; ask anew"))).await.ok();
                return;
            }
            Err(RecvError::Closed) => return,
        }
    }
}
