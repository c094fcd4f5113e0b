//! A container's log, decoded, as it was and as it grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_api::{refusal, v1};
use barepod_core::PodView;
use barepod_logs::cri::{self, Stream, Tag};
use barepod_logs::reader::{AtEnd, Options, Reader, Step};
use barepod_model::{Attempt, ContainerKey, ContainerKind, ContainerName, PodUid, Reason};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Code, Status};

use super::stream::{Answers, Sink, answer};
use crate::board::{Board, Change};
use crate::hands::Host;
use crate::watch::DirectoryWatch;

/// How often a log is looked at that is not watched.
const UNWATCHED: Duration = Duration::from_secs(1);
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
    stream: Option<Stream>,
    /// Bytes that may still be sent, where there is a limit.
    left: Option<u64>,
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
    let options =
        Options { tail: request.tail_lines, since_ns: since(&request), at_end: AtEnd::Wait, ..Options::default() };
    let reader = Reader::open(&directory, attempt.0, options);
    let reader = reader.map_err(|error| Status::internal(format!("{}: {error}", directory.display())))?;
    let stream = match request.stream() {
        v1::LogStream::All => None,
        v1::LogStream::Stdout => Some(Stream::Stdout),
        v1::LogStream::Stderr => Some(Stream::Stderr),
    };
    let (timestamps, left) = (request.timestamps, request.limit_bytes);
    let log = Log { directory, key, attempt, reader, timestamps, fresh_line: true, stream, left };
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

/// Nanoseconds since 1970, from which on records are wanted.
fn since(request: &v1::LogsRequest) -> Option<i64> {
    let now = jiff::Timestamp::now().as_nanosecond();
    let ago = request.since_seconds.map(|seconds| now - i128::from(seconds) * 1_000_000_000);
    let at = request.since_time.map(|at| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos));
    let since = ago.max(at)?;
    i64::try_from(since.clamp(i64::MIN.into(), i64::MAX.into())).ok()
}

async fn send(host: Arc<Host>, board: Arc<Board>, mut log: Log, follow: bool, sink: Sink<v1::LogsResponse>) {
    let mut follower = follow.then(|| Follower::new(&board, &log.directory, log.key.pod.clone()));
    loop {
        // Asked before reading: what ended before this read has been written whole.
        let over = follower.as_mut().is_none_or(|follower| {
            follower.watch();
            log.left == Some(0) || is_over(&board, &log)
        });
        let read = host.blocking(move |_| {
            let chunk = log.chunk();
            (log, chunk)
        });
        let (back, chunk) = read.await;
        log = back;
        let message = match chunk {
            Ok(data) if data.is_empty() => match &mut follower {
                Some(follower) if !over => {
                    tokio::select! {
                        () = follower.news() => {}
                        () = sink.closed() => return,
                    }
                    continue;
                }
                Some(_) | None => return,
            },
            Ok(data) => Ok(v1::LogsResponse { data }),
            Err(error) => Err(Status::internal(format!("{}: {error}", log.directory.display()))),
        };
        let last = message.is_err();
        if sink.send(message).await.is_err() || last {
            return;
        }
    }
}

/// Waits for a log to grow, or for its container to end. It listens from the begin, so that nothing that happens between a
/// look and the wait after it is missed.
struct Follower {
    pod: PodUid,
    changes: broadcast::Receiver<Change>,
    directory: PathBuf,
    growth: Growth,
}

/// How it is learnt that a log has grown.
enum Growth {
    /// There is no directory yet: the shim makes it for the first attempt.
    NotYet,
    /// The kernel says it.
    Watched(Box<DirectoryWatch>),
    /// The kernel watches no more for this user: one looks, again and again.
    Unwatched,
}

impl Follower {
    fn new(board: &Board, directory: &Path, pod: PodUid) -> Self {
        let (_, changes) = board.watch();
        Self { pod, changes, directory: directory.to_owned(), growth: Growth::NotYet }
    }

    /// Begins to watch the directory, as soon as it is there.
    fn watch(&mut self) {
        if matches!(self.growth, Growth::NotYet) && self.directory.exists() {
            self.growth = match DirectoryWatch::growth(&self.directory) {
                Ok(watch) => Growth::Watched(Box::new(watch)),
                Err(error) => {
                    tracing::debug!(%error, directory = %self.directory.display(), "looked at every second");
                    Growth::Unwatched
                }
            };
        }
    }

    /// Returns when there may be something new since it was last asked.
    async fn news(&mut self) {
        let Self { pod, changes, growth, .. } = self;
        let grown = async {
            match growth {
                Growth::Watched(watch) => watch.happened().await,
                Growth::Unwatched => tokio::time::sleep(UNWATCHED).await,
                Growth::NotYet => std::future::pending().await,
            }
        };
        tokio::select! {
            () = grown => {}
            () = changed(changes, pod) => {}
        }
    }
}

/// Until the pod is shown in another way. A watcher that fell behind looks again; a board that is gone shows nothing new.
async fn changed(changes: &mut broadcast::Receiver<Change>, pod: &PodUid) {
    let of_pod = |change: &Change| change.now.as_ref().or(change.before.as_ref()).is_some_and(|view| view.uid == *pod);
    loop {
        match changes.recv().await {
            Ok(change) if !of_pod(&change) => {}
            Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
        }
    }
}

/// The attempt no longer writes, and what it wrote is in its log.
fn is_over(board: &Board, log: &Log) -> bool {
    let Some(view) = board.get(&log.key.pod) else { return true };
    let container = view.containers.iter().find(|container| container.name == log.key.container);
    container.is_none_or(|container| container.attempt != Some(log.attempt) || !container.live)
}

impl Log {
    /// What comes next, decoded; empty at the end of what is there.
    fn chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let mut data = Vec::new();
        let most = self.left.map_or(CHUNK, |left| usize::try_from(left).unwrap_or(CHUNK).min(CHUNK));
        while data.len() < most {
            let Step::Line(line) = self.reader.step()? else { break };
            if self.stream.is_some_and(|stream| stream != line.stream) {
                continue;
            }
            if self.timestamps && self.fresh_line {
                data.extend_from_slice(&cri::format_time(line.time_ns));
                data.push(b' ');
            }
            self.fresh_line = line.tag == Tag::Full;
            data.extend(line.bytes());
        }
        if let Some(left) = &mut self.left {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use barepod_model::Phase;

    use super::*;

    fn view(uid: &PodUid, message: &str) -> Arc<PodView> {
        Arc::new(PodView {
            uid: uid.clone(),
            name: None,
            pod: None,
            generation: 1,
            created: None,
            deletion: None,
            halted: None,
            phase: Phase::Running,
            reason: None,
            message: message.to_owned(),
            level: None,
            pending_resize: None,
            resizing: None,
            initialized: true,
            ready: true,
            conditions: Vec::new(),
            containers: Vec::new(),
        })
    }

    fn uid(text: &str) -> PodUid {
        PodUid::new(text).expect("a UID")
    }

    async fn comes(follower: &mut Follower) -> bool {
        tokio::time::timeout(Duration::ZERO, follower.news()).await.is_ok()
    }

    #[tokio::test]
    async fn what_happened_between_a_look_and_the_wait_is_not_missed() {
        let (board, mine) = (Board::new(), uid("mine"));
        board.put(mine.clone(), Some(view(&mine, "runs")));
        let mut follower = Follower::new(&board, Path::new("/no/such/directory"), mine.clone());

        board.put(mine.clone(), Some(view(&mine, "has ended")));

        assert!(comes(&mut follower).await);
        assert!(!comes(&mut follower).await, "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_the_kernel_does_not_watch_is_looked_at_once_in_a_while() {
        let (board, mine) = (Board::new(), uid("mine"));
        let mut follower = Follower::new(&board, Path::new("/no/such/directory"), mine);
        follower.growth = Growth::Unwatched;
        assert!(!comes(&mut follower).await);
        follower.news().await;
    }

    #[tokio::test]
    async fn other_pods_and_a_missing_directory_wake_nobody() {
        let (board, mine, other) = (Board::new(), uid("mine"), uid("other"));
        let mut follower = Follower::new(&board, Path::new("/no/such/directory"), mine.clone());
        follower.watch();

        board.put(other.clone(), Some(view(&other, "runs")));

        assert!(!comes(&mut follower).await);
        board.put(mine.clone(), None);
        board.put(mine.clone(), Some(view(&mine, "runs")));
        assert!(comes(&mut follower).await);
    }
}
