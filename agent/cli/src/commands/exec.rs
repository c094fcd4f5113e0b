//! `barepod exec`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{ExecRequest, ExecResponse, ExecStart, exec_request, exec_response};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;
use crate::args::Exec;
use crate::output::{self, Reader};
use crate::refusal::from_status;
use crate::{target, terminal};

/// As a shell tells of a command that SIGPIPE has ended.
const UNREAD: i32 = 141;

type Sender = mpsc::Sender<ExecRequest>;

pub(super) async fn run(mut client: Client, namespace: String, args: Exec) -> Result<ExitCode> {
    let start = ExecStart {
        namespace,
        name: target::name(&args.pod)?,
        container: args.container.unwrap_or_default(),
        command: args.command,
        tty: args.tty,
        stdin: args.stdin,
        size: args.tty.then(terminal::size).flatten(),
    };
    let (sender, requests) = mpsc::channel(16);
    send(&sender, exec_request::Request::Start(start)).await;
    let answers = client.exec(ReceiverStream::new(requests)).await.map_err(from_status)?.into_inner();
    let raw = if args.tty && args.stdin { terminal::Raw::enter() } else { None };
    if args.stdin {
        tokio::spawn(pass_input(sender.clone()));
    }
    if args.tty {
        tokio::spawn(pass_size(sender.clone()));
    }
    // Held until the end: closing the requests would mean that the client has gone.
    let code = show(answers).await;
    drop((raw, sender));
    Ok(ExitCode::from(u8::try_from(code? & 0xff).unwrap_or(1)))
}

async fn send(sender: &Sender, request: exec_request::Request) -> bool {
    sender.send(ExecRequest { request: Some(request) }).await.is_ok()
}

async fn pass_input(sender: Sender) {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match input.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if !send(&sender, exec_request::Request::Stdin(buffer[..length].to_vec())).await {
                    return;
                }
            }
        }
    }
    send(&sender, exec_request::Request::StdinClosed(true)).await;
}

async fn pass_size(sender: Sender) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if let Some(size) = terminal::size()
            && !send(&sender, exec_request::Request::Resize(size)).await
        {
            return;
        }
    }
}

async fn show(mut answers: Streaming<ExecResponse>) -> Result<i32> {
    let mut reader = Reader::Present;
    while let Some(answer) = answers.message().await.map_err(from_status)? {
        match answer.response {
            Some(exec_response::Response::Stdout(data)) => reader = output::pass(&data)?,
            Some(exec_response::Response::Stderr(data)) => {
                reader = output::pass_to(&mut std::io::stderr().lock(), &data)?
            }
            Some(exec_response::Response::ExitCode(code)) => return Ok(code),
            None => {}
        }
        // Without its client the command ends too.
        if reader == Reader::Gone {
            return Ok(UNREAD);
        }
    }
    bail!("the connection ended before the command did")
}
