//! A container's log, decoded, as it was and as it grows.

use std::path::PathBuf;
use std::sync::Arc;

use barepod_api::{refusal, v1};
use barepod_core::{ContainerState, PodView};
use barepod_logs::cri::{self, Tag};
use barepod_logs::reader::{AtEnd, Options, Reader, Step};
use barepod_model::{Attempt, ContainerKey, ContainerKind, ContainerName, Reason};
use tonic::{Code, Status};

use super::stream::{Answers, Sink, answer};
use crate::board::Board;
use crate::hands::Host;
use crate::watch::DirectoryWatch;

/// Bytes of one answer.
const CHUNK: usize = 32 << 10;

/// The container that is meant: the named one, or the only regular one.
pub(super) fn container(view: &PodView, name: &str) -> Result<ContainerName, Status> {
    let pod = view.pod.as_deref();
    let all: Vec<_> = pod.map(|pod| pod.containers.iter().collect()).unwrap_or_default();
    let names = || all.iter().map(|c| c.name.to_string()).collect::<Vec<_>>().join(", ");
    let refuse = |message: String| refusal(Code::NotFound, Reason::ContainerNotFound.as_str(), message);
    if !name.is_empty() {
        let found = all.iter().find(|container| container.name.as_str() == name);
        return found
            .map(|c| c.name.clone())
            .ok_or_else(|| refuse(format!("the pod has no container {name}; it has {}", names())));
    }
    let regular: Vec<_> = all.iter().filter(|container| container.kind == ContainerKind::Regular).collect();
    match regular.as_slice() {
        [one] => Ok(one.name.clone()),
        _ => Err(refuse(format!("the pod has several containers; name one with -c: {}", names()))),
    }
}

struct Log {
    directory: PathBuf,
    key: ContainerKey,
    attempt: Attempt,
    reader: Reader,
    timestamps: bool,
    fresh_line: bool,
}

/// # Errors
/// The container or the attempt does not exist.
pub(super) fn stream(
    host: &Arc<Host>,
    board: &Arc<Board>,
    view: &PodView,
    request: v1::LogsRequest,
) -> Result<Answers<v1::LogsResponse>, Status> {
    let name = container(view, &request.container)?;
    let key = ContainerKey { pod: view.uid.clone(), container: name };
    let attempt = attempt(view, &key, request.previous)?;
    let pod = view.pod.as_deref().ok_or_else(|| Status::not_found("the pod's record cannot be read"))?;
    let directory = host.dirs.log_of(pod, &key);
    let options = Options {
        tail: request.tail_lines,
        since_ns: request.since_seconds.map(since),
        at_end: AtEnd::Wait,
        ..Options::default()
    };
    let reader = Reader::open(&directory, attempt.0, options);
    let reader = reader.map_err(|error| Status::internal(format!("{}: {error}", directory.display())))?;
    let log = Log { directory, key, attempt, reader, timestamps: request.timestamps, fresh_line: true };
    let (host, board) = (Arc::clone(host), Arc::clone(board));
    let follow = request.follow && !request.previous;
    Ok(answer(move |sink| send(host, board, log, follow, sink)))
}

fn attempt(view: &PodView, key: &ContainerKey, previous: bool) -> Result<Attempt, Status> {
    let container = view.containers.iter().find(|container| container.name == key.container);
    let newest = container.and_then(|container| container.attempt);
    let refuse = |message: String| refusal(Code::NotFound, Reason::NotFound.as_str(), message);
    match (newest, previous) {
        (None, _) => Err(refuse(format!("container {} has not been started yet", key.container))),
        (Some(newest), false) => Ok(newest),
        (Some(Attempt(0)), true) => Err(refuse(format!("container {} has been started once only", key.container))),
        (Some(Attempt(newest)), true) => Ok(Attempt(newest - 1)),
    }
}

fn since(seconds: u64) -> i64 {
    let now = jiff::Timestamp::now().as_nanosecond();
    i64::try_from(now - i128::from(seconds) * 1_000_000_000).unwrap_or(i64::MIN)
}

async fn send(host: Arc<Host>, board: Arc<Board>, mut log: Log, follow: bool, sink: Sink<v1::LogsResponse>) {
    let mut watch = follow.then(|| DirectoryWatch::growth(&log.directory));
    loop {
        // Asked before reading: what ended before this read has been written whole.
        let over = !follow || is_over(&board, &log);
        let read = host.blocking(move |_| {
            let chunk = log.chunk();
            (log, chunk)
        });
        let (back, chunk) = read.await;
        log = back;
        let message = match chunk {
            Ok(data) if data.is_empty() && over => return,
            Ok(data) if data.is_empty() => {
                wait(&mut watch, &board, &sink).await;
                continue;
            }
            Ok(data) => Ok(v1::LogsResponse { data }),
            Err(error) => Err(Status::internal(format!("{}: {error}", log.directory.display()))),
        };
        let last = message.is_err();
        if sink.send(message).await.is_err() || last {
            return;
        }
    }
}

/// Until the log may have grown, the container may have ended, or the client has gone.
async fn wait(watch: &mut Option<DirectoryWatch>, board: &Board, sink: &Sink<v1::LogsResponse>) {
    let (_, mut changes) = board.watch();
    let grown = async {
        match watch {
            Some(watch) => watch.happened().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = grown => {}
        _ = changes.recv() => {}
        () = sink.closed() => {}
    }
}

/// The attempt no longer writes.
fn is_over(board: &Board, log: &Log) -> bool {
    let Some(view) = board.get(&log.key.pod) else { return true };
    let container = view.containers.iter().find(|container| container.name == log.key.container);
    container.is_none_or(|container| {
        container.attempt != Some(log.attempt) || !matches!(container.state, ContainerState::Running { .. })
    })
}

impl Log {
    /// What comes next, decoded; empty at the end of what is there.
    fn chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let mut data = Vec::new();
        while data.len() < CHUNK {
            let Step::Line(line) = self.reader.step()? else { break };
            if self.timestamps && self.fresh_line {
                data.extend_from_slice(&cri::format_time(line.time_ns));
                data.push(b' ');
            }
            self.fresh_line = line.tag == Tag::Full;
            data.extend(line.bytes());
        }
        Ok(data)
    }
}
