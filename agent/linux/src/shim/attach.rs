//! Attached to a running attempt: what it writes from now on, and its standard input.

use std::io;
use std::path::Path;

use barepod_shim::wire::{AttachEvent, AttachRequest, Frames, attach_event, attach_request, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::ShimError;

/// The half that hears.
#[derive(Debug)]
pub struct Heard {
    reader: OwnedReadHalf,
    frames: Frames,
}

/// The half that says.
#[derive(Debug)]
pub struct Said {
    writer: OwnedWriteHalf,
}

/// Attaches at a shim's socket `attach`. The first request is to be `Begin`.
///
/// # Errors
/// `Silent`: nobody listens there; a shim of an older release does not.
pub async fn attach(socket: &Path) -> Result<(Heard, Said), ShimError> {
    let silent = |source| ShimError::Silent { socket: socket.to_owned(), source };
    let (reader, writer) = UnixStream::connect(socket).await.map_err(silent)?.into_split();
    Ok((Heard { reader, frames: Frames::default() }, Said { writer }))
}

impl Heard {
    /// The next event; `None` at the end of the connection. Cancel-safe: what was read is kept.
    ///
    /// # Errors
    /// The connection broke, or what came is no event.
    pub async fn next(&mut self) -> Result<Option<attach_event::Event>, ShimError> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(AttachEvent { event: Some(event) }) = self.frames.take()? {
                return Ok(Some(event));
            }
            match self.reader.read(&mut buffer).await {
                Ok(0) => return Ok(None),
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(ShimError::Broken(error)),
            }
        }
    }
}

impl Said {
    /// Sends a request.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, request: attach_request::Request) -> Result<(), ShimError> {
        let frame = encode_frame(&AttachRequest::from(request))?;
        self.writer.write_all(&frame).await.map_err(ShimError::Broken)
    }
}
