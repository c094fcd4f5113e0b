//! Attached to a running container: its output as it comes, its standard input, the size of its terminal.
//!
//! A shim that dies or becomes another binary takes the connection with it; the next one goes on with the same attempt, so
//! the session goes on as well.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use barepod_api::refusal;
use barepod_api::v1::{self, attach_request, attach_response};
use barepod_core::PodView;
use barepod_linux::shim::{self, Heard, Said, ShimError};
use barepod_model::{Attempt, ContainerKey, Reason};
use barepod_shim::layout;
use barepod_shim::wire::{self, attach_event, attach_request as asked};
use tonic::{Code, Status, Streaming};

use super::logs::container;
use super::stream::{Answers, Sink, answer};
use crate::hands::Host;

type Input = Streaming<v1::AttachRequest>;

/// Tries to find the shim that takes over.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// One session.
struct Session {
    host: Arc<Host>,
    key: ContainerKey,
    socket: PathBuf,
    stdin: bool,
    /// What it is attached to.
    attempt: Option<Attempt>,
    size: Option<v1::TerminalSize>,
}

/// # Errors
/// The container does not exist or does not run.
pub(super) fn stream(
    host: &Arc<Host>,
    view: &PodView,
    start: v1::AttachStart,
    input: Input,
) -> Result<Answers<v1::AttachResponse>, Status> {
    let key = ContainerKey { pod: view.uid.clone(), container: container(view, &start.container)? };
    if host.process(&key).is_none() {
        return Err(not_running(&key, &start.name));
    }
    let socket = host.dirs.shim(&key).join(layout::ATTACH);
    let host = Arc::clone(host);
    let session = Session { host, key, socket, stdin: start.stdin, attempt: None, size: start.size };
    Ok(answer(move |sink| session.run(input, sink)))
}

fn not_running(key: &ContainerKey, pod: &str) -> Status {
    let message = format!("container {} is not running; see `barepod describe {pod}`", key.container);
    refusal(Code::FailedPrecondition, Reason::NotReady.as_str(), message)
}

/// How one connection with a shim ended.
enum End {
    /// For good, with the last word.
    Said(Result<v1::AttachResponse, Status>),
    /// The client has gone.
    Left,
    /// The shim has gone.
    Lost,
}

impl Session {
    async fn run(mut self, mut input: Input, sink: Sink<v1::AttachResponse>) {
        loop {
            let end = match self.reach().await {
                Ok((heard, said)) => self.pass(heard, said, &mut input, &sink).await,
                Err(error) => End::Said(Err(self.unreached(&error))),
            };
            match end {
                End::Lost => {}
                End::Left => return,
                End::Said(last) => {
                    sink.send(last).await.ok();
                    return;
                }
            }
        }
    }

    /// Connects, to the shim that takes over if need be.
    async fn reach(&mut self) -> Result<(Heard, Said), ShimError> {
        let mut tries = 0;
        loop {
            let reached = shim::attach(&self.socket).await;
            let go_on = self.attempt.is_some() && tries < TRIES && self.host.process(&self.key).is_some();
            match reached {
                Ok((heard, mut said)) => {
                    said.send(asked::Request::Begin(wire::AttachBegin { stdin: self.stdin })).await?;
                    if let Some(size) = self.size {
                        said.send(asked::Request::Resize(resized(size))).await?;
                    }
                    return Ok((heard, said));
                }
                Err(error) if !go_on => return Err(error),
                Err(_) => {}
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn unreached(&self, error: &ShimError) -> Status {
        if self.host.process(&self.key).is_none() {
            return not_running(&self.key, "POD");
        }
        let message = format!("{error}; a shim of an older release takes nobody until the daemon has renewed it");
        refusal(Code::Unavailable, Reason::NotReady.as_str(), message)
    }

    async fn pass(
        &mut self,
        mut heard: Heard,
        mut said: Said,
        input: &mut Input,
        sink: &Sink<v1::AttachResponse>,
    ) -> End {
        let mut more = true;
        loop {
            // Cancel-safe: what the shim sent is kept by `heard`, what the client sent by the stream.
            tokio::select! {
                event = heard.next() => match event {
                    Ok(Some(event)) => {
                        if let Some(end) = self.tell(event, sink).await {
                            return end;
                        }
                    }
                    Ok(None) | Err(_) => return End::Lost,
                },
                message = input.message(), if more => match message {
                    Ok(Some(message)) => {
                        if let Some(request) = self.translate(message.request)
                            && said.send(request).await.is_err()
                        {
                            return End::Lost;
                        }
                    }
                    Ok(None) => more = false,
                    Err(_) => return End::Left,
                },
                () = sink.closed() => return End::Left,
            }
        }
    }

    fn translate(&mut self, request: Option<attach_request::Request>) -> Option<asked::Request> {
        match request? {
            attach_request::Request::Start(_) => None,
            attach_request::Request::Stdin(data) => Some(asked::Request::Stdin(data)),
            attach_request::Request::StdinClosed(closed) => Some(asked::Request::StdinClosed(closed)),
            attach_request::Request::Resize(size) => {
                self.size = Some(size);
                Some(asked::Request::Resize(resized(size)))
            }
        }
    }

    async fn tell(&mut self, event: attach_event::Event, sink: &Sink<v1::AttachResponse>) -> Option<End> {
        let response = match event {
            attach_event::Event::Attached(attached) => {
                let attempt = Some(Attempt(attached.attempt));
                match self.attempt.replace(Attempt(attached.attempt)) {
                    None => attach_response::Response::Started(v1::AttachStarted {
                        tty: attached.tty,
                        stdin: attached.stdin,
                    }),
                    before if before == attempt => return None,
                    // Its successor is another session's.
                    Some(_) => return Some(End::Said(Ok(ended(true)))),
                }
            }
            attach_event::Event::Stdout(data) => attach_response::Response::Stdout(data),
            attach_event::Event::Stderr(data) => attach_response::Response::Stderr(data),
            attach_event::Event::Ended(end) => return Some(End::Said(self.last(end.why()))),
        };
        let sent = sink.send(Ok(v1::AttachResponse { response: Some(response) })).await;
        sent.is_err().then_some(End::Left)
    }

    fn last(&self, why: wire::attach_ended::Why) -> Result<v1::AttachResponse, Status> {
        use wire::attach_ended::Why;
        match why {
            Why::ContainerEnded => Ok(ended(true)),
            Why::StdinClosed => Ok(ended(false)),
            Why::NotRunning | Why::Unspecified if self.attempt.is_some() => Ok(ended(true)),
            Why::NotRunning | Why::Unspecified => Err(not_running(&self.key, "POD")),
            Why::TooMany => {
                let message = "others are attached to this container; it takes four at once".to_owned();
                Err(refusal(Code::ResourceExhausted, Reason::NotReady.as_str(), message))
            }
        }
    }
}

fn resized(size: v1::TerminalSize) -> wire::TerminalSize {
    wire::TerminalSize { rows: size.rows, columns: size.columns }
}

fn ended(container_ended: bool) -> v1::AttachResponse {
    let ended = v1::AttachEnded { container_ended };
    v1::AttachResponse { response: Some(attach_response::Response::Ended(ended)) }
}
