//! `barepod attach`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{AttachRequest, AttachResponse, AttachStart, AttachStarted, attach_request, attach_response};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;
use crate::args::Attach;
use crate::output::{self, Reader};
use crate::refusal::from_status;
use crate::{target, terminal};

type Sender = mpsc::Sender<AttachRequest>;

pub(super) async fn run(mut client: Client, namespace: String, args: Attach) -> Result<ExitCode> {
    let start = AttachStart {
        namespace,
        name: target::name(&args.pod)?,
        container: args.container.clone().unwrap_or_default(),
        stdin: args.stdin,
        size: args.tty.then(terminal::size).flatten(),
    };
    let (sender, requests) = mpsc::channel(16);
    send(&sender, attach_request::Request::Start(start)).await;
    let mut answers = client.attach(ReceiverStream::new(requests)).await.map_err(from_status)?.into_inner();
    let first = answers.message().await.map_err(from_status)?.and_then(|answer| answer.response);
    let Some(attach_response::Response::Started(started)) = first else {
        bail!("the container ended before one could attach to it")
    };
    check(&args, started)?;
    let raw = if args.tty && args.stdin { terminal::Raw::enter() } else { None };
    if started.stdin {
        tokio::spawn(pass_input(sender.clone()));
    }
    if args.tty {
        tokio::spawn(pass_size(sender.clone()));
    }
    // Held until the end: closing the requests would mean that the client has gone.
    let shown = show(answers).await;
    drop((raw, sender));
    shown.map(|()| ExitCode::SUCCESS)
}

fn check(args: &Attach, started: AttachStarted) -> Result<()> {
    if args.tty && !started.tty {
        bail!("the container has no terminal: leave -t out, or give it tty: true");
    }
    if args.stdin && !started.stdin {
        bail!("nothing can be passed to the container: it lacks stdin: true, or its input has been closed (stdinOnce)");
    }
    Ok(())
}

async fn send(sender: &Sender, request: attach_request::Request) -> bool {
    sender.send(AttachRequest { request: Some(request) }).await.is_ok()
}

async fn pass_input(sender: Sender) {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match input.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if !send(&sender, attach_request::Request::Stdin(buffer[..length].to_vec())).await {
                    return;
                }
            }
        }
    }
    send(&sender, attach_request::Request::StdinClosed(true)).await;
}

async fn pass_size(sender: Sender) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if let Some(size) = terminal::size()
            && !send(&sender, attach_request::Request::Resize(size)).await
        {
            return;
        }
    }
}

async fn show(mut answers: Streaming<AttachResponse>) -> Result<()> {
    let mut reader = Reader::Present;
    while let Some(answer) = answers.message().await.map_err(from_status)? {
        match answer.response {
            Some(attach_response::Response::Stdout(data)) => reader = output::pass(&data)?,
            Some(attach_response::Response::Stderr(data)) => {
                reader = output::pass_to(&mut std::io::stderr().lock(), &data)?
            }
            Some(attach_response::Response::Ended(_)) => return Ok(()),
            Some(attach_response::Response::Started(_)) | None => {}
        }
        if reader == Reader::Gone {
            return Ok(());
        }
    }
    bail!("the connection ended before the container did")
}
