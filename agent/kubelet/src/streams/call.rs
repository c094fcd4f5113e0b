//! The daemon's calls that streams are tied to.

use std::fmt;

use barepod_api::v1::{self, attach_request, attach_response, exec_request, exec_response};
use barepod_streams::remote_command::Outcome;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::Daemon;

/// A call, known by what it starts with. Its `Display` is for the log.
pub(super) trait Call: fmt::Display + Send {
    type Request: Send + 'static;
    type Response: Send;

    /// What failed where it fails, as kubelet says it.
    const DOING: &str;
    /// What it means that the daemon has gone.
    const LOST: &str;

    fn start(self) -> Self::Request;
    /// The next of the input, or its end.
    fn input(data: Option<Vec<u8>>) -> Self::Request;
    fn resized(columns: u16, rows: u16) -> Self::Request;
    fn call(
        daemon: &mut Daemon,
        requests: ReceiverStream<Self::Request>,
    ) -> impl Future<Output = Result<Streaming<Self::Response>, Status>> + Send;
    fn heard(response: Self::Response) -> Heard;
}

/// What a call answered.
pub(super) enum Heard {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// It is over.
    Ended(Outcome),
    Other,
}

fn size(columns: u16, rows: u16) -> v1::TerminalSize {
    v1::TerminalSize { columns: columns.into(), rows: rows.into() }
}

fn exec(request: exec_request::Request) -> v1::ExecRequest {
    v1::ExecRequest { request: Some(request) }
}

fn attach(request: attach_request::Request) -> v1::AttachRequest {
    v1::AttachRequest { request: Some(request) }
}

/// A start that can be shown.
pub(super) struct Exec(pub(super) v1::ExecStart);

impl fmt::Display for Exec {
    /// Without the command: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec in {}/{}, container {}", self.0.namespace, self.0.name, self.0.container)
    }
}

impl Call for Exec {
    type Request = v1::ExecRequest;
    type Response = v1::ExecResponse;

    const DOING: &str = "error executing command in container";
    const LOST: &str = "barepodd has gone, and the process with it";

    fn start(self) -> v1::ExecRequest {
        exec(exec_request::Request::Start(self.0))
    }

    fn input(data: Option<Vec<u8>>) -> v1::ExecRequest {
        exec(data.map_or(exec_request::Request::StdinClosed(true), exec_request::Request::Stdin))
    }

    fn resized(columns: u16, rows: u16) -> v1::ExecRequest {
        exec(exec_request::Request::Resize(size(columns, rows)))
    }

    async fn call(
        daemon: &mut Daemon,
        requests: ReceiverStream<v1::ExecRequest>,
    ) -> Result<Streaming<v1::ExecResponse>, Status> {
        daemon.exec(requests).await.map(tonic::Response::into_inner)
    }

    fn heard(response: v1::ExecResponse) -> Heard {
        match response.response {
            Some(exec_response::Response::Stdout(data)) => Heard::Stdout(data),
            Some(exec_response::Response::Stderr(data)) => Heard::Stderr(data),
            Some(exec_response::Response::ExitCode(0)) => Heard::Ended(Outcome::Success),
            Some(exec_response::Response::ExitCode(code)) => Heard::Ended(Outcome::ExitCode(code)),
            None => Heard::Other,
        }
    }
}

/// A start that can be shown.
pub(super) struct Attach(pub(super) v1::AttachStart);

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attach to {}/{}, container {}", self.0.namespace, self.0.name, self.0.container)
    }
}

impl Call for Attach {
    type Request = v1::AttachRequest;
    type Response = v1::AttachResponse;

    const DOING: &str = "error attaching to container";
    const LOST: &str = "barepodd has gone; the container runs on";

    fn start(self) -> v1::AttachRequest {
        attach(attach_request::Request::Start(self.0))
    }

    fn input(data: Option<Vec<u8>>) -> v1::AttachRequest {
        attach(data.map_or(attach_request::Request::StdinClosed(true), attach_request::Request::Stdin))
    }

    fn resized(columns: u16, rows: u16) -> v1::AttachRequest {
        attach(attach_request::Request::Resize(size(columns, rows)))
    }

    async fn call(
        daemon: &mut Daemon,
        requests: ReceiverStream<v1::AttachRequest>,
    ) -> Result<Streaming<v1::AttachResponse>, Status> {
        daemon.attach(requests).await.map(tonic::Response::into_inner)
    }

    fn heard(response: v1::AttachResponse) -> Heard {
        match response.response {
            Some(attach_response::Response::Stdout(data)) => Heard::Stdout(data),
            Some(attach_response::Response::Stderr(data)) => Heard::Stderr(data),
            Some(attach_response::Response::Ended(_)) => Heard::Ended(Outcome::Success),
            Some(attach_response::Response::Started(_)) | None => Heard::Other,
        }
    }
}
