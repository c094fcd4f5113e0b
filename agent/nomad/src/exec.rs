//! One more process in a task's pod: `nomad alloc exec`, a job's actions, script checks.

use std::pin::Pin;
use std::time::Duration;

use barepod_api::v1::{self, exec_request, exec_response};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::daemon::Daemon;
use crate::stop;
use crate::table::Task;
use crate::wire::driver::exec_task_streaming_request::Setup;
use crate::wire::driver::{
    ExecTaskResponse, ExecTaskStreamingIoOperation, ExecTaskStreamingRequest, ExecTaskStreamingResponse, ExitResult,
};

/// Bytes of each stream that an answer in one piece has.
const MOST: usize = 1 << 20;

pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<ExecTaskStreamingResponse, Status>> + Send>>;

fn start(
    daemon: &Daemon,
    task: &Task,
    command: Vec<String>,
    tty: bool,
    stdin: bool,
) -> Result<v1::ExecRequest, Status> {
    let pod = &task.kept.pod;
    let start = v1::ExecStart {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        container: stop::container(daemon, task)?,
        command,
        tty,
        stdin,
        size: None,
    };
    Ok(v1::ExecRequest { request: Some(exec_request::Request::Start(start)) })
}

/// Runs a command to its end and answers in one piece. What is longer than an answer may be is cut off, and it says so.
///
/// # Errors
/// The daemon refuses, or the command does not end in time.
pub(crate) async fn run(
    daemon: &Daemon,
    task: &Task,
    command: Vec<String>,
    timeout: Option<Duration>,
) -> Result<ExecTaskResponse, Status> {
    let first = start(daemon, task, command, false, false)?;
    let whole = async {
        let mut client = daemon.stream_client();
        // The requests never end: that would mean that the client has gone.
        let requests = stream::iter([first]).chain(stream::pending());
        let mut answers = client.client.exec(requests).await?.into_inner();
        let mut response = ExecTaskResponse::default();
        while let Some(answer) = answers.message().await? {
            match answer.response {
                Some(exec_response::Response::Stdout(data)) => append(&mut response.stdout, &data),
                Some(exec_response::Response::Stderr(data)) => append(&mut response.stderr, &data),
                Some(exec_response::Response::ExitCode(code)) => {
                    response.result = Some(exited(code));
                    return Ok(response);
                }
                None => {}
            }
        }
        Err(Status::unavailable("barepodd went away before the command ended"))
    };
    match timeout {
        None => whole.await,
        Some(limit) => tokio::time::timeout(limit, whole)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("the command did not end within {limit:?}")))),
    }
}

const CUT: &[u8] = b"\n[barepod: the rest is left out]\n";

fn append(to: &mut Vec<u8>, data: &[u8]) {
    if to.len() >= MOST {
        return;
    }
    let room = MOST.saturating_sub(to.len()).min(data.len());
    to.extend_from_slice(&data[..room]);
    if room < data.len() || to.len() == MOST {
        to.extend_from_slice(CUT);
    }
}

fn exited(code: i32) -> ExitResult {
    // As a shell says that a signal did it.
    ExitResult { exit_code: code, signal: if code > 128 { code - 128 } else { 0 }, oom_killed: false }
}

/// Runs a command with its streams over the connection. That the daemon refuses is told there: of the status of a stream Nomad
/// shows its users nothing.
///
/// # Errors
/// The daemon is away, or the task has no container.
pub(crate) async fn open(
    daemon: &Daemon,
    task: &Task,
    setup: Setup,
    input: Streaming<ExecTaskStreamingRequest>,
) -> Result<Answers, Status> {
    let first = start(daemon, task, setup.command, setup.tty, true)?;
    let (sender, requests) = mpsc::channel(16);
    sender.send(first).await.ok();
    let mut client = daemon.stream_client();
    let answers = match client.client.exec(ReceiverStream::new(requests)).await {
        Err(status) if status.code() == Code::PermissionDenied => {
            return Ok(Box::pin(stream::iter(told(setup.tty, status.message()).map(Ok))));
        }
        answers => answers?.into_inner(),
    };
    tokio::spawn(pass_input(input, sender));
    let answers = answers.filter_map(|answer| std::future::ready(answer.map(translate).transpose()));
    // The connection is hung up when nobody wants the answers any more.
    Ok(Box::pin(Held { answers: Box::pin(answers), _client: client }))
}

/// What a shell answers for a command that it may not run.
const NOT_ALLOWED: i32 = 126;

fn told(tty: bool, why: &str) -> [ExecTaskStreamingResponse; 2] {
    let data = Some(ExecTaskStreamingIoOperation { data: format!("barepod: {why}\n").into_bytes(), close: true });
    let empty = ExecTaskStreamingResponse::default;
    let said = match tty {
        true => ExecTaskStreamingResponse { stdout: data, ..empty() },
        false => ExecTaskStreamingResponse { stderr: data, ..empty() },
    };
    [said, ExecTaskStreamingResponse { exited: true, result: Some(exited(NOT_ALLOWED)), ..empty() }]
}

struct Held {
    answers: Answers,
    _client: barepod_api::StreamClient,
}

impl Stream for Held {
    type Item = Result<ExecTaskStreamingResponse, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.answers.as_mut().poll_next(context)
    }
}

async fn pass_input(mut input: Streaming<ExecTaskStreamingRequest>, sender: mpsc::Sender<v1::ExecRequest>) {
    while let Ok(Some(message)) = input.message().await {
        for request in requests(message) {
            if sender.send(v1::ExecRequest { request: Some(request) }).await.is_err() {
                return;
            }
        }
    }
    // The end of a client's messages is not its end: the requests to the daemon end when the daemon's answers do.
    sender.closed().await;
}

fn requests(message: ExecTaskStreamingRequest) -> Vec<exec_request::Request> {
    let small = |number: i32| u32::try_from(number).unwrap_or_default();
    let mut requests = Vec::new();
    if let Some(size) = message.tty_size {
        let size = v1::TerminalSize { columns: small(size.width), rows: small(size.height) };
        requests.push(exec_request::Request::Resize(size));
    }
    if let Some(stdin) = message.stdin {
        if !stdin.data.is_empty() {
            requests.push(exec_request::Request::Stdin(stdin.data));
        }
        if stdin.close {
            requests.push(exec_request::Request::StdinClosed(true));
        }
    }
    requests
}

fn translate(answer: v1::ExecResponse) -> Option<ExecTaskStreamingResponse> {
    let data = |data| Some(ExecTaskStreamingIoOperation { data, close: false });
    let empty = ExecTaskStreamingResponse::default();
    Some(match answer.response? {
        exec_response::Response::Stdout(bytes) => ExecTaskStreamingResponse { stdout: data(bytes), ..empty },
        exec_response::Response::Stderr(bytes) => ExecTaskStreamingResponse { stderr: data(bytes), ..empty },
        exec_response::Response::ExitCode(code) => {
            ExecTaskStreamingResponse { exited: true, result: Some(exited(code)), ..empty }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::driver::exec_task_streaming_request::TerminalSize;

    #[test]
    fn one_message_may_say_several_things() {
        let message = ExecTaskStreamingRequest {
            setup: None,
            tty_size: Some(TerminalSize { height: 24, width: 80 }),
            stdin: Some(ExecTaskStreamingIoOperation { data: b"x".to_vec(), close: true }),
        };
        let size = v1::TerminalSize { columns: 80, rows: 24 };
        let wanted = [
            exec_request::Request::Resize(size),
            exec_request::Request::Stdin(b"x".to_vec()),
            exec_request::Request::StdinClosed(true),
        ];
        assert_eq!(requests(message), wanted);
    }

    #[test]
    fn an_answer_in_one_piece_is_bounded_and_says_what_is_missing() {
        let mut all = Vec::new();
        (0..3).for_each(|_| append(&mut all, &vec![b'x'; MOST / 2 + 1]));
        assert_eq!(all.len(), MOST + CUT.len());
        assert!(all.ends_with(CUT));
    }
}
