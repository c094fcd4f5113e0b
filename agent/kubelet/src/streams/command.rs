//! Exec and attach: the client's streams, tied to the daemon's call of that name.

use barepod_api::StreamClient;
use barepod_streams::remote_command::{CHANNELS, Options, Outcome, Session, Size, Sizes};
use barepod_streams::{End, Incoming, Next, Outgoing, Timing, Upgrade};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::call::{Call, Heard};

/// Requests that wait for the daemon.
const AHEAD: usize = 2;

/// A session from its streams to its last word. When the client goes, the call ends where it stands, and with an exec its
/// process.
pub(super) async fn serve<C: Call>(
    io: TokioIo<Upgraded>,
    upgrade: Upgrade,
    options: Options,
    daemon: StreamClient,
    call: C,
) {
    let what = call.to_string();
    let timing = Timing::default();
    let (link, drive) = upgrade.link(io, &CHANNELS, timing);
    let session = async {
        let mut session = match Session::begin(link, &upgrade, options, timing).await {
            Ok(session) => session,
            Err(error) => return tracing::debug!(what, %error, "a client has not begun"),
        };
        let client = session.client();
        let outcome = tokio::select! {
            outcome = carry_out(daemon, call, &mut session) => outcome,
            () = client.gone() => return tracing::debug!(what, "the client has gone"),
        };
        tracing::debug!(what, ?outcome, "ended");
        drop(client);
        session.finish(&outcome).await;
    };
    let (end, ()) = tokio::join!(drive, session);
    if let End::Violation(_) | End::Idle | End::Broken(_) = &end {
        tracing::debug!(what, ?end, "a client's connection has ended");
    }
}

async fn carry_out<C: Call>(daemon: StreamClient, call: C, session: &mut Session) -> Outcome {
    let ended = pass::<C>(daemon, call, session).await;
    ended.unwrap_or_else(|status| Outcome::Failed(format!("{}: {}", C::DOING, status.message())))
}

async fn pass<C: Call>(mut daemon: StreamClient, call: C, session: &mut Session) -> Result<Outcome, Status> {
    let (requests, receiver) = mpsc::channel(AHEAD);
    requests.send(call.start()).await.ok();
    let mut answers = C::call(&mut daemon.client, ReceiverStream::new(receiver)).await?;
    let Session { stdin, stdout, stderr, sizes, .. } = session;
    let output = async {
        while let Some(answer) = answers.message().await? {
            match C::heard(answer) {
                Heard::Stdout(data) => pass_out(stdout.as_ref(), data).await,
                Heard::Stderr(data) => pass_out(stderr.as_ref(), data).await,
                Heard::Ended(outcome) => return Ok(outcome),
                Heard::Other => {}
            }
        }
        Err(Status::unavailable(C::LOST))
    };
    // The input may end long before the output, and so may the sizes.
    let input = async {
        tokio::join!(pass_in::<C>(stdin.as_mut(), &requests), pass_sizes::<C>(sizes.as_mut(), &requests));
        std::future::pending().await
    };
    tokio::select! {
        ended = output => ended,
        never = input => never,
    }
}

/// Passes the client's input on, with its end. Input that is lost has none: the client goes, or says no more.
async fn pass_in<C: Call>(from: Option<&mut Incoming>, to: &mpsc::Sender<C::Request>) {
    let Some(from) = from else { return };
    loop {
        let (data, more) = match from.next().await {
            Next::Data(data) => (Some(data.into()), true),
            Next::End => (None, false),
            Next::Lost => return,
        };
        if to.send(C::input(data)).await.is_err() || !more {
            return;
        }
    }
}

async fn pass_sizes<C: Call>(from: Option<&mut Sizes>, to: &mpsc::Sender<C::Request>) {
    let Some(from) = from else { return };
    while let Some(Size { width, height }) = from.next().await {
        if to.send(C::resized(width, height)).await.is_err() {
            return;
        }
    }
}

/// A client that has given a stream up may still want the others, and the end.
async fn pass_out(to: Option<&Outgoing>, data: Vec<u8>) {
    if let Some(to) = to {
        to.write(data.into()).await.ok();
    }
}
