//! Streaming answers: a task fills a bounded channel, the client's pace is the task's.

use std::future::Future;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// A stream that a client reads.
pub(super) type Answers<T> = ReceiverStream<Result<T, Status>>;

/// The filling end.
pub(super) type Sink<T> = mpsc::Sender<Result<T, Status>>;

/// Messages a client may be behind.
const AHEAD: usize = 16;

/// Runs `fill` as a task; it ends when it is done, or when the client has gone and a send fails.
pub(super) fn answer<T, F, Fut>(fill: F) -> Answers<T>
where
    T: Send + 'static,
    F: FnOnce(Sink<T>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sink, stream) = mpsc::channel(AHEAD);
    tokio::spawn(fill(sink));
    ReceiverStream::new(stream)
}
