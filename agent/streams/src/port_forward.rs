//! Forwarded ports: of each connection a stream of data, and one for what went wrong.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::link::{Link, Timing};
use crate::stream::{Gone, Outgoing, Stream};
use crate::wire::Code;

/// One connection to a port.
#[derive(Debug)]
pub struct Forward {
    /// Of the pod.
    pub port: u16,
    /// In both directions.
    pub data: Stream,
    /// Either side can end its direction and go on with the other. On channels nobody can: who has said all ends both.
    pub half_closes: bool,
    /// See [`fail`](Self::fail).
    error: Outgoing,
}

impl Forward {
    /// Tells the client what went wrong, and gives the connection up.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn fail(&self, message: String) -> Result<(), Gone> {
        self.error.write(message.into()).await?;
        self.error.end().await?;
        self.data.outgoing.reset(Code::Cancel).await
    }

    /// Says that nothing went wrong.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn finish(&self) -> Result<(), Gone> {
        self.error.end().await
    }
}

/// The connections that a client wants.
#[derive(Debug)]
pub struct Forwards {
    /// Absent when all are known from the beginning and have been handed out.
    link: Option<Link>,
    /// Known from the beginning: one for each pair of channels.
    ports: VecDeque<u16>,
    /// Half of a connection.
    halves: VecDeque<Half>,
    timing: Timing,
}

#[derive(Debug)]
struct Half {
    request: String,
    kind: Kind,
    stream: Stream,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Error,
}

impl Forwards {
    /// As the client opens streams for them.
    #[must_use]
    pub fn opened(link: Link, timing: Timing) -> Self {
        Self { link: Some(link), ports: VecDeque::new(), halves: VecDeque::new(), timing }
    }

    /// As the request named them, each on the next two channels of a WebSocket; see [`channels`].
    #[must_use]
    pub fn named(link: Link, ports: &[u16], timing: Timing) -> Self {
        Self { ports: ports.iter().copied().collect(), ..Self::opened(link, timing) }
    }

    /// The next connection; `None` when there will be no more. Not cancel-safe: a stream would be lost that is being accepted.
    pub async fn next(&mut self) -> Option<Forward> {
        if let Some(port) = self.ports.pop_front() {
            return self.named_one(port).await;
        }
        loop {
            let link = self.link.as_mut()?;
            let deadline = self.halves.front().map(|half| half.deadline);
            let stream = tokio::select! {
                stream = link.next() => stream?,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.expire().await;
                    continue;
                }
            };
            if let Some(forward) = self.pair(stream).await {
                return Some(forward);
            }
        }
    }

    /// Both of a port's channels begin with the port.
    async fn named_one(&mut self, port: u16) -> Option<Forward> {
        let link = self.link.as_mut()?;
        let (data, error) = (link.next().await?, link.next().await?.outgoing);
        if self.ports.is_empty() {
            self.link = None;
        }
        for outgoing in [&data.outgoing, &error] {
            outgoing.write(Bytes::copy_from_slice(&port.to_le_bytes())).await.ok()?;
        }
        Some(Forward { port, data, half_closes: false, error })
    }

    async fn pair(&mut self, stream: Stream) -> Option<Forward> {
        let (port, kind) = match purpose(&stream) {
            Ok(purpose) => purpose,
            Err(why) => {
                tracing::debug!(why, "a stream of a port-forward is refused");
                stream.outgoing.reset(Code::Refused).await.ok();
                return None;
            }
        };
        let request = request(&stream, kind);
        let other = self.halves.iter().position(|half| half.request == request);
        if other.is_some_and(|other| self.halves[other].kind == kind) {
            tracing::debug!(request, "a request of a port-forward has this stream already");
            stream.outgoing.reset(Code::Refused).await.ok();
            return None;
        }
        stream.outgoing.accept().await.ok()?;
        let Some(half) = other.and_then(|other| self.halves.remove(other)) else {
            let deadline = Instant::now() + self.timing.creation;
            self.halves.push_back(Half { request, kind, stream, deadline });
            return None;
        };
        Some(match kind {
            Kind::Data => Forward { port, data: stream, half_closes: true, error: half.stream.outgoing },
            // The port is what the stream of data says.
            Kind::Error => {
                let port = purpose(&half.stream).map_or(port, |(port, _)| port);
                Forward { port, data: half.stream, half_closes: true, error: stream.outgoing }
            }
        })
    }

    async fn expire(&mut self) {
        if let Some(half) = self.halves.pop_front() {
            let outgoing = &half.stream.outgoing;
            if half.kind == Kind::Error {
                let message = format!("request {}: timed out waiting for streams", half.request);
                outgoing.write(message.into()).await.ok();
            }
            outgoing.reset(Code::Cancel).await.ok();
        }
    }
}

/// The channels of a WebSocket for that many ports.
#[must_use]
pub fn channels(ports: &[u16]) -> Vec<u32> {
    (0..ports.len() as u32 * 2).collect()
}

/// A port, as it is written.
///
/// # Errors
/// It is none.
pub fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(error) => Err(format!("unable to parse {text:?} as a port: {error}")),
    }
}

fn purpose(stream: &Stream) -> Result<(u16, Kind), String> {
    let needed = |name| stream.headers.get(name).ok_or_else(|| format!("the header {name:?} is required"));
    let kind = match needed("streamtype")? {
        "data" => Kind::Data,
        "error" => Kind::Error,
        other => return Err(format!("invalid stream type {other:?}")),
    };
    Ok((port(needed("port")?)?, kind))
}

/// What both streams of a connection have in common. Clients older than the header open the stream of data just after the
/// other, so its number less two.
fn request(stream: &Stream, kind: Kind) -> String {
    match (stream.headers.get("requestid"), kind) {
        (Some(id), _) if !id.is_empty() => id.to_owned(),
        (_, Kind::Error) => stream.outgoing.id().to_string(),
        (_, Kind::Data) => stream.outgoing.id().saturating_sub(2).to_string(),
    }
}
