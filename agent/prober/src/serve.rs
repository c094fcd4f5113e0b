//! The conversation with the daemon: questions come, each is a task of its own, answers go.

use std::time::Duration;

use barepod_prober_wire::{self as wire, Ask, FrameError, Frames, FromProber, ToProber, ask, from_prober, to_prober};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::{Verdict, grpc, http, tcp};

/// Most characters of a text: what a Kubernetes event can carry.
const MAX_TEXT: usize = 1024;

/// Speaks with the daemon until it closes its end.
///
/// # Errors
/// It sent what is no message.
pub async fn serve(stream: UnixStream) -> Result<(), FrameError> {
    let (mut reader, writer) = stream.into_split();
    let (answers, outbox) = mpsc::unbounded_channel();
    let tasks = TaskTracker::new();
    tasks.spawn(write(writer, outbox));
    let hello = wire::Hello { version: wire::VERSION, release: env!("CARGO_PKG_VERSION").to_owned() };
    say(&answers, from_prober::Message::Hello(hello));
    let mut frames = Frames::default();
    while let Some(ToProber { message }) = frames.read(&mut reader).await? {
        match message {
            Some(to_prober::Message::Ask(ask)) => {
                let answers = answers.clone();
                tasks.spawn(async move {
                    let answer = answer(ask.id, carry_out(&ask).await);
                    say(&answers, from_prober::Message::Answer(answer));
                });
            }
            Some(to_prober::Message::Ping(ping)) => {
                say(&answers, from_prober::Message::Pong(wire::Pong { id: ping.id }));
            }
            // Of a newer daemon.
            None => {}
        }
    }
    Ok(())
}

async fn carry_out(ask: &Ask) -> Verdict {
    let timeout = Duration::from_millis(ask.timeout_ms);
    match &ask.question {
        Some(ask::Question::Http(get)) => http::probe(get, timeout).await,
        Some(ask::Question::Hook(get)) => http::hook(get).await,
        Some(ask::Question::Tcp(wire::Tcp { host, port })) => match u16::try_from(*port) {
            Ok(port) => tcp::probe(host, port, timeout).await,
            Err(_) => Verdict::Undecided(format!("{port} is no port")),
        },
        Some(ask::Question::Grpc(wire::Grpc { host, port, service })) => match u16::try_from(*port) {
            Ok(port) => grpc::probe(host, port, service, timeout).await,
            Err(_) => Verdict::Undecided(format!("{port} is no port")),
        },
        None => Verdict::Undecided("this prober does not know the question; install it anew".to_owned()),
    }
}

fn answer(id: u64, verdict: Verdict) -> wire::Answer {
    let (verdict, text) = match verdict {
        Verdict::Good => (wire::Verdict::Good, String::new()),
        Verdict::Warning(text) => (wire::Verdict::Warning, text),
        Verdict::Bad(text) => (wire::Verdict::Bad, text),
        Verdict::Undecided(text) => (wire::Verdict::Undecided, text),
    };
    wire::Answer { id, verdict: verdict.into(), text: text.chars().take(MAX_TEXT).collect() }
}

fn say(answers: &mpsc::UnboundedSender<Bytes>, message: from_prober::Message) {
    // Cannot be too long, for texts are cut; and nobody is left to hear it where the writer has ended.
    if let Ok(frame) = wire::encode(&FromProber { message: Some(message) }) {
        answers.send(frame).ok();
    }
}

async fn write(mut writer: OwnedWriteHalf, mut outbox: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(frame) = outbox.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}
