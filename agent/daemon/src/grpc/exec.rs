//! A process in a container with its streams over the connection.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use barepod_api::refusal;
use barepod_api::v1::{self, exec_request, exec_response};
use barepod_core::PodView;
use barepod_linux::terminal;
use barepod_model::{Container, ContainerKey, Reason};
use barepod_policy::Verb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tonic::{Code, Status, Streaming};

use super::gate::Gate;
use super::logs::container;
use super::stream::{Answers, Sink, answer};
use crate::hands::{ExecError, Executed, Host, Process, Stdio, exec};

/// Bytes of one answer.
const CHUNK: usize = 32 << 10;

type Input = Streaming<v1::ExecRequest>;

/// Our ends of the process's streams.
enum Ours {
    Pipes { stdin: Option<pipe::Sender>, stdout: pipe::Receiver, stderr: pipe::Receiver },
    Terminal(terminal::Master),
}

/// # Errors
/// The container does not exist or does not run, or the policy does not let the user run this in it.
pub(super) async fn stream(
    host: &Arc<Host>,
    gate: &Gate,
    view: &PodView,
    start: v1::ExecStart,
    input: Input,
) -> Result<Answers<v1::ExecResponse>, Status> {
    let Some(program) = start.command.first() else {
        return Err(Status::invalid_argument("a command is needed, after `--`"));
    };
    let name = container(view, &start.container)?;
    gate.may(Verb::Exec, view)?;
    let key = ContainerKey { pod: view.uid.clone(), container: name };
    let (Some(process), Some(wanted)) = (host.process(&key), host.container(&key)) else {
        let message = format!("container {} is not running; see `barepod describe {}`", key.container, start.name);
        return Err(refusal(Code::FailedPrecondition, Reason::NotReady.as_str(), message));
    };
    gate.may_exec(view, program, &wanted)?;
    let (ours, theirs) = streams(&start, process, &wanted).map_err(|error| Status::internal(error.to_string()))?;
    let host = Arc::clone(host);
    Ok(answer(move |sink| run(host, key, wanted, start, (ours, theirs), input, sink)))
}

fn streams(start: &v1::ExecStart, process: Process, wanted: &Container) -> io::Result<(Ours, Stdio)> {
    if start.tty {
        let (master, slave) = terminal::open(process.pid, process.start_ticks, &wanted.launch.user)?;
        if let Some(size) = &start.size {
            resize(&master, size);
        }
        let copy = || slave.try_clone();
        let theirs = Stdio { stdin: copy()?, stdout: copy()?, stderr: copy()? };
        return Ok((Ours::Terminal(master), theirs));
    }
    let (out_sender, stdout) = pipe::pipe()?;
    let (err_sender, stderr) = pipe::pipe()?;
    let (stdin, theirs_in) = if start.stdin {
        let (sender, receiver) = pipe::pipe()?;
        (Some(sender), receiver.into_blocking_fd()?)
    } else {
        (None, OwnedFd::from(std::fs::File::open("/dev/null")?))
    };
    let theirs =
        Stdio { stdin: theirs_in, stdout: out_sender.into_blocking_fd()?, stderr: err_sender.into_blocking_fd()? };
    Ok((Ours::Pipes { stdin, stdout, stderr }, theirs))
}

fn resize(master: &terminal::Master, size: &v1::TerminalSize) {
    let small = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    if let Err(error) = master.resize(small(size.columns), small(size.rows)) {
        tracing::debug!(%error, "a terminal could not be resized");
    }
}

async fn run(
    host: Arc<Host>,
    key: ContainerKey,
    wanted: Container,
    start: v1::ExecStart,
    (ours, theirs): (Ours, Stdio),
    input: Input,
    sink: Sink<v1::ExecResponse>,
) {
    let process = exec(&host, &key, &wanted, start.command, theirs, start.tty);
    let streams = async {
        match ours {
            Ours::Pipes { stdin, stdout, stderr } => pass_pipes(stdin, stdout, stderr, input, &sink).await,
            Ours::Terminal(master) => pass_terminal(master, input, &sink).await,
        }
    };
    // The process's end and the end of its output: both, for output may come after the end of its writer. If the client
    // goes, everything is dropped, and with it the process.
    let both = async { tokio::join!(process, streams) };
    let result = tokio::select! {
        (result, ()) = both => result,
        () = sink.closed() => return,
    };
    let result = result.map(|ran| {
        ran.warnings.iter().for_each(|warning| host.warn(&key, Reason::Degraded, warning));
        ran.executed
    });
    sink.send(ending(result)).await.ok();
}

fn ending(result: Result<Executed, ExecError>) -> Result<v1::ExecResponse, Status> {
    match result {
        Ok(Executed::Ended(code)) => Ok(response(exec_response::Response::ExitCode(code))),
        Ok(Executed::Failed(message)) => {
            Err(refusal(Code::FailedPrecondition, Reason::RunContainerError.as_str(), message))
        }
        Err(error @ ExecError::NotRunning(_)) => {
            Err(refusal(Code::FailedPrecondition, Reason::NotReady.as_str(), error.to_string()))
        }
        Err(error @ ExecError::Confinement(_)) => {
            Err(refusal(Code::FailedPrecondition, Reason::CreateContainerConfigError.as_str(), error.to_string()))
        }
        Err(ExecError::Shim(error)) => {
            Err(refusal(Code::Internal, Reason::CreateContainerError.as_str(), error.to_string()))
        }
    }
}

fn response(response: exec_response::Response) -> v1::ExecResponse {
    v1::ExecResponse { response: Some(response) }
}

async fn pass_pipes(
    stdin: Option<pipe::Sender>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    input: Input,
    sink: &Sink<v1::ExecResponse>,
) {
    let out = pass_out(stdout, sink, exec_response::Response::Stdout);
    let err = pass_out(stderr, sink, exec_response::Response::Stderr);
    let output = async { tokio::join!(out, err) };
    let into = async {
        pass_in(stdin, input).await;
        // The client may send nothing more and still wait for output.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = output => {}
        () = into => {}
    }
}

async fn pass_out(
    mut from: impl tokio::io::AsyncRead + Unpin,
    sink: &Sink<v1::ExecResponse>,
    wrap: fn(Vec<u8>) -> exec_response::Response,
) {
    let mut buffer = vec![0; CHUNK];
    // A terminal's end of output is an error (EIO).
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if sink.send(Ok(response(wrap(buffer[..length].to_vec())))).await.is_err() {
            return;
        }
    }
}

async fn pass_in(mut stdin: Option<pipe::Sender>, mut input: Input) {
    while let Ok(Some(message)) = input.message().await {
        match message.request {
            Some(exec_request::Request::Stdin(data)) => {
                // The process may have closed its input; that is its right.
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            Some(exec_request::Request::StdinClosed(_)) => stdin = None,
            Some(exec_request::Request::Start(_) | exec_request::Request::Resize(_)) | None => {}
        }
    }
}

async fn pass_terminal(master: terminal::Master, mut input: Input, sink: &Sink<v1::ExecResponse>) {
    let (reader, mut writer) = (&master, &master);
    let output = pass_out(reader, sink, exec_response::Response::Stdout);
    let into = async {
        while let Ok(Some(message)) = input.message().await {
            match message.request {
                Some(exec_request::Request::Stdin(data)) if writer.write_all(&data).await.is_err() => break,
                Some(exec_request::Request::Resize(size)) => resize(&master, &size),
                // End of input on a terminal is a character that the client sends.
                Some(
                    exec_request::Request::Stdin(_)
                    | exec_request::Request::StdinClosed(_)
                    | exec_request::Request::Start(_),
                )
                | None => {}
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = output => {}
        () = into => {}
    }
}
