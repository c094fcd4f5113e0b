//! One connection to a shim.

use std::io;
use std::path::Path;
use std::time::Duration;

use barepod_shim::wire::{self, Frames, encode_frame, event, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::ShimError;

/// Longest wait for the answer to Hello. A shim does nothing that takes longer than a slow write of its log.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which Hello and Welcome were exchanged.
#[derive(Debug)]
pub struct ShimClient {
    events: Events,
    requests: Requests,
    protocol: u32,
}

/// The half that sends.
#[derive(Debug)]
pub struct Requests {
    writer: OwnedWriteHalf,
}

#[derive(Debug)]
struct Events {
    reader: OwnedReadHalf,
    frames: Frames,
}

impl ShimClient {
    /// Connects to a living shim. Its Welcome says all that happened while nobody was connected.
    ///
    /// # Errors
    /// `Silent`: nobody listens there. `Hung`: the shim is alive and does not answer. `NoWelcome`: it is no shim.
    pub async fn connect(socket: &Path, version: &str) -> Result<(Self, wire::Welcome), ShimError> {
        let silent = |source| ShimError::Silent { socket: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).await.map_err(silent)?;
        let (reader, writer) = stream.into_split();
        let mut client =
            Self { events: Events { reader, frames: Frames::default() }, requests: Requests { writer }, protocol: 0 };
        let hello = wire::Hello { protocol: wire::PROTOCOL, daemon_version: version.to_owned() };
        client.send(request::Request::Hello(hello)).await?;
        let answer = tokio::time::timeout(PATIENCE, client.next());
        match answer.await.map_err(|_| ShimError::Hung { socket: socket.to_owned(), patience: PATIENCE })?? {
            Some(event::Event::Welcome(welcome)) => {
                client.protocol = welcome.protocol;
                Ok((client, welcome))
            }
            Some(_) | None => Err(ShimError::NoWelcome),
        }
    }

    /// What this shim speaks: the words of `shim.proto` up to this number.
    #[must_use]
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The shim has introduced itself anew.
    pub fn agreed(&mut self, protocol: u32) {
        self.protocol = protocol;
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The connection broke: the shim may be dead.
    pub async fn send(&mut self, request: request::Request) -> Result<(), ShimError> {
        self.requests.send(request).await
    }

    /// The next event; `None` at the end of the connection. Cancel-safe: what was read is kept.
    ///
    /// # Errors
    /// The connection broke, or what came is no event.
    pub async fn next(&mut self) -> Result<Option<event::Event>, ShimError> {
        let event = self.events.next().await?;
        if let Some(event::Event::Welcome(welcome)) = &event {
            // It has become another binary, which may speak more.
            self.protocol = welcome.protocol;
        }
        Ok(event)
    }
}

impl Requests {
    async fn send(&mut self, request: request::Request) -> Result<(), ShimError> {
        let frame = encode_frame(&wire::Request::from(request))?;
        self.writer.write_all(&frame).await.map_err(ShimError::Broken)
    }
}

impl Events {
    async fn next(&mut self) -> Result<Option<event::Event>, ShimError> {
        loop {
            if let Some(wire::Event { event }) = self.frames.take()? {
                match event {
                    Some(event) => return Ok(Some(event)),
                    // From a later shim: a kind of event that this daemon does not know yet.
                    None => continue,
                }
            }
            let mut buffer = [0; 4096];
            match self.reader.read(&mut buffer).await {
                Ok(0) => return Ok(None),
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(ShimError::Broken(error)),
            }
        }
    }
}
